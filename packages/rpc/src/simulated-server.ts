import type { DescMethod } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import { type Clock, LimitedLogger, type Logger } from "@ottla/runtime";
import { methodName, type ServiceRegistry } from "./service-registry.ts";
import type { SimulatedWire } from "./simulated-network.ts";
import { type CallingEnd, SimulatedServedCall } from "./simulated-served-call.ts";
import { isForeign, statusFromError } from "./status.ts";

const MEBIBYTE = 1024 * 1024;

export interface SimulatedServerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxMessageBytes?: number;
  readonly maxUnsentBytesPerStream?: number;
  /** A handler failed in a way that is not for its caller. */
  readonly onForeignError?: (method: string, thrown: unknown) => void;
}

export interface ArrivingCall {
  readonly method: DescMethod;
  readonly metadata: ReadonlyMap<string, string>;
  readonly timeoutMs: number | undefined;
  readonly wire: SimulatedWire;
  readonly client: CallingEnd;
}

/**
 * Serves registries to what comes over the simulated network, as the gRPC server does to what comes over TCP.
 */
export class SimulatedServer {
  readonly #options: SimulatedServerOptions;
  readonly #registries: ServiceRegistry[] = [];
  readonly #calls = new Set<SimulatedServedCall>();
  readonly #faults: LimitedLogger;
  #stopping: OttlaError | undefined;
  #peers = 0;
  #idle: (() => void) | undefined;

  constructor(options: SimulatedServerOptions) {
    this.#options = options;
    this.#faults = new LimitedLogger({ logger: options.logger, clock: options.clock });
  }

  add(registry: ServiceRegistry): void {
    this.#registries.push(registry);
  }

  /** A call has arrived; undefined when it is refused. */
  accept(call: ArrivingCall): SimulatedServedCall | undefined {
    const { clock, maxMessageBytes = 64 * MEBIBYTE } = this.#options;
    const { maxUnsentBytesPerStream = 8 * MEBIBYTE } = this.#options;
    const { client, metadata, timeoutMs, wire } = call;
    const name = methodName(call.method);
    const served = this.#registries
      .map((registry) => registry.find(name))
      .find((found) => found !== undefined);
    if (served === undefined || this.#stopping !== undefined) {
      const refusal =
        this.#stopping ?? new OttlaError("UNIMPLEMENTED", `the server does not implement ${name}`);
      wire.toClient(0, () => client.onStatus(statusFromError(refusal)));
      return undefined;
    }
    this.#peers += 1;
    const accepted: SimulatedServedCall = new SimulatedServedCall(served, {
      clock,
      maxMessageBytes,
      maxUnsentBytesPerStream,
      metadata,
      timeoutMs,
      wire,
      client,
      peer: `peer-${this.#peers}`,
      onFinished: (finished, thrown) => this.#onFinished(finished, thrown),
    });
    this.#calls.add(accepted);
    return accepted;
  }

  /** No new calls; those under way may finish for so long. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = new OttlaError("UNAVAILABLE", "the server is shutting down");
    for (const call of this.#calls) call.drain(this.#stopping);
    if (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#options.clock.setTimer(graceMs, resolve);
        this.#idle = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    for (const call of this.#calls) call.terminate(this.#stopping);
    this.#faults.close();
  }

  #onFinished(call: SimulatedServedCall, thrown: unknown): void {
    this.#calls.delete(call);
    if (this.#calls.size === 0) this.#idle?.();
    if (thrown === undefined || !isForeign(thrown)) return;
    const { method } = call;
    this.#faults.error(method, { err: thrown, method }, "a handler failed");
    this.#options.onForeignError?.(method, thrown);
  }
}
