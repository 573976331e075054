import type { ErrorCode } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import { Counter, Gauge, type MetricsRegistry } from "@ottla/runtime";

/** What the gauges ask for when they are scraped. */
export interface CoordinatorGauges {
  readonly view: ClusterView;
  isActive(): boolean;
}

const PREFIX = "ottla_coordinator";

/** The metrics of a coordinator. Those about topics and partitions are known to standbys as well. */
export class CoordinatorMetrics {
  readonly #requests: Counter<"operation" | "outcome">;
  readonly #leaderChanges: Counter;
  readonly #failedRounds: Counter;
  readonly #registry: MetricsRegistry;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    const registers = [registry];
    this.#requests = new Counter({
      name: `${PREFIX}_requests_total`,
      help: "Requests answered, by operation and outcome (ok or the error's code)",
      labelNames: ["operation", "outcome"],
      registers,
    });
    this.#leaderChanges = new Counter({
      name: `${PREFIX}_leader_changes_total`,
      help: "Changes of a partition's leader or of its registration, losing it included",
      registers,
    });
    this.#failedRounds = new Counter({
      name: `${PREFIX}_failed_rounds_total`,
      help: "Rounds of bringing the cluster's metadata in order that failed and were tried again",
      registers,
    });
  }

  /** Adds the gauges; once for each registry. */
  observe(gauges: CoordinatorGauges): void {
    const { view } = gauges;
    this.#gauge("active_state", "1 on the elected coordinator, 0 on standbys", () =>
      gauges.isActive() ? 1 : 0,
    );
    this.#gauge("topics", "Live topics", () => view.topicNames().length);
    this.#gauge("partitions", "Partitions of all topics", () => count(view, () => true));
    this.#gauge("offline_partitions", "Partitions without a leader", () => {
      return count(view, (partition) => partition.leader < 0);
    });
    this.#gauge("under_replicated_partitions", "Partitions whose ISR lacks a replica", () => {
      return count(view, ({ isr, replicas }) => isr.length < replicas.length);
    });
    this.#gauge(
      "storage_nodes",
      "Storage nodes that are registered",
      () => view.nodes("partition-storage").length,
    );
  }

  requestAnswered(operation: string, outcome: "ok" | ErrorCode): void {
    this.#requests.labels(operation, outcome).inc();
  }

  leadersChanged(count: number): void {
    this.#leaderChanges.inc(count);
  }

  roundFailed(): void {
    this.#failedRounds.inc();
  }

  #gauge(name: string, help: string, value: () => number): void {
    const gauge = new Gauge({
      name: `${PREFIX}_${name}`,
      help,
      registers: [],
      collect() {
        this.set(value());
      },
    });
    this.#registry.registerMetric(gauge);
  }
}

type Partitions = ReturnType<ClusterView["partitions"]>;
type Partition = Partitions extends Iterable<infer P> ? P : never;

function count(view: ClusterView, matches: (partition: Partition) => boolean): number {
  let total = 0;
  for (const partition of view.partitions()) if (matches(partition)) total += 1;
  return total;
}
