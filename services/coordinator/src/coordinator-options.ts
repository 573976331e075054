import type {
  ClusterView,
  GroupDefaults,
  LevelRange,
  MetadataStore,
  OnHeld,
  TopicConfigMap,
} from "@ottla/metadata";
import type { ServiceRegistry, Transport } from "@ottla/rpc";
import type { Clock, Logger, MetricsRegistry, Random } from "@ottla/runtime";
import type { CoordinatorMutants } from "./mutants.ts";

/** The part of the settings that decides about topics whose creator says nothing else. */
export interface TopicDefaults {
  readonly numPartitions: number;
  /** Undefined: as many as there are storage nodes, three at the most. */
  readonly defaultReplicationFactor?: number | undefined;
  /** Topic settings by Kafka's names. */
  readonly topicDefaults: TopicConfigMap;
  /** The feature level of a cluster that is new; undefined: the highest that the program supports. */
  readonly initialFeatureLevel?: number | undefined;
  /** How the internal topic of consumer groups is created. */
  readonly groups?: { readonly offsetsTopicPartitions: number } & GroupDefaults;
}

export interface CoordinatorLimits {
  readonly maxPartitionsPerTopic: number;
  /** Over all topics; the partitions of topics that are being deleted count until they are gone. */
  readonly maxPartitions: number;
  /** Groups that have settings of their own; they are kept whether the groups are there or not. */
  readonly maxGroupConfigs: number;
  /** How long a tombstone stays for storage nodes that are away. */
  readonly tombstoneRetentionMs: number;
  /** Beyond this many the oldest tombstones go early. */
  readonly maxTombstones: number;
  /**
   * How long a new term waits for storage nodes that it has not seen registered before it takes them for
   * lost, so that a restart of everything does not move every leader away and back.
   */
  readonly absentNodeGraceMs: number;
  /** Requests that wait for their turn; more are refused. */
  readonly maxWaitingRequests: number;
  /** Changes of partitions that are asked for and wait to be written; more are refused. */
  readonly maxWaitingChanges: number;
  /** How long a node that is about to stop is not elected, should it not stop after all. */
  readonly leavingNodeMs: number;
  /** How many partitions move at once: beyond it nobody begins a move that was not asked for. */
  readonly maxReplicaMoves: number;
  /** How long a preferred leader has to be fit to lead before it gets its partition back. */
  readonly preferredLeaderDelayMs: number;
  /** How many partitions go to their preferred leaders at once, and how long until the next ones do. */
  readonly preferredLeadersPerStep: number;
  readonly preferredLeaderStepMs: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;

export const DEFAULT_LIMITS: CoordinatorLimits = {
  maxPartitionsPerTopic: 10_000,
  maxPartitions: 100_000,
  maxGroupConfigs: 10_000,
  tombstoneRetentionMs: 7 * DAY_MS,
  maxTombstones: 10_000,
  absentNodeGraceMs: 2000,
  maxWaitingRequests: 1000,
  maxWaitingChanges: 200_000,
  leavingNodeMs: 60_000,
  maxReplicaMoves: 16,
  preferredLeaderDelayMs: 30_000,
  preferredLeadersPerStep: 50,
  preferredLeaderStepMs: 1000,
};

export const DEFAULT_LEASE_TTL_MS = 5000;

export interface CoordinatorOptions {
  readonly store: MetadataStore;
  /** The name of the cluster in the store. */
  readonly cluster: string;
  /** A view of that cluster, where the process has one already; otherwise the coordinator opens its own. */
  readonly view?: ClusterView;
  readonly nodeId: number;
  /** Where this coordinator's rpc server is reached; "in-process" in a standalone process. */
  readonly address: string;
  readonly zone: string;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** Gets the CoordinatorService. */
  readonly registry: ServiceRegistry;
  readonly settings: TopicDefaults;
  /** To a storage node that waits for a recovery, by its address; absent: this node cannot recover. */
  readonly storageTransport?: (address: string) => Transport;
  readonly limits?: Partial<CoordinatorLimits>;
  /** Time to live of the election's and the registration's lease. Default 5 s. */
  readonly leaseTtlMs?: number;
  /** The feature levels at which the program can work; others than its own for tests. */
  readonly levels?: LevelRange;
  /** Called when another process has the node's id, and when it has not any more. */
  readonly onHeld?: OnHeld;
  /** Deliberate bugs, for tests only. */
  readonly mutants?: CoordinatorMutants;
}
