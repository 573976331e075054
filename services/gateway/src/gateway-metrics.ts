import {
  Counter,
  Gauge,
  Histogram,
  LATENCY_BUCKETS_SECONDS,
  LabelLimiter,
  type MetricsRegistry,
} from "@ottla/runtime";

/** What is counted when somebody asks, rather than kept up to date. */
export interface GatewayGauges {
  connections(): number;
  waitingBytes(): number;
  unansweredBytes(): number;
  pendingFetches(): number;
  retries(): number;
  followerReads(): number;
  ejectedNodes(): number;
}

const PREFIX = "ottla_gateway";

/** The metrics of a gateway. Topics beyond the limit are counted together. */
export class GatewayMetrics {
  readonly #registry: MetricsRegistry;
  readonly #topics: LabelLimiter;
  readonly #bytesIn: Counter<"topic">;
  readonly #bytesOut: Counter<"topic">;
  readonly #batches: Counter;
  readonly #appendSeconds: Histogram;
  readonly #failedAppends: Counter<"reason">;

  constructor(registry: MetricsRegistry, maxTopics: number) {
    this.#registry = registry;
    this.#topics = new LabelLimiter({ maxValues: maxTopics });
    const registers = [registry];
    this.#bytesIn = new Counter({
      name: `${PREFIX}_received_bytes_total`,
      help: "Bytes of record batches that were appended, by topic",
      labelNames: ["topic"],
      registers,
    });
    this.#bytesOut = new Counter({
      name: `${PREFIX}_sent_bytes_total`,
      help: "Bytes of record batches that readers got, by topic",
      labelNames: ["topic"],
      registers,
    });
    this.#batches = new Counter({
      name: `${PREFIX}_appended_batches_total`,
      help: "Record batches that were acknowledged",
      registers,
    });
    this.#appendSeconds = new Histogram({
      name: `${PREFIX}_append_duration_seconds`,
      help: "From a checked batch to its acknowledgement",
      buckets: [...LATENCY_BUCKETS_SECONDS],
      registers,
    });
    this.#failedAppends = new Counter({
      name: `${PREFIX}_failed_appends_total`,
      help: "Record batches that were not acknowledged, by error",
      labelNames: ["reason"],
      registers,
    });
  }

  countAppended(topic: string, sizeBytes: number, durationMs: number): void {
    this.#bytesIn.inc({ topic: this.#topics.limit(topic) }, sizeBytes);
    this.#batches.inc();
    this.#appendSeconds.observe(durationMs / 1_000);
  }

  countFailedAppend(reason: string): void {
    this.#failedAppends.inc({ reason });
  }

  countFetched(topic: string, sizeBytes: number): void {
    if (sizeBytes > 0) this.#bytesOut.inc({ topic: this.#topics.limit(topic) }, sizeBytes);
  }

  /** A deleted topic's series go, and its place is free for another. */
  forgetTopic(topic: string): void {
    this.#topics.release(topic);
    this.#bytesIn.remove({ topic });
    this.#bytesOut.remove({ topic });
  }

  addGauges(gauges: GatewayGauges): void {
    const registers = [this.#registry];
    const add = (name: string, help: string, read: () => number): void => {
      const gauge: Gauge = new Gauge({
        name: `${PREFIX}_${name}`,
        help,
        registers,
        collect: () => gauge.set(read()),
      });
    };
    add("busy_connections", "Connections with a call under way", () => gauges.connections());
    add("waiting_bytes", "Bytes of batches that wait for a storage node's credit", () =>
      gauges.waitingBytes(),
    );
    add("unanswered_bytes", "Bytes of batches that storage nodes have not answered", () =>
      gauges.unansweredBytes(),
    );
    add("pending_fetches", "Fetches that storage nodes have not answered", () => gauges.pendingFetches());
    add("ejected_nodes", "Storage nodes left alone for a moment, as their connections keep failing", () =>
      gauges.ejectedNodes(),
    );
    add("follower_reads", "Fetches that a replica of the gateway's zone has answered", () =>
      gauges.followerReads(),
    );
    add("routing_retries", "Times a stale leader was looked up again", () => gauges.retries());
  }
}
