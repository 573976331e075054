import { NODE_ROLES, type NodeRole } from "./keys.ts";
import { type ValueCodec, valueCodec } from "./value-parser.ts";

/**
 * creating: partitions are still being written; live: in use; deleting: partitions are being removed, the
 * name is free already; deleted: the tombstone on which storage nodes remove files (and only on it).
 */
export type TopicPhase = "creating" | "live" | "deleting" | "deleted";

const TOPIC_PHASES: readonly TopicPhase[] = ["creating", "live", "deleting", "deleted"];

export interface TopicState {
  readonly name: string;
  /** How many partitions it has, or will have when the phase that is under way ends. */
  readonly partitionCount: number;
  /**
   * Set while partitions are being added: how many it is to have. Those beyond `partitionCount` are not in
   * use yet.
   */
  readonly targetPartitionCount?: number;
  /**
   * While partitions that were placed by hand are being added: where their replicas are to be, one list for
   * each, up to the last of them.
   */
  readonly plannedReplicas?: readonly (readonly number[])[] | undefined;
  readonly replicationFactor: number;
  /** What was set on the topic, by Kafka's names; see `parseTopicConfig` for the effective values. */
  readonly configs: Readonly<Record<string, string>>;
  /**
   * Storage nodes that registered before this revision ran while records were acknowledged unsynced: after a
   * crash their logs may lack some, though the topic is synced now (R9). Absent: none did.
   */
  readonly relaxedUntilRevision?: number | undefined;
  readonly phase: TopicPhase;
  readonly internal: boolean;
  readonly createdAtMs: number;
  /** When it became a tombstone; -1 before that. Tombstones go after a retention time. */
  readonly deletedAtMs: number;
}

export interface PartitionState {
  /** The node id of the leader, -1 for none. */
  readonly leader: number;
  /** The leader is this registration of the node and no other (R2); -1 for none. */
  readonly leaderNodeEpoch: number;
  /** Grows with each change of (leader, leaderNodeEpoch). */
  readonly leaderEpoch: number;
  /** Grows with each change of this state. */
  readonly partitionEpoch: number;
  /** Preferred leader first. Replicas that are being added are among them, those being removed too. */
  readonly replicas: readonly number[];
  /** Not empty while replicas move (KIP-455): leave again when the move is cancelled. */
  readonly addingReplicas?: readonly number[] | undefined;
  /** Leave when all that are added are in sync. */
  readonly removingReplicas?: readonly number[] | undefined;
  readonly isr: readonly number[];
  /**
   * Left the ISR when it was already too small, so they hold all that was acknowledged (R8; Kafka's ELR,
   * KIP-966).
   */
  readonly eligibleReplicas: readonly number[];
  /** The leader before there was none, -1 when it is not known or lost its disk. */
  readonly lastKnownLeader: number;
  /** Effective for this partition: never above the number of replicas (R4). */
  readonly minInsyncReplicas: number;
  /**
   * Set when the last member of the ISR came back with another data directory: there is no leader until this
   * node comes back with this one, which holds all that was acknowledged.
   */
  readonly awaitedNodeId?: number | undefined;
  readonly awaitedDirectoryId?: string | undefined;
}

export interface NodeRegistration {
  readonly role: NodeRole;
  readonly nodeId: number;
  /** host:port of its rpc server, one for each shard; "in-process" where the process is shared. */
  readonly addresses: readonly string[];
  /** The failure domain, for rack-aware placement; "" for none. */
  readonly zone: string;
  readonly version: string;
  /** Random for each start: tells a process its own registration from another's after an unknown outcome. */
  readonly incarnation: string;
  /** Gateways with a Kafka door only: host:port at which Kafka's clients reach it. */
  readonly kafkaAddress?: string;
  /**
   * Storage nodes only: the id kept in the data directory, "" for others. A new one means the data is gone
   * (R9).
   */
  readonly directoryId: string;
  /** When it registered, by its own clock: for people. */
  readonly registeredAtMs?: number | undefined;
  /** The feature levels at which the program can work; absent: 1 alone. See `levelRangeOf`. */
  readonly minFeatureLevel?: number | undefined;
  readonly maxFeatureLevel?: number | undefined;
  /** Storage nodes only: the nodeEpoch of the clean-shutdown mark found at start, -1 after a crash (R9). */
  readonly cleanShutdownNodeEpoch: number;
}

