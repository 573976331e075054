import type { ErrorCode } from "@ottla/errors";
import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type MetricsRegistry } from "@ottla/runtime";

type Child = ReturnType<Histogram<"api">["labels"]>;

/** What is counted when somebody asks. */
export interface KafkaGauges {
  readonly requestBytes: () => number;
  readonly produceBytes: () => number;
  readonly fetchBytes: () => number;
  readonly sessionPartitions: () => number;
}

/** What the Kafka door measures: requests by API, errors by code, connections. */
export class KafkaMetrics {
  readonly #duration: Histogram<"api">;
  readonly #children = new Map<string, Child>();
  readonly #errors: Counter<"api" | "code">;
  readonly #refused: Counter<"reason">;
  readonly #registry: MetricsRegistry;
  readonly connections: Gauge;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#duration = new Histogram({
      name: "ottla_gateway_kafka_request_duration_seconds",
      help: "Time from a Kafka request's start to its answer, by API; long polls and waits for replicas included",
      labelNames: ["api"],
      buckets: [...LATENCY_BUCKETS_SECONDS],
      registers: [registry],
    });
    this.#errors = new Counter({
      name: "ottla_gateway_kafka_errors_total",
      help: "Errors in answers to Kafka requests, one for each item that failed, by API and Ottla's own code",
      labelNames: ["api", "code"],
      registers: [registry],
    });
    this.#refused = new Counter({
      name: "ottla_gateway_kafka_closed_connections_total",
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

  addGauges(gauges: KafkaGauges): void {
    const add = (name: string, help: string, read: () => number): void => {
      const gauge: Gauge = new Gauge({
        name: `ottla_gateway_kafka_${name}`,
        help,
        registers: [this.#registry],
        collect: () => gauge.set(read()),
      });
    };
    add(
      "request_bytes",
      "Bytes of Kafka requests in work, partly received ones among them",
      gauges.requestBytes,
    );
    add(
      "produce_bytes",
      "Bytes of batches from Kafka connections on their way to storage",
      gauges.produceBytes,
    );
    add("fetch_bytes", "Bytes of fetched batches that Kafka clients have not taken yet", gauges.fetchBytes);
    add("fetch_session_partitions", "Partitions that fetch sessions remember", gauges.sessionPartitions);
  }

  failed(api: string, code: ErrorCode): void {
    this.#errors.labels(api, code).inc();
  }

  closed(reason: string): void {
    this.#refused.labels(reason).inc();
  }
}
