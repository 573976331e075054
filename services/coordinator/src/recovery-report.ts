import type { ClusterView } from "@ottla/metadata";
import type { DescribeLogsResponse } from "@ottla/proto/ottla/internal/v1/storage";
import type { Recovery } from "./cluster-recovery.ts";
import type { NodeReport } from "./recovery-plan.ts";

/** What a storage node says, with plain numbers. */
export function reportFields(answer: DescribeLogsResponse): Omit<NodeReport, "nodeId"> {
  return {
    directoryId: answer.directoryId,
    nodeEpoch: Number(answer.nodeEpoch),
    generation: Number(answer.generation),
    revision: Number(answer.revision),
    logs: answer.logs.map((log) => ({
      topicId: log.partition?.topicId ?? "",
      partition: log.partition?.partition ?? 0,
      lastEpoch: log.lastEpoch,
      logEndOffset: Number(log.logEndOffset),
      highestLeaderEpoch: log.highestLeaderEpoch,
      highestPartitionEpoch: log.highestPartitionEpoch,
      ownerEpoch: Number(log.ownerEpoch),
      highestProducerId: Number(log.highestProducerId),
      damaged: log.damaged,
      problem: log.error?.message,
    })),
  };
}

/** What an operator is told. */
export function planFields(view: ClusterView, { plan, nodeIds }: Recovery) {
  const notable = plan.partitions.flatMap(({ before, after, note }) => {
    if (note === undefined) return [];
    const topic = view.topicById(before.topicId)?.name ?? before.topicId;
    return [{ topic, partition: before.partition, inSyncReplicas: [...after.isr], note }];
  });
  return {
    nodeIds: [...nodeIds],
    partitionCount: plan.partitions.length,
    notable: notable.toSorted((a, b) => compare(a.topic, b.topic) || a.partition - b.partition),
    unknown: plan.unknown.map(({ topicId, partition, nodeIds: on, logEndOffset }) => ({
      topicId,
      partition,
      nodeIds: [...on],
      logEndOffset: BigInt(logEndOffset),
    })),
  };
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
