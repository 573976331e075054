import { ERRORS } from "@ottla/errors";
import type { ClusterPartition } from "@ottla/metadata";
import type { Topic } from "../topics.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

/**
 * What metadata answers say about a partition. The leader is a virtual broker; replicas are storage nodes.
 */
export interface PartitionMetadata {
  readonly errorCode: number;
  readonly partitionIndex: number;
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly replicaNodes: readonly number[];
  readonly isrNodes: readonly number[];
  readonly offlineReplicas: readonly number[];
  readonly eligibleLeaderReplicas: readonly number[];
  readonly lastKnownElr: readonly number[];
}

const NOTHING: PartitionMetadata = {
  errorCode: ERRORS.LEADER_NOT_AVAILABLE.kafka,
  partitionIndex: 0,
  leaderId: -1,
  leaderEpoch: -1,
  replicaNodes: [],
  isrNodes: [],
  offlineReplicas: [],
  eligibleLeaderReplicas: [],
  lastKnownElr: [],
};

/** The partitions of a topic from `first` on, `count` at most. */
export function partitionMetadata(
  { view, brokers }: Pick<KafkaServices, "view" | "brokers">,
  topic: Topic,
  first = 0,
  count = topic.partitionCount,
): PartitionMetadata[] {
  const brokerOf = brokers.leaders(topic.topicId);
  const online = new Set(view.nodes("partition-storage").map(({ nodeId }) => nodeId));
  const end = Math.min(topic.partitionCount, first + count);
  return Array.from({ length: Math.max(0, end - first) }, (_, index) => {
    const partitionIndex = first + index;
    const state = view.partition(topic.topicId, partitionIndex);
    return state === undefined ? { ...NOTHING, partitionIndex } : describe(state, brokerOf, online);
  });
}

function describe(
  state: ClusterPartition,
  brokerOf: (partition: number) => number,
  online: ReadonlySet<number>,
): PartitionMetadata {
  const hasLeader = state.leader >= 0;
  return {
    errorCode: hasLeader ? NO_ERROR : ERRORS.LEADER_NOT_AVAILABLE.kafka,
    partitionIndex: state.partition,
    leaderId: hasLeader ? brokerOf(state.partition) : -1,
    leaderEpoch: state.leaderEpoch,
    replicaNodes: state.replicas,
    isrNodes: state.isr,
    offlineReplicas: state.replicas.filter((nodeId) => !online.has(nodeId)),
    eligibleLeaderReplicas: state.eligibleReplicas,
    lastKnownElr: state.lastKnownLeader < 0 ? [] : [state.lastKnownLeader],
  };
}

/**
 * Without authorization everybody may do everything: Kafka's bit fields of all operations
 * on a topic and on the cluster.
 */
export const ALL_TOPIC_OPERATIONS = bits([3, 4, 5, 6, 7, 8, 10, 11]);
export const ALL_CLUSTER_OPERATIONS = bits([5, 7, 8, 9, 10, 11, 12]);
/** "Not asked for". */
export const OPERATIONS_NOT_ASKED = -(2 ** 31);

function bits(operations: readonly number[]): number {
  return operations.reduce((field, operation) => field | (1 << operation), 0);
}
