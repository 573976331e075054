import type { OttlaError } from "@ottla/errors";

/** Topic settings by Kafka's names, for example `{ "retention.ms": "86400000" }`. */
export type TopicConfig = Readonly<Record<string, string | number | boolean>>;

export interface CreateTopicInput {
  readonly name: string;
  /** Absent: the cluster's num.partitions. */
  readonly partitions?: number | undefined;
  /** Absent: the cluster's default.replication.factor. */
  readonly replicationFactor?: number | undefined;
  /**
   * The storage nodes of each partition's replicas, the preferred leader first. Absent: the cluster places
   * them. The numbers of partitions and replicas follow from it.
   */
  readonly assignments?: readonly (readonly number[])[] | undefined;
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
  /** Not in sync, but with all that was acknowledged: the next leader may come from them. */
  readonly eligibleLeaderReplicas: readonly number[];
  /** Replicas whose nodes are not there. */
  readonly offlineReplicas: readonly number[];
  /** Not empty while replicas are being moved. */
  readonly addingReplicas: readonly number[];
  readonly removingReplicas: readonly number[];
  readonly minInSyncReplicas: number;
  /** How far each replica has come; empty when it was not asked for or the leader did not answer. */
  readonly progress: readonly ReplicaProgress[];
}

/** How far a replica has come, as its leader sees it. */
export interface ReplicaProgress {
  readonly nodeId: number;
  /** The end of what it has on disk; -1n when nothing is known. */
  readonly syncedEndOffset: bigint;
  /** Records of the leader that it lacks on disk; -1n when nothing is known. */
  readonly lagRecords: bigint;
  /** For how long it has not been at the leader's end; 0 when it is there, -1 when nothing is known. */
  readonly lagMs: number;
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
  /** The metadata store does not answer: partitions may have been added since, or the topic deleted. */
  readonly unconfirmed: boolean;
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
  /** A storage node that the cluster knows, and that is not there. */
  readonly offline: boolean;
  /** The feature levels at which its program can work; 0, both of them, where nobody knows. */
  readonly minFeatureLevel: number;
  readonly maxFeatureLevel: number;
  /** It is there and takes no part: the cluster's feature level is not among them. */
  readonly refused: boolean;
  /** Whether a storage node is being emptied, has been, or takes no more replicas. */
  readonly drain: DrainStateName;
  /** Replicas of the node that are not in sync. */
  readonly outOfSyncCount: number;
  /** Partitions led by the node whose replicas are not all in sync. */
  readonly underReplicatedCount: number;
  /** Undefined when it was not asked for, or the node did not answer. */
  readonly storage: NodeStorage | undefined;
}

/** cordoned: it takes no replicas and keeps those that it has. */
export type DrainStateName = "none" | "cordoned" | "draining" | "drained";

export interface NodeStorage {
  readonly diskFreeBytes: bigint;
  readonly diskTotalBytes: bigint;
  /** Why the node takes no appends now; undefined when it takes them. */
  readonly appendsRefused: string | undefined;
  /** Records that its replicas lack, all together, as their leaders see it. */
  readonly lagRecords: bigint;
  /** How long the replica that is behind for the longest time has been so. */
  readonly lagMs: number;
}

/** How many partitions there are, and how many of them are amiss. */
export interface PartitionHealth {
  readonly total: number;
  readonly withoutLeader: number;
  /** Fewer replicas are in sync than there are. */
  readonly underReplicated: number;
  /** Fewer than min.insync.replicas are in sync: appends with acks "all" are refused. */
  readonly underMinInSync: number;
  readonly reassigning: number;
  /** Led by another than the preferred leader, which is in sync. */
  readonly notPreferred: number;
}

