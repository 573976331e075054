/** Topic settings by Kafka's names, for example `{ "retention.ms": "86400000" }`. */
export type TopicConfig = Readonly<Record<string, string | number | boolean>>;

export interface CreateTopicInput {
  readonly name: string;
  /** Absent: the cluster's num.partitions. */
  readonly partitions?: number | undefined;
  /** Absent: the cluster's default.replication.factor. */
  readonly replicationFactor?: number | undefined;
  readonly configs?: TopicConfig | undefined;
  /** Check everything and create nothing. */
  readonly validateOnly?: boolean | undefined;
}

export interface AlterTopicConfigInput {
  readonly name: string;
  readonly set?: TopicConfig | undefined;
  /** Settings that go back to their default. */
  readonly remove?: readonly string[] | undefined;
  readonly validateOnly?: boolean | undefined;
}

export interface TopicSummary {
  readonly name: string;
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly internal: boolean;
}

export interface PartitionDescription {
  readonly partition: number;
  /** -1 when there is none. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
  /** Undefined when it was not asked for or the leader did not answer. */
  readonly offsets: PartitionOffsets | undefined;
}

export interface PartitionOffsets {
  readonly logStartOffset: bigint;
  readonly highWatermark: bigint;
  readonly logEndOffset: bigint;
  readonly sizeBytes: bigint;
}

export type ConfigSourceName = "default" | "static" | "topic";

export interface ConfigEntry {
  readonly name: string;
  readonly value: string;
  readonly source: ConfigSourceName;
  readonly documentation: string;
}

export interface TopicDescription {
  readonly name: string;
  readonly topicId: string;
  readonly internal: boolean;
  readonly partitions: readonly PartitionDescription[];
  readonly configs: readonly ConfigEntry[];
}

export interface NodeDescription {
  readonly role: string;
  readonly nodeId: number;
  readonly nodeEpoch: bigint;
  readonly address: string;
  readonly zone: string;
  readonly version: string;
  readonly leaderCount: number;
  readonly replicaCount: number;
}

export interface ClusterDescription {
  readonly clusterId: string;
  /** -1 when no coordinator is active. */
  readonly controllerId: number;
  readonly nodes: readonly NodeDescription[];
  readonly version: string;
}

/** A place in a partition to ask for by name. */
export type OffsetAt = "earliest" | "latest" | "maxTimestamp" | { readonly timestampMs: number };

export interface OffsetQuery {
  readonly topic: string;
  readonly partition: number;
  readonly at: OffsetAt;
}

export interface OffsetAnswer {
  readonly topic: string;
  readonly partition: number;
  /** -1n when no record matches. */
  readonly offset: bigint;
  /** The record's timestamp, or -1. */
  readonly timestampMs: number;
  readonly leaderEpoch: number;
}
