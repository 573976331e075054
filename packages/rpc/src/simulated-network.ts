import type { OttlaError } from "@ottla/errors";
import type { SimulatedServer } from "./simulated-server.ts";

/**
 * The two directions of one call. What is posted in one direction arrives in the order of the posts,
 * later and within its receiver's process, or never. Calls of one connection do not wait for one another.
 */
export interface SimulatedWire {
  toServer(sizeBytes: number, arrive: () => void): void;
  toClient(sizeBytes: number, arrive: () => void): void;
}

/** What a connection tells one end of a call when it breaks. */
export interface CallEnd {
  onBroken(error: OttlaError): void;
}

/** A connection between two processes, as its client holds it. */
export interface SimulatedConnection {
  readonly server: SimulatedServer;
  openWire(client: CallEnd): SimulatedWire;
  /** The server's end of the call that came over that wire. */
  serverEnd(wire: SimulatedWire, served: CallEnd): void;
  close(): void;
}

export interface DialHandlers {
  onConnected(connection: SimulatedConnection): void;
  /** Nobody listens there, or nothing answers. */
  onRefused(): void;
  /** The connection broke: calls on it have been told. */
  onBroken(): void;
}

/** Opens connections for one process: what the simulator provides. */
export interface SimulatedDialer {
  dial(address: string, handlers: DialHandlers): void;
}