export interface ClusterDescription {
  readonly clusterId: string;
  /** -1 when no coordinator is active. */
  readonly controllerId: number;
  readonly nodes: readonly NodeDescription[];
  readonly version: string;
  readonly partitions: PartitionHealth;
  /** The cluster moves no replicas by itself. */
  readonly balancingPaused: boolean;
  /** What all nodes may write and say to one another; 0 before the first coordinator was elected. */
  readonly featureLevel: number;
  /** Why the cluster has to be recovered: a backup of its metadata was restored. Undefined: all is well. */
  readonly recoveryNeed: string | undefined;
  /** The metadata store does not answer: this is as it was known last. */
  readonly unconfirmed: boolean;
}

export interface UpgradeClusterInput {
  /** Default: the highest that the coordinator supports. */
  readonly level?: number | undefined;
  /** Check everything and change nothing. */
  readonly dryRun?: boolean | undefined;
}

export interface ClusterUpgrade {
  /** Before the call, and now. */
  readonly formerLevel: number;
  readonly level: number;
  /** The one asked for. */
  readonly targetLevel: number;
  /** What the coordinator supports. */
  readonly minSupportedLevel: number;
  readonly maxSupportedLevel: number;
  readonly nodes: readonly NodeLevels[];
  /** The levels above the former one, up to the target. */
  readonly levels: readonly FeatureLevelDescription[];
  /** Of a dry run: why the level cannot be reached. */
  readonly refusal: string | undefined;
}

/** At which feature levels the program of a node can work; both are 0 for a storage node that is away. */
export interface NodeLevels {
  readonly role: string;
  readonly nodeId: number;
  readonly version: string;
  readonly minLevel: number;
  readonly maxLevel: number;
}

export interface FeatureLevelDescription {
  readonly level: number;
  /** The version of Ottla that knew it first. */
  readonly since: string;
  readonly allows: string;
}

export interface RecoverClusterInput {
  /** Do it; otherwise the plan says what would be done. */
  readonly execute?: boolean | undefined;
  /** Storage nodes that are gone, or not to be waited for: what only they have is lost. */
  readonly withoutNodes?: readonly number[] | undefined;
}

export interface RecoveryPlan {
  /** The storage nodes whose logs were looked at. */
  readonly nodeIds: readonly number[];
  readonly partitionCount: number;
  /** Partitions to look at: records are lost, or may be. */
  readonly notable: readonly RecoveredPartition[];
  /** On disk, of topics younger than the backup: they are put aside. */
  readonly unknown: readonly UnknownPartition[];
}

export interface RecoveredPartition extends PartitionName {
  /** The replicas that have most of it; empty: it stays without leader. */
  readonly inSyncReplicas: readonly number[];
  readonly note: string;
}

export interface UnknownPartition {
  readonly topicId: string;
  readonly partition: number;
  readonly nodeIds: readonly number[];
  readonly logEndOffset: bigint;
}

export interface DescribeClusterOptions {
  readonly timeoutMs?: number;
  /** Ask the storage nodes for their disks and the lag of replicas too. */
  readonly includeStorage?: boolean;
}

export interface ElectLeadersInput {
  /** Absent: all partitions. */
  readonly partitions?: readonly PartitionName[] | undefined;
  /** Where no replica that is in sync is left: take any live one. Records may be lost. */
  readonly unclean?: boolean | undefined;
}

export interface PartitionName {
  readonly topic: string;
  readonly partition: number;
}

export interface ElectionResult extends PartitionName {
  /** The leader now; -1 when there is none. */
  readonly leader: number;
  /** Why there was no election; ELECTION_NOT_NEEDED when the leader is the right one already. */
  readonly error: OttlaError | undefined;
}

/** Where the replicas of a partition are to be. */
export interface PartitionReassignment extends PartitionName {
  /** Storage nodes, the preferred leader first. "cancel" ends the move that is under way. */
  readonly replicas: readonly number[] | "cancel";
}

export interface ReassignmentResult extends PartitionName {
  readonly error: OttlaError | undefined;
}

export interface OngoingReassignment extends PartitionName {
  /** All of now, those that are being added and removed among them. */
  readonly replicas: readonly number[];
  readonly addingReplicas: readonly number[];
  readonly removingReplicas: readonly number[];
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
