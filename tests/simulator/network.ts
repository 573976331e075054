import { OttlaError } from "@ottla/errors";
import type {
  CallEnd,
  DialHandlers,
  SimulatedConnection,
  SimulatedDialer,
  SimulatedServer,
  SimulatedWire,
} from "@ottla/rpc/simulated";
import type { SeededRandom } from "@ottla/runtime";
import type { Scheduler } from "./scheduler.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

export interface Listener {
  readonly process: SimulatedProcess;
  readonly server: SimulatedServer;
}

/** How long a client's probes of a silent connection take to give it up; a server's. */
const CLIENT_KEEPALIVE_MS = 4_000;
const SERVER_KEEPALIVE_MS = 15_000;
/** When an attempt to connect that nobody answers is repeated, and how often. */
const FIRST_DIAL_RETRY_MS = 1_000;
const DIAL_ATTEMPTS = 4;

/**
 * The network between the processes. A host is named as its process; machines that are off answer nothing.
 */
export class SimulatedNetwork {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly #listeners = new Map<string, Listener>();
  readonly #connections = new Set<Connection>();
  /** Directions in which nothing passes, as "from>to". */
  readonly #blocked = new Map<string, number>();
  readonly #hostsOff = new Set<string>();
  /** Hosts to and from which everything takes this much longer. */
  readonly slowHosts = new Map<string, number>();
  /** Addresses behind which several stand, as a Service of Kubernetes. */
  readonly services = new Map<string, readonly string[]>();

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.scheduler = scheduler;
    this.random = random;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  listen(address: string, listener: Listener): void {
    this.#listeners.set(address, listener);
    const { process } = listener;
    process.onDeath(() => {
      if (this.#listeners.get(address) === listener) this.#listeners.delete(address);
    });
  }

  /** The process no longer listens there; connections that exist go on. */
  unlisten(address: string): void {
    this.#listeners.delete(address);
  }

  listenerAt(address: string): Listener | undefined {
    return this.#listeners.get(address);
  }

  dialer(process: SimulatedProcess): SimulatedDialer {
    return { dial: (address, handlers) => this.#dial(process, address, handlers, 0) };
  }

  /** Called when a process has died: its peers hear of it, at once when its machine still runs. */
  processDied(process: SimulatedProcess, machine: "runs" | "is off"): void {
    if (machine === "is off") this.#hostsOff.add(process.name);
    for (const connection of this.#connections) {
      if (connection.client !== process && connection.listener.process !== process) continue;
      if (machine === "runs") connection.breakBoth();
      else connection.breakAfterKeepalive();
    }
  }

  /** The machine runs again: it refuses what belongs to connections of before. */
  machineStarted(host: string): void {
    if (!this.#hostsOff.delete(host)) return;
    for (const connection of this.#connections) if (connection.touches(host)) connection.breakBoth();
  }

  /** A process that is stopped answers no probe. */
  processPaused(process: SimulatedProcess): void {
    for (const connection of this.#connections) {
      if (connection.touches(process.name)) connection.breakAfterKeepalive(() => process.isPaused);
    }
  }

  block(from: string, to: string): void {
    const key = `${from}>${to}`;
    this.#blocked.set(key, (this.#blocked.get(key) ?? 0) + 1);
    for (const connection of this.#connections) {
      if (connection.touches(from) && connection.touches(to)) connection.breakAfterKeepalive();
    }
  }

  unblock(from: string, to: string): void {
    const key = `${from}>${to}`;
    const count = (this.#blocked.get(key) ?? 0) - 1;
    if (count > 0) this.#blocked.set(key, count);
    else this.#blocked.delete(key);
    for (const connection of this.#connections) connection.deliverHeld();
  }

  passes(from: string, to: string): boolean {
    return !this.#blocked.has(`${from}>${to}`) && !this.#hostsOff.has(from) && !this.#hostsOff.has(to);
  }

  latencyMs(from: string, to: string): number {
    const slow = (this.slowHosts.get(from) ?? 0) + (this.slowHosts.get(to) ?? 0);
    const usual = 0.05 + this.random.float() ** 2 * 0.6;
    return slow > 0 ? usual + this.random.float() * slow : usual;
  }

  /** Breaks one connection in so many, of those hosts only or of all. Returns how many broke. */
  breakConnections(share: number, hosts?: readonly string[]): number {
    let count = 0;
    for (const connection of this.#connections) {
      if (hosts !== undefined && !hosts.some((host) => connection.touches(host))) continue;
      if (this.random.float() >= share) continue;
      connection.breakBoth();
      count += 1;
    }
    return count;
  }

  /** Breaks all between one host and others. Returns how many broke. */
  breakBetween(host: string, others: readonly string[]): number {
    let count = 0;
    for (const connection of this.#connections) {
      if (!connection.touches(host) || !others.some((other) => connection.touches(other))) continue;
      connection.breakBoth();
      count += 1;
    }
    return count;
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection);
  }

  #dial(client: SimulatedProcess, address: string, handlers: DialHandlers, attempt: number): void {
    const behind = this.services.get(address);
    const target = behind === undefined ? address : (behind[this.random.integer(behind.length)] ?? address);
    const host = target.split(":")[0] ?? target;
    const roundTripMs = this.latencyMs(client.name, host) + this.latencyMs(host, client.name);
    this.scheduler.after(roundTripMs, () => {
      if (!client.isAlive) return;
      const listener = this.#listeners.get(target);
      const passes = this.passes(client.name, host) && this.passes(host, client.name);
      if (!passes || listener?.process.isPaused === true) {
        if (attempt + 1 >= DIAL_ATTEMPTS) client.enter(() => handlers.onRefused());
        else {
          const pauseMs = FIRST_DIAL_RETRY_MS * 2 ** attempt;
          this.scheduler.after(pauseMs, () => this.#dial(client, target, handlers, attempt + 1));
        }
        return;
      }
      if (listener === undefined) {
        client.enter(() => handlers.onRefused());
        return;
      }
      const connection = new Connection(this, client, listener, handlers);
      this.#connections.add(connection);
      client.enter(() => handlers.onConnected(connection));
    });
  }
}

interface OpenCall {
  readonly client: CallEnd;
  served: CallEnd | undefined;
}

interface Held {
  readonly receiver: SimulatedProcess;
  readonly sender: SimulatedProcess;
  readonly arrive: () => void;
}

/**
 * One connection: what was sent while nothing passed arrives later, unless the connection is given up before.
 */
class Connection implements SimulatedConnection {
  readonly client: SimulatedProcess;
  readonly listener: Listener;
  readonly #network: SimulatedNetwork;
  readonly #handlers: DialHandlers;
  readonly #calls = new Map<SimulatedWire, OpenCall>();
  #held: Held[] = [];
  #isBroken = false;
  #watched = false;

  constructor(
    network: SimulatedNetwork,
    client: SimulatedProcess,
    listener: Listener,
    handlers: DialHandlers,
  ) {
    this.#network = network;
    this.client = client;
    this.listener = listener;
    this.#handlers = handlers;
  }

  get server(): SimulatedServer {
    return this.listener.server;
  }

  touches(host: string): boolean {
    return this.client.name === host || this.listener.process.name === host;
  }

  openWire(client: CallEnd): SimulatedWire {
    const { process } = this.listener;
    const toServer = this.#direction(this.client, process);
    const toClient = this.#direction(process, this.client);
    const wire: SimulatedWire = {
      toServer: (_sizeBytes, arrive) => toServer(arrive),
      toClient: (_sizeBytes, arrive) => toClient(arrive),
    };
    this.#calls.set(wire, { client, served: undefined });
    return wire;
  }

  serverEnd(wire: SimulatedWire, served: CallEnd): void {
    const call = this.#calls.get(wire);
    if (call !== undefined) call.served = served;
  }

  close(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#network.forget(this);
    this.#tell(this.listener.process, this.client.name, () => this.#openCalls().map(({ served }) => served));
  }

  /** Both ends learn that it broke, as soon as they can. */
  breakBoth(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#network.forget(this);
    const { process } = this.listener;
    // The client may begin calls until it hears of it: they break with the others.
    this.#tell(
      this.client,
      process.name,
      () => this.#openCalls().map(({ client }) => client),
      () => this.#handlers.onBroken(),
    );
    this.#tell(process, this.client.name, () => this.#openCalls().map(({ served }) => served));
  }

  /** Unless it comes back meanwhile, both ends give it up: each when its own probes say so. */
  breakAfterKeepalive(isSilent: () => boolean = () => !this.#passesBothWays()): void {
    if (this.#watched) return;
    this.#watched = true;
    this.#network.scheduler.after(CLIENT_KEEPALIVE_MS, () => {
      this.#watched = false;
      if (!this.#isBroken && (isSilent() || !this.#passesBothWays())) this.breakBoth();
    });
  }

  deliverHeld(): void {
    const held = this.#held;
    this.#held = [];
    for (const item of held) this.#deliver(item);
  }

  #openCalls(): OpenCall[] {
    return [...this.#calls.values()];
  }

  #passesBothWays(): boolean {
    const { process } = this.listener;
    const { client } = this;
    return this.#network.passes(client.name, process.name) && this.#network.passes(process.name, client.name);
  }

  #direction(sender: SimulatedProcess, receiver: SimulatedProcess): (arrive: () => void) => void {
    let lastMs = 0;
    return (arrive) => {
      if (!sender.isAlive) return;
      const { scheduler } = this.#network;
      lastMs = Math.max(lastMs, scheduler.nowMs + this.#network.latencyMs(sender.name, receiver.name));
      scheduler.after(lastMs - scheduler.nowMs, () => this.#deliver({ sender, receiver, arrive }));
    };
  }

  #deliver(item: Held): void {
    if (this.#isBroken) return;
    if (this.#network.passes(item.sender.name, item.receiver.name)) item.receiver.enter(item.arrive);
    else this.#held.push(item);
  }

  /** A side that cannot be reached finds out by its own probes, the server later than the client. */
  #tell(
    process: SimulatedProcess,
    peer: string,
    ends: () => readonly (CallEnd | undefined)[],
    then: () => void = () => undefined,
  ): void {
    const isClient = process === this.client;
    const keepaliveMs = isClient ? 0 : SERVER_KEEPALIVE_MS;
    const delayMs = this.#network.passes(peer, process.name)
      ? this.#network.latencyMs(peer, process.name)
      : keepaliveMs;
    const error = new OttlaError("NETWORK_EXCEPTION", `the connection to ${peer} broke`, {
      metadata: { address: peer },
    });
    this.#network.scheduler.after(delayMs, () =>
      process.enter(() => {
        then();
        for (const end of ends()) end?.onBroken(error);
      }),
    );
  }
}
