import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type MetricsRegistry } from "@ottla/runtime";
import type { MemberBudget } from "./member-budget.ts";
import type { OwnedPartitions } from "./owned-partitions.ts";

const PREFIX = "ottla_group_coordinator";

/** What a group-coordinator is busy with. Lag and members of groups are in `lag-exporter.ts`. */
export class GroupMetrics {
  readonly #registry: MetricsRegistry;
  readonly #loading: Histogram;
  readonly #refused: Counter;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#loading = new Histogram({
      name: `${PREFIX}_loading_seconds`,
      help: "How long a new owner took to fence and read a partition's groups",
      buckets: [...LATENCY_BUCKETS_SECONDS],
      registers: [registry],
    });
    this.#refused = new Counter({
      name: `${PREFIX}_refused_members_total`,
      help: "Requests of members that were refused because there was no room for what they brought",
      registers: [registry],
    });
  }

  refused(): void {
    this.#refused.inc();
  }

  loaded(durationMs: number): void {
    this.#loading.observe(durationMs / 1000);
  }

  /** Adds the gauges; once for each registry. */
  observe(partitions: OwnedPartitions, budget: MemberBudget): void {
    this.#gauge("owned_partitions", "Partitions of the groups' topic that this node owns", () => {
      return partitions.owned.size;
    });
    this.#gauge("loading_partitions", "Of those, how many are not served yet", () => {
      return [...partitions.owned.values()].filter(({ table }) => table === undefined).length;
    });
    this.#gauge("groups", "Groups that this node keeps", () => partitions.groupCount);
    this.#gauge("member_bytes", "What members of groups have brought and this node holds", () => {
      return budget.heldBytes;
    });
    this.#gauge("member_limit_bytes", "How much of that there may be", () => budget.limitBytes);
  }

  #gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({
      name: `${PREFIX}_${name}`,
      help,
      registers: [this.#registry],
      collect: () => gauge.set(read()),
    });
  }
}
