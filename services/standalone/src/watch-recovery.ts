import type { ClusterView } from "@ottla/metadata";
import { Gauge, type MetricsRegistry, type Readiness, type Settings } from "@ottla/runtime";

export interface RecoveryWatchOptions {
  readonly view: ClusterView;
  readonly settings: Settings;
  readonly metrics: MetricsRegistry;
  readonly readiness: Readiness;
}

/**
 * Says in metrics and readiness that a backup of the metadata was restored. A process that is a gateway only
 * stays ready: through it the operator sees what has happened, and recovers the cluster.
 */
export function watchRecovery({ view, settings, metrics, readiness }: RecoveryWatchOptions): void {
  const gauge = new Gauge({
    name: "ottla_metadata_recovery_state",
    help: "1 while the metadata store is behind what nodes have seen: see `ottla cluster recover`; else 0",
    registers: [],
    collect() {
      this.set(view.recoveryNeed === undefined ? 0 : 1);
    },
  });
  metrics.registerMetric(gauge);
  if (settings.target.every((role) => role === "gateway")) return;
  readiness.add("metadata-recovery", () => view.recoveryNeed);
}
