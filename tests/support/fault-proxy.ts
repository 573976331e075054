import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

export interface ProxyFaults {
  /** What clients send is swallowed, as by a network that lost the way. */
  dropRequests: boolean;
  /** What the server answers is swallowed. */
  dropAnswers: boolean;
}

/** A TCP proxy on 127.0.0.1 that can swallow either direction and cut connections. */
export class FaultProxy {
  readonly faults: ProxyFaults = { dropRequests: false, dropAnswers: false };
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #sockets = new Set<Socket>();
  readonly #silenced = new WeakSet<Socket>();
  readonly #answering = new Set<Socket>();
  #droppedBytes = 0;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((client) => this.#connect(client));
  }

  static async start(targetPort: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get endpoint(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy does not listen");
    return `http://127.0.0.1:${address.port}`;
  }

  /** What `faults` have swallowed so far. */
  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  /** Open connections, those to clients and those to the server. */
  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Swallows all that comes on the connections of this moment, without closing them; new ones are served. */
  silence(): void {
    for (const socket of this.#sockets) this.#silenced.add(socket);
  }

  /** Stops or goes on reading what the server answers, as a client that is too slow. */
  holdAnswers(isHeld: boolean): void {
    for (const socket of this.#answering) {
      if (isHeld) socket.pause();
      else socket.resume();
    }
  }

  /** Breaks all connections; new ones are served. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #connect(client: Socket): void {
    const server = connect(this.#targetPort, "127.0.0.1");
    this.#answering.add(server);
    server.on("close", () => this.#answering.delete(server));
    this.#pass(client, server, () => this.faults.dropRequests);
    this.#pass(server, client, () => this.faults.dropAnswers);
  }

  #pass(from: Socket, to: Socket, isDropped: () => boolean): void {
    from.setNoDelay(true);
    this.#sockets.add(from);
    from.on("data", (chunk) => {
      if (isDropped() || this.#silenced.has(from)) this.#droppedBytes += chunk.length;
      else to.write(chunk);
    });
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
