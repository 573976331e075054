import { once } from "node:events";
import { createServer, connect as openSocket, type Server, type Socket } from "node:net";
import { OttlaError } from "@ottla/errors";
import type {
  ConnectAddress,
  Connection,
  ConnectionHandlers,
  ListenAddress,
  Listener,
  Network,
} from "./network.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_DELAY_MS = 30_000;
const BACKLOG = 1024;

/** TCP through Node. */
export class NodeNetwork implements Network {
  async listen(address: ListenAddress, onConnection: (connection: Connection) => void): Promise<Listener> {
    // allowHalfOpen: a client that shuts down its writing side still gets its answers.
    const server = createServer({
      noDelay: true,
      keepAlive: true,
      pauseOnConnect: true,
      allowHalfOpen: true,
    });
    server.on("connection", (socket) => onConnection(new NodeConnection(socket)));
    server.listen({ host: address.host, port: address.port, backlog: BACKLOG });
    try {
      await once(server, "listening");
    } catch (error) {
      throw listenError(address, error);
    }
    return { port: portOf(server), close: async () => void server.close() };
  }

  async connect(address: ConnectAddress): Promise<Connection> {
    const socket = openSocket({ host: address.host, port: address.port, noDelay: true, allowHalfOpen: true });
    const timeoutMs = address.timeoutMs ?? CONNECT_TIMEOUT_MS;
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    try {
      await once(socket, "connect");
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      throw new OttlaError("UNAVAILABLE", `cannot reach ${address.host}:${address.port}: ${detail}`, {
        cause: error,
      });
    }
    socket.setTimeout(0);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    socket.pause();
    return new NodeConnection(socket);
  }
}

class NodeConnection implements Connection {
  readonly #socket: Socket;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
    this.localAddress = socket.localAddress ?? "unknown";
    this.localPort = socket.localPort ?? 0;
    // Before `start` nobody listens: an error must not end the process. A socket closes itself after one.
    socket.on("error", ignore);
  }

  start(handlers: ConnectionHandlers): void {
    const socket = this.#socket;
    let failure: Error | undefined;
    socket.on("data", (chunk: Buffer) => handlers.onData(chunk));
    socket.on("drain", () => handlers.onDrain());
    socket.on("end", () => handlers.onEnd());
    socket.on("error", (error) => {
      failure = error;
    });
    if (socket.closed) {
      handlers.onClose(undefined);
      return;
    }
    socket.on("close", () => handlers.onClose(failure));
    socket.resume();
  }

  write(pieces: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    if (!socket.writable) return false;
    // Corked writes leave in one writev, mostly before `uncork` returns: only then is it
    // known what stays queued. One piece goes as it is.
    const isOne = pieces.length === 1;
    if (!isOne) socket.cork();
    for (const piece of pieces) socket.write(piece);
    if (!isOne) socket.uncork();
    // Node asks for a drain even where all has left already.
    return socket.writableLength === 0 || !socket.writableNeedDrain;
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }
}

function ignore(): void {
  // The close event that follows tells the handlers.
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port");
  return address.port;
}

function listenError(address: ListenAddress, error: unknown): OttlaError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const where = `port ${address.port} of ${address.host}`;
  if (code === "EADDRINUSE") return new OttlaError("UNAVAILABLE", `${where} is in use`, { cause: error });
  if (code === "EACCES")
    return new OttlaError("UNAVAILABLE", `${where} may not be used by this user`, { cause: error });
  const detail = error instanceof Error ? error.message : String(error);
  return new OttlaError("UNAVAILABLE", `${where} cannot be listened on: ${detail}`, { cause: error });
}
