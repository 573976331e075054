import type { DataDirectory } from "@ottla/log";
import type { PartitionTerm } from "@ottla/replication";
import type { Clock } from "@ottla/runtime";
import type { PartitionReplica } from "./partition-replica.ts";
import type { PartitionStore } from "./partition-store.ts";
import type { StorageMetrics } from "./storage-metrics.ts";

/** What is counted over all replicas when somebody asks. */
export function addGauges(
  metrics: StorageMetrics,
  store: PartitionStore,
  directory: DataDirectory,
  clock: Clock,
): void {
  const replicas = (): PartitionReplica[] => [...store.replicas()];
  const count = (wanted: (replica: PartitionReplica) => boolean): number => replicas().filter(wanted).length;
  const countLed = (wanted: (term: PartitionTerm) => boolean): number =>
    count(({ leader }) => leader !== undefined && wanted(leader.state.term));
  metrics.addGauges({
    partitions: () => replicas().length,
    leaders: () => count(({ leader }) => leader !== undefined),
    failedPartitions: () => count(({ failure }) => failure !== undefined),
    waitingAppends: () => replicas().reduce((sum, { leader }) => sum + (leader?.waitingAppends ?? 0), 0),
    waitingFetches: () => store.waitingFetches,
    diskFreeBytes: () => directory.spaceGuard.space.freeBytes,
    diskTotalBytes: () => directory.spaceGuard.space.totalBytes,
    underReplicatedPartitions: () => countLed(({ isr, replicas: all }) => isr.length < all.length),
    underMinIsrPartitions: () => countLed(({ isr, minInsyncReplicas }) => isr.length < minInsyncReplicas),
    maxFollowerLagRecords: () =>
      replicas().reduce((max, { leader }) => Math.max(max, leader?.maxLagRecords(clock.monotonic()) ?? 0), 0),
  });
}
