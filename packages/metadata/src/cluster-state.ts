import { includesLevel, levelRangeOf } from "./feature-levels.ts";
import type { MetadataKeys, NodeRole, ParsedKey } from "./keys.ts";
import type { KeyValue, Revision } from "./metadata-store.ts";
import {
  type AwaitingState,
  awaitingStateCodec,
  balancingStateCodec,
  type ControllerState,
  changedStateCodec,
  clusterIdStateCodec,
  controllerStateCodec,
  type FeatureLevelState,
  featureLevelStateCodec,
  type GroupConfigState,
  type GroupOwnerState,
  groupConfigStateCodec,
  groupOwnerStateCodec,
  type NodeRegistration,
  nodeRegistrationCodec,
  type PartitionState,
  partitionStateCodec,
  recoveryStateCodec,
  type StorageNodeState,
  storageNodeStateCodec,
  type TermEntry,
  type TopicState,
  termsStateCodec,
  topicStateCodec,
} from "./values.ts";

/** The value of a key and the revision at which it was last written, to compare with when changing it. */
interface Versioned {
  readonly modRevision: Revision;
}

export interface ClusterTopic extends TopicState, Versioned {
  readonly topicId: string;
}

export interface ClusterPartition extends PartitionState, Versioned {
  readonly topicId: string;
  readonly partition: number;
}

export interface ClusterNode extends NodeRegistration, Versioned {
  /** New at each start of the node: the create revision of its registration. */
  readonly nodeEpoch: number;
}

export interface ClusterStorageNode extends StorageNodeState, Versioned {
  readonly nodeId: number;
}

export interface ClusterGroupOwner extends GroupOwnerState, Versioned {
  readonly partition: number;
}

export interface ClusterGroupConfig extends GroupConfigState, Versioned {}

export interface ClusterFeatureLevel extends FeatureLevelState, Versioned {}

export interface ClusterAwaitingNode extends AwaitingState, Versioned {
  readonly nodeId: number;
}

export interface ClusterController extends ControllerState, Versioned {
  /** The create revision of the election key, which fences all writes of this controller (R1). */
  readonly term: number;
}

/** What a change touched. Look into the view for what stands there now; something gone is gone there too. */
export interface ClusterChange {
  readonly revision: Revision;
  readonly topicIds: ReadonlySet<string>;
  readonly partitions: readonly PartitionRef[];
  readonly nodes: readonly { readonly role: NodeRole; readonly nodeId: number }[];
  readonly storageNodeIds: readonly number[];
  /** Partitions of the groups' internal topic whose owner changed. */
  readonly groupPartitions: readonly number[];
  readonly controllerChanged: boolean;
  /** Moves were paused or resumed. */
  readonly balancingChanged: boolean;
  /** Nodes that came or went with it are among `nodes`. */
  readonly featureLevelChanged: boolean;
  /** The store has gone back or was recovered, or storage nodes began or ceased to wait for that. */
  readonly recoveryChanged: boolean;
}

export interface PartitionRef {
  readonly topicId: string;
  readonly partition: number;
}

/** Collects a `ClusterChange`. */
export class ChangeRecorder implements ClusterChange {
  revision: Revision;
  readonly topicIds = new Set<string>();
  readonly partitions: PartitionRef[] = [];
  readonly nodes: { role: NodeRole; nodeId: number }[] = [];
  readonly storageNodeIds: number[] = [];
  readonly groupPartitions: number[] = [];
  controllerChanged = false;
  balancingChanged = false;
  featureLevelChanged = false;
  recoveryChanged = false;

  constructor(revision: Revision) {
    this.revision = revision;
  }

  get isEmpty(): boolean {
    const touched =
      this.topicIds.size +
      this.partitions.length +
      this.nodes.length +
      this.storageNodeIds.length +
      this.groupPartitions.length;
    const isSame = !this.controllerChanged && !this.balancingChanged && !this.featureLevelChanged;
    return touched === 0 && isSame && !this.recoveryChanged;
  }
}

/**
 * The cluster's metadata, parsed and indexed. Objects that it hands out never change: a change of a key puts
 * a new object in the place of the old one.
 */