/** cordoned (from feature level 2 on): it takes no replicas, and keeps those that it has. */
export type DrainState = "none" | "cordoned" | "draining" | "drained";

const DRAIN_STATES: readonly DrainState[] = ["none", "cordoned", "draining", "drained"];

/** What the coordinator remembers about a storage node beyond its lease. */
export interface StorageNodeState {
  readonly directoryId: string;
  /** The last registration that the coordinator has dealt with. */
  readonly lastNodeEpoch: number;
  readonly drain: DrainState;
  /**
   * Set while a node that is new, or takes replicas again after a drain, still gets its share of replicas.
   */
  readonly filling?: boolean | undefined;
}

export interface ControllerState {
  readonly nodeId: number;
  readonly address: string;
  /** Random for each campaign: tells a winner its own key after an unknown outcome. */
  readonly incarnation: string;
}

export interface BalancingState {
  readonly paused: boolean;
}

/**
 * The owner epoch in a log of groups is the metadata's times this, plus the number of the loading: an owner
 * reads its groups anew at most so often, each time under a fence of its own (R13).
 */
export const OWNER_LOADINGS = 2 ** 20;

/** Who owns the groups of one partition of the internal topic (R13). */
export interface GroupOwnerState {
  /** The node id of the owner, -1 for none. */
  readonly nodeId: number;
  /** The owner is this registration of the node and no other; -1 for none. */
  readonly nodeEpoch: number;
  /** Grows with each change of (nodeId, nodeEpoch) and never repeats. */
  readonly ownerEpoch: number;
}

/** What was set on a group, by Kafka's names. Versions that do not know these records pass over them. */
export interface GroupConfigState {
  readonly configs: Readonly<Record<string, string>>;
}

/** One coordinator's term. */
export interface TermEntry {
  /** Random for each term. */
  readonly by: string;
  /** Up to there the coordinators before it had written. */
  readonly startRevision: number;
}

/** The last terms, the present one last: the store's history in short. */
export interface TermsState {
  readonly terms: readonly TermEntry[];
}

/** Touched by each write of a coordinator. */
export interface ChangedState {
  readonly term: number;
  /** Absent: written by a version that did not keep terms. */
  readonly by?: string | undefined;
}

/** Written when all epochs are raised beyond what the storage nodes have seen. */
export interface RecoveryState {
  /** Higher than any that a node has seen. */
  readonly generation: number;
}

/** A storage node that does not follow the store: it has seen a later state of it. */
export interface AwaitingState {
  readonly address: string;
  readonly directoryId: string;
  /** Random for each start. */
  readonly incarnation: string;
  readonly generation: number;
  readonly revision: number;
}

export interface TopicNameState {
  readonly topicId: string;
}

export interface ProducerIdState {
  readonly nextProducerId: number;
}

export interface FeatureLevelState {
  readonly level: number;
}

export interface ClusterIdState {
  readonly clusterId: string;
}

export interface SecretProofState {
  readonly proof: string;
}

export const topicStateCodec: ValueCodec<TopicState> = valueCodec("topic", (fields) => {
  fields.text("name");
  fields.integer("partitionCount", 1);
  fields.optionalInteger("targetPartitionCount", 1);
  fields.optionalNodeIdLists("plannedReplicas");
  fields.integer("replicationFactor", 1);
  fields.textMap("configs");
  fields.optionalInteger("relaxedUntilRevision", 0);
  fields.oneOf("phase", TOPIC_PHASES);
  fields.boolean("internal");
  fields.integer("createdAtMs", -1);
  fields.integer("deletedAtMs", -1);
});

