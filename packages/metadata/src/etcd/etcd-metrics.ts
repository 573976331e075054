import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type MetricsRegistry } from "@ottla/runtime";

/** Why a watch was lost, as the label says it. */
export type LostWatchReason = "compacted" | "disconnected" | "gap" | "handler" | "overflow";

/** The metrics of one process's etcd client; all calls do nothing without a registry. */
export class EtcdMetrics {
  readonly #latency: Histogram<"operation" | "outcome"> | undefined;
  readonly #lostWatches: Counter<"reason"> | undefined;
  readonly #available: Gauge | undefined;

  readonly keepAliveAge: Gauge | undefined;

  /**
   * `keepAliveAgeMs` answers with the age of the oldest last keep-alive of all leases held, 0 without leases.
   */
  constructor(registry: MetricsRegistry | undefined, keepAliveAgeMs: () => number) {
    if (registry === undefined) return;
    const registers = [registry];
    this.#latency = new Histogram({
      name: "ottla_metadata_etcd_latency_seconds",
      help: "Time until etcd answered a call, or until the call was given up, by operation and outcome",
      labelNames: ["operation", "outcome"],
      buckets: [...LATENCY_BUCKETS_SECONDS],
      registers,
    });
    this.#lostWatches = new Counter({
      name: "ottla_metadata_lost_watches_total",
      help: "Watches that ended by themselves, each followed by a new list of what it watched",
      labelNames: ["reason"],
      registers,
    });
    this.#available = new Gauge({
      name: "ottla_metadata_store_state",
      help: "1 when etcd answered the last call, 0 while it is away: what is known is served, nothing changes",
      registers,
    });
    this.keepAliveAge = new Gauge({
      name: "ottla_metadata_lease_keep_alive_age_seconds",
      help: "Time since the last answered keep-alive was sent, of the lease that waits longest; 0 without leases",
      registers,
      collect() {
        this.set(keepAliveAgeMs() / 1000);
      },
    });
  }

  observe(operation: string, outcome: "ok" | "error" | "timeout", durationMs: number): void {
    this.#latency?.labels(operation, outcome).observe(durationMs / 1000);
  }

  /** Whether etcd answered, be it with an error. */
  answered(isAnswered: boolean): void {
    this.#available?.set(isAnswered ? 1 : 0);
  }

  watchLost(reason: LostWatchReason): void {
    this.#lostWatches?.labels(reason).inc();
  }
}