export class ClusterState {
  readonly #keys: MetadataKeys;
  readonly topics = new Map<string, ClusterTopic>();
  /** Live topics only. */
  readonly topicIdsByName = new Map<string, string>();
  readonly partitions = new Map<string, Map<number, ClusterPartition>>();
  readonly nodes = new Map<NodeRole, Map<number, ClusterNode>>();
  readonly storageNodes = new Map<number, ClusterStorageNode>();
  readonly groupOwners = new Map<number, ClusterGroupOwner>();
  readonly groupConfigs = new Map<string, ClusterGroupConfig>();
  readonly awaiting = new Map<number, ClusterAwaitingNode>();
  controller: ClusterController | undefined;
  clusterId: string | undefined;
  featureLevel: ClusterFeatureLevel | undefined;
  isBalancingPaused = false;
  recoveryGeneration = 0;
  /** When a coordinator wrote anything for the last time, and which. */
  changedRevision: Revision = 0;
  writtenBy: string | undefined;
  terms: readonly TermEntry[] = [];

  constructor(keys: MetadataKeys) {
    this.#keys = keys;
  }

  /** Throws METADATA_CONFLICT, with nothing changed, when the value cannot be understood. */
  put(entry: KeyValue, change: ChangeRecorder): void {
    const key = this.#keys.parse(entry.key);
    if (key !== undefined) this.#put(key, entry, change);
  }

  delete(keyText: string, change: ChangeRecorder): void {
    const key = this.#keys.parse(keyText);
    if (key === undefined) return;
    switch (key.kind) {
      case "topic":
        this.#unname(key.topicId);
        this.topics.delete(key.topicId);
        change.topicIds.add(key.topicId);
        return;
      case "partition":
        this.#deletePartition(key.topicId, key.partition);
        change.partitions.push({ topicId: key.topicId, partition: key.partition });
        return;
      case "node":
        this.nodes.get(key.role)?.delete(key.nodeId);
        change.nodes.push({ role: key.role, nodeId: key.nodeId });
        return;
      case "storage-node":
        this.storageNodes.delete(key.nodeId);
        change.storageNodeIds.push(key.nodeId);
        return;
      case "group-owner":
        this.groupOwners.delete(key.partition);
        change.groupPartitions.push(key.partition);
        return;
      case "group-config":
        this.groupConfigs.delete(key.groupId);
        return;
      case "controller":
        this.controller = undefined;
        change.controllerChanged = true;
        return;
      case "cluster-id":
        this.clusterId = undefined;
        return;
      case "feature-level":
        this.#setFeatureLevel(undefined, change);
        return;
      case "balancing":
        this.isBalancingPaused = false;
        change.balancingChanged = true;
        return;
      case "awaiting":
        this.awaiting.delete(key.nodeId);
        change.recoveryChanged = true;
        return;
      case "recovery":
        this.recoveryGeneration = 0;
        change.recoveryChanged = true;
        return;
      case "terms":
        this.terms = [];
        return;
      case "changed":
      case "producer-ids":
      case "secret-proof":
      case "topic-name":
        return;
    }
  }

