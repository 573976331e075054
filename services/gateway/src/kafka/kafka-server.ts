import type { OttlaError } from "@ottla/errors";
import type { Clock, Connection, LimitedLogger, Listener, Network, Timer, Tracer } from "@ottla/runtime";
import { KafkaDispatcher } from "./dispatcher.ts";
import type { AnyKafkaHandler } from "./handler.ts";
import { KafkaConnection, type KafkaConnectionLimits } from "./kafka-connection.ts";
import type { KafkaFailures } from "./kafka-failures.ts";
import type { KafkaMetrics } from "./kafka-metrics.ts";
import type { RequestMemory } from "./request-memory.ts";

const IDLE_SWEEP_MS = 10_000;

export interface KafkaServerOptions {
  readonly network: Network;
  readonly host: string;
  readonly port: number;
  readonly handlers: readonly AnyKafkaHandler[];
  readonly limits: KafkaConnectionLimits;
  readonly memory: RequestMemory;
  /** Connections above it are closed at once: Kafka's max.connections. */
  readonly maxConnections: number;
  readonly clock: Clock;
  readonly failures: KafkaFailures;
  /** For one line a closed connection, but not a flood of them. */
  readonly limitedLogger: LimitedLogger;
  readonly metrics: KafkaMetrics;
  readonly tracer?: Tracer | undefined;
}

/**
 * The Kafka door: accepts connections, bounds their number, and closes those that break
 * the protocol or fall silent.
 */
export class KafkaServer {
  readonly #options: KafkaServerOptions;
  readonly #dispatcher: KafkaDispatcher;
  readonly #connections = new Set<KafkaConnection>();
  #listener: Listener | undefined;
  #sweep: Timer | undefined;
  #nextId = 1;
  #onEmpty: (() => void) | undefined;

  constructor(options: KafkaServerOptions) {
    this.#options = options;
    this.#dispatcher = new KafkaDispatcher(options);
  }

  get port(): number {
    return this.#listener?.port ?? this.#options.port;
  }

  async listen(): Promise<void> {
    const { network, host, port } = this.#options;
    this.#listener = await network.listen({ host, port }, (connection) => this.#accept(connection));
    this.#scheduleSweep();
  }

  /**
   * Accepts no more, lets each connection answer what it has begun for at most `graceMs`,
   * then drops what is left.
   */
  async close(graceMs: number): Promise<void> {
    this.#sweep?.cancel();
    await this.#listener?.close();
    for (const connection of this.#connections) connection.drain();
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer(graceMs, () => {
        for (const connection of this.#connections) connection.close();
      });
      this.#onEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #accept(connection: Connection): void {
    const { maxConnections, limits, memory, clock, metrics, limitedLogger } = this.#options;
    if (this.#connections.size >= maxConnections) {
      metrics.closed("too_many_connections");
      limitedLogger.warn(
        "kafka-connections",
        { peer: connection.remoteAddress, maxConnections },
        "too many Kafka connections",
      );
      connection.destroy();
      return;
    }
    const kafka = new KafkaConnection({
      id: this.#nextId++,
      connection,
      dispatcher: this.#dispatcher,
      limits,
      memory,
      clock,
      onClosed: (reason) => this.#onClosed(kafka, reason),
    });
    this.#connections.add(kafka);
    metrics.connections.set(this.#connections.size);
    kafka.start();
  }

  #onClosed(connection: KafkaConnection, reason: OttlaError | undefined): void {
    const { metrics, limitedLogger } = this.#options;
    this.#connections.delete(connection);
    metrics.connections.set(this.#connections.size);
    if (this.#connections.size === 0) this.#onEmpty?.();
    if (reason === undefined || reason.code === "CANCELLED") return;
    metrics.closed(reason.code.toLowerCase());
    const fields = { peer: connection.remoteAddress, reason: reason.message };
    limitedLogger.warn(`kafka-closed-${reason.code}`, fields, "closed a Kafka connection");
  }

  #scheduleSweep(): void {
    const { clock } = this.#options;
    this.#sweep = clock.setTimer(
      IDLE_SWEEP_MS,
      () => {
        const nowMs = clock.monotonic();
        for (const connection of this.#connections) connection.closeIfIdle(nowMs);
        this.#scheduleSweep();
      },
      { background: true },
    );
  }
}
