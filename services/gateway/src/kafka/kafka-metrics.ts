import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type MetricsRegistry } from "@ottla/runtime";

type Child = ReturnType<Histogram<"api">["labels"]>;

/** What the Kafka door measures: requests by API, errors by code, connections. */
export class KafkaMetrics {
  readonly #duration: Histogram<"api">;
  readonly #children = new Map<string, Child>();
  readonly #refused: Counter<"reason">;
  readonly connections: Gauge;

  constructor(registry: MetricsRegistry) {
    this.#duration = new Histogram({
      name: "ottla_gateway_kafka_request_duration_seconds",
      help: "Time from a Kafka request's start to its answer, by API; long polls and waits for replicas included",
      labelNames: ["api"],
      buckets: [...LATENCY_BUCKETS_SECONDS],
      registers: [registry],
    });
    this.#refused = new Counter({
      name: "ottla_gateway_kafka_connections_closed_total",
      help: "Kafka connections that the gateway closed, by reason",
      labelNames: ["reason"],
      registers: [registry],
    });
    this.connections = new Gauge({
      name: "ottla_gateway_kafka_connections",
      help: "Open Kafka connections",
      registers: [registry],
    });
  }

  observe(api: string, durationMs: number): void {
    let child = this.#children.get(api);
    if (child === undefined) {
      child = this.#duration.labels(api);
      this.#children.set(api, child);
    }
    child.observe(durationMs / 1000);
  }

  closed(reason: string): void {
    this.#refused.labels(reason).inc();
  }
}
