import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import {
  type ClusterView,
  describeTopicConfig,
  type TopicConfigMap,
  type TopicConfigSource,
} from "@ottla/metadata";
import { type ConfigEntrySchema, ConfigSource, type TopicSchema } from "@ottla/proto/ottla/v1/admin";
import type { PartitionRouter } from "@ottla/routing";
import type { Topic } from "../topics.ts";

export type TopicInit = MessageInitShape<typeof TopicSchema>;

const SOURCES: Readonly<Record<TopicConfigSource, ConfigSource>> = {
  default: ConfigSource.DEFAULT,
  static: ConfigSource.STATIC,
  topic: ConfigSource.TOPIC,
};

export function describeConfigs(
  configs: TopicConfigMap,
  topicDefaults: TopicConfigMap,
): MessageInitShape<typeof ConfigEntrySchema>[] {
  return describeTopicConfig(configs, topicDefaults).map(({ name, value, source, documentation }) => ({
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
    configs: describeConfigs(topic.state.configs, topicDefaults),
    partitions: Array.from({ length: topic.partitionCount }, (_, partition) => {
      const state = view.partition(topic.topicId, partition);
      const description = offsets[next++];
      const found = description instanceof OttlaError ? undefined : description?.offsets;
      return {
        partition,
        leader: state?.leader ?? -1,
        leaderEpoch: state?.leaderEpoch ?? -1,
        replicas: [...(state?.replicas ?? [])],
        inSyncReplicas: [...(state?.isr ?? [])],
        ...(found === undefined ? {} : { offsets: found }),
      };
    }),
  }));
}