  #put(key: ParsedKey, entry: KeyValue, change: ChangeRecorder): void {
    const { value, modRevision } = entry;
    switch (key.kind) {
      case "topic":
        this.#putTopic({ ...topicStateCodec.parse(value, entry.key), topicId: key.topicId, modRevision });
        change.topicIds.add(key.topicId);
        return;
      case "partition":
        this.#putPartition({
          ...partitionStateCodec.parse(value, entry.key),
          ...partitionRef(key),
          modRevision,
        });
        change.partitions.push(partitionRef(key));
        return;
      case "node":
        this.#putNode(key.role, key.nodeId, entry);
        change.nodes.push({ role: key.role, nodeId: key.nodeId });
        return;
      case "storage-node": {
        const state = storageNodeStateCodec.parse(value, entry.key);
        this.storageNodes.set(key.nodeId, { ...state, nodeId: key.nodeId, modRevision });
        change.storageNodeIds.push(key.nodeId);
        return;
      }
      case "group-owner": {
        const { partition } = key;
        this.groupOwners.set(partition, {
          ...groupOwnerStateCodec.parse(value, entry.key),
          partition,
          modRevision,
        });
        change.groupPartitions.push(partition);
        return;
      }
      case "group-config": {
        const state = groupConfigStateCodec.parse(value, entry.key);
        this.groupConfigs.set(key.groupId, { ...state, modRevision });
        return;
      }
      case "controller": {
        const state = controllerStateCodec.parse(value, entry.key);
        this.controller = { ...state, term: entry.createRevision, modRevision };
        change.controllerChanged = true;
        return;
      }
      case "cluster-id":
        this.clusterId = clusterIdStateCodec.parse(value, entry.key).clusterId;
        return;
      case "feature-level":
        this.#setFeatureLevel({ ...featureLevelStateCodec.parse(value, entry.key), modRevision }, change);
        return;
      case "balancing":
        this.isBalancingPaused = balancingStateCodec.parse(value, entry.key).paused;
        change.balancingChanged = true;
        return;
      case "awaiting":
      case "recovery":
      case "changed":
      case "terms":
        return this.#putHistory(key, entry, change);
      case "producer-ids":
      case "secret-proof":
      case "topic-name":
        return;
    }
  }

  /** Whether the node can work at the cluster's feature level: one that cannot is as good as not there. */
  canWork(node: ClusterNode): boolean {
    const { featureLevel } = this;
    return featureLevel === undefined || includesLevel(levelRangeOf(node), featureLevel.level);
  }

  #setFeatureLevel(featureLevel: ClusterFeatureLevel | undefined, change: ChangeRecorder): void {
    const nodes = [...this.nodes.values()].flatMap((ofRole) => [...ofRole.values()]);
    const couldWork = nodes.map((node) => this.canWork(node));
    this.featureLevel = featureLevel;
    change.featureLevelChanged = true;
    for (const [index, node] of nodes.entries()) {
      if (this.canWork(node) === couldWork[index]) continue;
      change.nodes.push({ role: node.role, nodeId: node.nodeId });
    }
  }

  /** What tells the store's own history, and who does not follow it. */
  #putHistory(key: ParsedKey, { key: text, value, modRevision }: KeyValue, change: ChangeRecorder): void {
    if (key.kind === "changed") {
      this.changedRevision = modRevision;
      this.writtenBy = changedStateCodec.parse(value, text).by;
    } else if (key.kind === "terms") {
      this.terms = termsStateCodec.parse(value, text).terms;
    } else if (key.kind === "recovery") {
      this.recoveryGeneration = recoveryStateCodec.parse(value, text).generation;
      change.recoveryChanged = true;
    } else if (key.kind === "awaiting") {
      const { nodeId } = key;
      this.awaiting.set(nodeId, { ...awaitingStateCodec.parse(value, text), nodeId, modRevision });
      change.recoveryChanged = true;
    }
  }

  #putTopic(topic: ClusterTopic): void {
    this.#unname(topic.topicId);
    this.topics.set(topic.topicId, topic);
    if (topic.phase === "live") this.topicIdsByName.set(topic.name, topic.topicId);
  }

  /** A deleted topic's name may have been taken by a new topic since: that mapping stays. */
  #unname(topicId: string): void {
    const topic = this.topics.get(topicId);
    if (topic === undefined || this.topicIdsByName.get(topic.name) !== topicId) return;
    this.topicIdsByName.delete(topic.name);
  }

  #putPartition(partition: ClusterPartition): void {
    let ofTopic = this.partitions.get(partition.topicId);
    if (ofTopic === undefined) {
      ofTopic = new Map();
      this.partitions.set(partition.topicId, ofTopic);
    }
    ofTopic.set(partition.partition, partition);
  }

  #deletePartition(topicId: string, partition: number): void {
    const ofTopic = this.partitions.get(topicId);
    ofTopic?.delete(partition);
    if (ofTopic?.size === 0) this.partitions.delete(topicId);
  }

  #putNode(role: NodeRole, nodeId: number, entry: KeyValue): void {
    const registration = nodeRegistrationCodec.parse(entry.value, entry.key);
    let ofRole = this.nodes.get(role);
    if (ofRole === undefined) {
      ofRole = new Map();
      this.nodes.set(role, ofRole);
    }
    const { createRevision: nodeEpoch, modRevision } = entry;
    ofRole.set(nodeId, { ...registration, role, nodeId, nodeEpoch, modRevision });
  }
}

function partitionRef(key: PartitionRef): PartitionRef {
  return { topicId: key.topicId, partition: key.partition };
}
