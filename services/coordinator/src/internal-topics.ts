import { GROUPS_TOPIC } from "@ottla/metadata";
import type { TopicDefaults } from "./coordinator-options.ts";
import type { NewTopic } from "./topic-requests.ts";

const DEFAULT_GROUPS_PARTITIONS = 50;
/** As in Kafka: small segments, so that a new owner has little to read that compaction has not seen. */
const SEGMENT_BYTES = 100 * 1024 * 1024;
/** One record holds all members of a group with their subscriptions. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;

/** The system's own topics have settings that no user chooses: what the request leaves open is filled in. */
export function withInternalDefaults(topic: NewTopic, defaults: TopicDefaults): NewTopic {
  if (topic.name !== GROUPS_TOPIC) return topic;
  return {
    ...topic,
    partitions: topic.partitions || (defaults.groups?.offsetsTopicPartitions ?? DEFAULT_GROUPS_PARTITIONS),
    configs: { ...groupsTopicConfigs(), ...topic.configs },
  };
}

/** Of each group and partition the last commit stays. */
function groupsTopicConfigs(): Record<string, string> {
  return {
    "segment.bytes": String(SEGMENT_BYTES),
    "max.message.bytes": String(MAX_BATCH_BYTES),
    "compression.type": "producer",
    // A synced log, whatever the cluster's default is: an answered commit survives a power cut.
    "flush.messages": "1",
    "cleanup.policy": "compact",
  };
}
