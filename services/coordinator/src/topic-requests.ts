import { invalidRequest, OttlaError } from "@ottla/errors";
import {
  checkTopicConfig,
  servedSetting,
  type TopicConfigMap,
  type TopicState,
  topicSettingNumber,
  validateTopicName,
} from "@ottla/metadata";
import type { CoordinatorLimits, TopicDefaults } from "./coordinator-options.ts";
import type { Assignments } from "./manual-placement.ts";
import type { TopicNames } from "./topic-names.ts";

export interface NewTopic {
  readonly name: string;
  /** 0: the cluster's `num.partitions`. */
  readonly partitions: number;
  /** 0: the cluster's `default.replication.factor`. */
  readonly replicationFactor: number;
  readonly configs: TopicConfigMap;
  readonly validateOnly: boolean;
  /** Where the replicas of each partition are to be; empty: the coordinator places them. */
  readonly assignments: Assignments;
}

export interface NewPartitions {
  readonly totalPartitions: number;
  readonly validateOnly: boolean;
  /** The same for those that are added. */
  readonly assignments: Assignments;
}

export interface ConfigChange {
  readonly set: TopicConfigMap;
  /** Settings that go back to their default. */
  readonly remove: readonly string[];
}

/** The largest replication factor, so that a request cannot ask for absurd work. */
const MAX_REPLICATION_FACTOR = 15;

/** Throws an error that names the field and the limit when the topic cannot be created. */
export function checkNewTopic(topic: NewTopic, names: TopicNames, limits: CoordinatorLimits): void {
  validateTopicName(topic.name);
  if (names.find(topic.name) !== undefined) {
    throw new OttlaError("TOPIC_ALREADY_EXISTS", `topic "${topic.name}" exists already`, {
      metadata: { field: "name" },
    });
  }
  const collision = names.findCollision(topic.name);
  if (collision !== undefined) {
    throw new OttlaError(
      "INVALID_TOPIC_EXCEPTION",
      `topic name "${topic.name}" collides with the topic "${collision}": they differ only in "." and "_"`,
      { metadata: { field: "name" } },
    );
  }
  if (topic.partitions < 0) throw invalidPartitions("partitions", topic.partitions, limits);
  if (topic.replicationFactor < 0 || topic.replicationFactor > MAX_REPLICATION_FACTOR) {
    throw new OttlaError(
      "INVALID_REPLICATION_FACTOR",
      `replication_factor ${topic.replicationFactor} is not allowed: it must be from 1 to ` +
        `${MAX_REPLICATION_FACTOR}, or 0 for the cluster's default`,
      { metadata: { field: "replication_factor", limit: String(MAX_REPLICATION_FACTOR) } },
    );
  }
  checkTopicConfig(topic.configs);
}

/** Checks how many partitions a topic is to have, and all topics together. */
export function checkPartitionCount(
  field: string,
  wanted: number,
  added: number,
  existing: number,
  limits: CoordinatorLimits,
): void {
  if (wanted < 1 || wanted > limits.maxPartitionsPerTopic) throw invalidPartitions(field, wanted, limits);
  if (existing + added > limits.maxPartitions) {
    throw new OttlaError(
      "INVALID_PARTITIONS",
      `${added} more partitions would make ${existing + added}, the limit is ${limits.maxPartitions}`,
      { metadata: { field, limit: String(limits.maxPartitions) } },
    );
  }
}

function invalidPartitions(field: string, count: number, limits: CoordinatorLimits): OttlaError {
  const limit = limits.maxPartitionsPerTopic;
  return new OttlaError(
    "INVALID_PARTITIONS",
    `${field} ${count} is not allowed: it must be from 1 to ${limit}`,
    {
      metadata: { field, limit: String(limit) },
    },
  );
}

/**
 * R4: more replicas cannot be in sync than there are. A cluster-wide default is taken as "as many as there
 * are".
 */
export function checkMinInsyncReplicas(
  configs: TopicConfigMap,
  replicationFactor: number,
  defaults: TopicDefaults,
): void {
  if (configs["min.insync.replicas"] === undefined) return;
  const wanted = topicSettingNumber("min.insync.replicas", configs, defaults.topicDefaults);
  if (wanted <= replicationFactor) return;
  throw new OttlaError(
    "INVALID_CONFIG",
    `min.insync.replicas = ${wanted} is above the replication factor ${replicationFactor}`,
    { metadata: { field: "configs[min.insync.replicas]", limit: String(replicationFactor) } },
  );
}

/** The settings of a topic after a change, all or none. */
export function changedConfigs(
  topic: TopicState,
  change: ConfigChange,
  defaults: TopicDefaults,
): TopicConfigMap {
  const configs: Record<string, string> = { ...topic.configs };
  for (const name of change.remove) {
    if (Object.hasOwn(change.set, name)) throw invalidRequest("remove", `${name} is in "set" as well`);
    servedSetting(name);
    delete configs[name];
  }
  checkTopicConfig(change.set);
  Object.assign(configs, change.set);
  checkTopicConfig(configs);
  checkMinInsyncReplicas(configs, topic.replicationFactor, defaults);
  return configs;
}

export function unknownTopic(name: string): OttlaError {
  return new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic "${name.slice(0, 260)}" does not exist`, {
    metadata: { field: "name" },
  });
}
