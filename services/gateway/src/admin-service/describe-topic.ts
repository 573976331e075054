import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import {
  type ClusterView,
  describeTopicConfig,
  type TopicConfigMap,
  type TopicConfigSource,
} from "@ottla/metadata";
import type { PartitionDescription } from "@ottla/proto/ottla/internal/v1/storage";
import {
  type ConfigEntrySchema,
  ConfigSource,
  type Partition,
  type PartitionSchema,
  type TopicSchema,
} from "@ottla/proto/ottla/v1/admin";
import type { PartitionRouter } from "@ottla/routing";
import type { Topic } from "../topics.ts";

export type TopicInit = MessageInitShape<typeof TopicSchema>;
type PartitionInit = Exclude<MessageInitShape<typeof PartitionSchema>, Partition>;

const SOURCES: Readonly<Record<TopicConfigSource, ConfigSource>> = {
  default: ConfigSource.DEFAULT,
  static: ConfigSource.STATIC,
  topic: ConfigSource.TOPIC,
};

export function describeConfigs(
  configs: TopicConfigMap,
  topicDefaults: TopicConfigMap,
  replicationFactor: number,
): MessageInitShape<typeof ConfigEntrySchema>[] {
  const entries = describeTopicConfig(configs, topicDefaults, replicationFactor);
  return entries.map(({ name, value, source, documentation }) => ({
    name,
    value,
    source: SOURCES[source],
    documentation,
  }));
}

export interface DescribeOptions {
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  readonly topicDefaults: TopicConfigMap;
}

/**
 * What the metadata says about topics, with their partitions' offsets from the leaders
 * where they are asked for.
 */
export async function describeTopics(
  options: DescribeOptions,
  topics: readonly Topic[],
  include: { readonly offsets: boolean; readonly signal?: AbortSignal },
): Promise<TopicInit[]> {
  const { view, router, topicDefaults } = options;
  const refs = topics.flatMap(({ topicId, partitionCount }) =>
    Array.from({ length: partitionCount }, (_, partition) => ({ topicId, partition })),
  );
  const offsets = include.offsets ? await router.describePartitions(refs, include.signal) : [];
  let next = 0;
  return topics.map((topic) => ({
    name: topic.name,
    topicId: topic.topicId,
    internal: topic.internal,
    configs: describeConfigs(topic.state.configs, topicDefaults, topic.state.replicationFactor),
    partitions: Array.from({ length: topic.partitionCount }, (_, partition) => ({
      ...describePartition(view, topic.topicId, partition),
      ...leaderFields(offsets[next++]),
    })),
  }));
}

function describePartition(view: ClusterView, topicId: string, partition: number): PartitionInit {
  const state = view.partition(topicId, partition);
  if (state === undefined) return { partition, leader: -1, leaderEpoch: -1 };
  const { leader, leaderEpoch, replicas, isr, addingReplicas = [], removingReplicas = [] } = state;
  return {
    partition,
    leader,
    leaderEpoch,
    replicas: [...replicas],
    inSyncReplicas: [...isr],
    eligibleLeaderReplicas: [...state.eligibleReplicas],
    offlineReplicas: replicas.filter((nodeId) => view.node("partition-storage", nodeId) === undefined),
    addingReplicas: [...addingReplicas],
    removingReplicas: [...removingReplicas],
    minInSyncReplicas: state.minInsyncReplicas,
  };
}

function leaderFields(description: PartitionDescription | OttlaError | undefined): PartitionInit {
  if (description === undefined || description instanceof OttlaError) return {};
  const { offsets, replicas } = description;
  const progress = replicas.map(({ nodeId, syncedEndOffset, lagRecords, lagMs }) => ({
    nodeId,
    syncedEndOffset,
    lagRecords,
    lagMs,
  }));
  return { progress, ...(offsets === undefined ? {} : { offsets }) };
}