export const partitionStateCodec: ValueCodec<PartitionState> = valueCodec("partition", (fields) => {
  fields.integer("leader", -1);
  fields.integer("leaderNodeEpoch", -1);
  fields.integer("leaderEpoch", 0);
  fields.integer("partitionEpoch", 0);
  fields.nodeIds("replicas");
  fields.optionalNodeIds("addingReplicas");
  fields.optionalNodeIds("removingReplicas");
  fields.nodeIds("isr");
  fields.nodeIds("eligibleReplicas");
  fields.integer("lastKnownLeader", -1);
  fields.integer("minInsyncReplicas", 1);
  fields.optionalInteger("awaitedNodeId", 0);
  fields.optionalText("awaitedDirectoryId");
});

export const nodeRegistrationCodec: ValueCodec<NodeRegistration> = valueCodec(
  "node registration",
  (fields) => {
    fields.oneOf("role", NODE_ROLES);
    fields.integer("nodeId", 0);
    fields.texts("addresses");
    fields.optionalText("kafkaAddress");
    fields.text("zone");
    fields.text("version");
    fields.text("incarnation");
    fields.optionalInteger("registeredAtMs", 0);
    fields.optionalInteger("minFeatureLevel", 1);
    fields.optionalInteger("maxFeatureLevel", 1);
    fields.text("directoryId");
    fields.integer("cleanShutdownNodeEpoch", -1);
  },
);

export const storageNodeStateCodec: ValueCodec<StorageNodeState> = valueCodec("storage node", (fields) => {
  fields.text("directoryId");
  fields.integer("lastNodeEpoch", -1);
  fields.oneOf("drain", DRAIN_STATES);
  fields.optionalBoolean("filling");
});

export const controllerStateCodec: ValueCodec<ControllerState> = valueCodec("controller", (fields) => {
  fields.integer("nodeId", 0);
  fields.text("address");
  fields.text("incarnation");
});

export const groupOwnerStateCodec: ValueCodec<GroupOwnerState> = valueCodec("group owner", (fields) => {
  fields.integer("nodeId", -1);
  fields.integer("nodeEpoch", -1);
  fields.integer("ownerEpoch", 0);
});

export const groupConfigStateCodec: ValueCodec<GroupConfigState> = valueCodec("group settings", (fields) => {
  fields.textMap("configs");
});

export const termsStateCodec: ValueCodec<TermsState> = valueCodec("terms", (fields) => {
  fields.termEntries("terms");
});

export const changedStateCodec: ValueCodec<ChangedState> = valueCodec("last change", (fields) => {
  fields.optionalText("by");
});

export const recoveryStateCodec: ValueCodec<RecoveryState> = valueCodec("recovery", (fields) => {
  fields.integer("generation", 1);
});

export const awaitingStateCodec: ValueCodec<AwaitingState> = valueCodec("awaiting node", (fields) => {
  fields.text("address");
  fields.text("directoryId");
  fields.text("incarnation");
  fields.integer("generation", 0);
  fields.integer("revision", 0);
});

export const topicNameStateCodec: ValueCodec<TopicNameState> = valueCodec("topic name", (fields) => {
  fields.text("topicId");
});

export const balancingStateCodec: ValueCodec<BalancingState> = valueCodec("balancing", (fields) => {
  fields.boolean("paused");
});

export const producerIdStateCodec: ValueCodec<ProducerIdState> = valueCodec("producer id", (fields) => {
  fields.integer("nextProducerId", 0);
});

export const featureLevelStateCodec: ValueCodec<FeatureLevelState> = valueCodec("feature level", (fields) => {
  fields.integer("level", 1);
});

export const clusterIdStateCodec: ValueCodec<ClusterIdState> = valueCodec("cluster id", (fields) => {
  fields.text("clusterId");
});

export const secretProofStateCodec: ValueCodec<SecretProofState> = valueCodec("secret proof", (fields) => {
  fields.text("proof");
});
