import type { ClusterPartition, ClusterView } from "@ottla/metadata";
import { labelText, type MetricsRegistry } from "@ottla/runtime";

export interface ReplicaExporterOptions {
  readonly registry: MetricsRegistry;
  readonly view: ClusterView;
  /** Partitions beyond this many have no series. */
  readonly maxPartitions: number;
}

interface Reading {
  readonly name: string;
  readonly help: string;
  readonly read: (partition: ClusterPartition) => number;
}

const READINGS: readonly Reading[] = [
  {
    name: "kafka_topic_partition_leader",
    help: "Storage node that leads the partition, -1 for none",
    read: ({ leader }) => leader,
  },
  {
    name: "kafka_topic_partition_leader_is_preferred",
    help: "1 when the preferred replica leads the partition",
    read: ({ leader, replicas }) => Number(leader === replicas[0]),
  },
  {
    name: "kafka_topic_partition_replicas",
    help: "Replicas of the partition",
    read: ({ replicas }) => replicas.length,
  },
  {
    name: "kafka_topic_partition_in_sync_replica",
    help: "Replicas of the partition that are in sync",
    read: ({ isr }) => isr.length,
  },
  {
    name: "kafka_topic_partition_under_replicated_partition",
    help: "1 when fewer replicas are in sync than there are",
    read: ({ isr, replicas }) => Number(isr.length < replicas.length),
  },
];

/** How the replicas of partitions are, from the metadata, under the names of kafka_exporter. */
export function addReplicaExporter({ registry, view, maxPartitions }: ReplicaExporterOptions): void {
  registry.addSampledGauges({
    families: READINGS,
    collect: async (samples) => {
      let left = maxPartitions;
      for (const topic of view.topicNames()) {
        const { topicId = "", partitionCount = 0 } = view.topicByName(topic) ?? {};
        for (let number = 0; number < partitionCount; number += 1) {
          if (left-- <= 0) return;
          await samples.rest();
          const state = view.partition(topicId, number);
          if (state === undefined) continue;
          const labels = labelText({ topic, partition: String(number) });
          for (const { name, read } of READINGS) samples.add(name, labels, read(state));
        }
      }
    },
  });
}
