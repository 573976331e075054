import type { ErrorCode } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import { Counter, Gauge, type MetricsRegistry } from "@ottla/runtime";
import type { ElectionKind } from "./partition-leadership.ts";
import { isMoving } from "./reassignment-rules.ts";

/** What the gauges ask for when they are scraped. */
export interface CoordinatorGauges {
  readonly view: ClusterView;
  isActive(): boolean;
}

const PREFIX = "ottla_coordinator";

/** The metrics of a coordinator. Those about topics and partitions are known to standbys as well. */
export class CoordinatorMetrics {
  readonly #requests: Counter<"operation" | "outcome">;
  readonly #elections: Counter<"kind">;
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
    this.#elections = new Counter({
      name: `${PREFIX}_elections_total`,
      help:
        "New leader epochs of partitions, by where the leader came from: isr, eligible, last-known, unclean; " +
        "lost: there is none",
      labelNames: ["kind"],
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
    this.#gauge("offline_replicas", "Replicas on storage nodes that are not registered", () => {
      let total = 0;
      for (const { replicas } of view.partitions()) {
        for (const nodeId of replicas) {
          if (view.node("partition-storage", nodeId) === undefined) total += 1;
        }
      }
      return total;
    });
    this.#gauge("under_min_isr_partitions", "Partitions whose ISR is below min.insync.replicas", () => {
      return count(view, ({ isr, minInsyncReplicas }) => isr.length < minInsyncReplicas);
    });
    this.#gauge(
      "leader_imbalance_partitions",
      "Partitions that another than the preferred leader leads",
      () => count(view, ({ leader, replicas }) => leader >= 0 && leader !== replicas[0]),
    );
    this.#gauge("reassigning_partitions", "Partitions whose replicas are being moved", () => {
      return count(view, (state) => isMoving(state));
    });
    this.#gauge("balancing_paused_state", "1 while moves that nobody asked for are paused", () =>
      view.isBalancingPaused ? 1 : 0,
    );
    this.#gauge("draining_storage_nodes", "Storage nodes that are being emptied", () => {
      return view.storageNodeIds().filter((nodeId) => view.storageNode(nodeId)?.drain === "draining").length;
    });
    this.#gauge("filling_storage_nodes", "Storage nodes that still get their share of replicas", () => {
      return view.storageNodeIds().filter((nodeId) => view.storageNode(nodeId)?.filling === true).length;
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

  leaderElected(kind: ElectionKind): void {
    this.#elections.labels(kind).inc();
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
