import { OttlaError } from "@ottla/errors";
import {
  ConfigSource,
  type DescribeClusterResponse,
  DrainState,
  type Node,
  type UpgradeClusterResponse,
  type ConfigEntry as WireConfig,
  type Partition as WirePartition,
  type NodeStorage as WireStorage,
  type Topic as WireTopic,
} from "@ottla/proto/ottla/v1/admin";
import { errorFromMessage } from "@ottla/rpc";
import type {
  ClusterDescription,
  ClusterUpgrade,
  ConfigEntry,
  ConfigSourceName,
  DrainStateName,
  NodeDescription,
  NodeStorage,
  PartitionDescription,
  TopicDescription,
} from "./admin-types.ts";

/** Turns answers of the server into what the SDK gives. */
export function describeTopic(topic: WireTopic | undefined, name: string): TopicDescription {
  if (topic === undefined) throw missing(`description of topic ${name}`);
  if (topic.error !== undefined) throw errorFromMessage(topic.error);
  return {
    name: topic.name,
    topicId: topic.topicId,
    internal: topic.internal,
    partitions: topic.partitions.map(describePartition),
    configs: topic.configs.map(describeConfig),
    unconfirmed: topic.unconfirmed,
  };
}

function describePartition(wire: WirePartition): PartitionDescription {
  const { partition, leader, leaderEpoch, replicas, inSyncReplicas, offsets } = wire;
  return {
    partition,
    leader,
    leaderEpoch,
    replicas,
    inSyncReplicas,
    offsets: offsets && {
      logStartOffset: offsets.logStartOffset,
      highWatermark: offsets.highWatermark,
      logEndOffset: offsets.logEndOffset,
      sizeBytes: offsets.sizeBytes,
    },
    eligibleLeaderReplicas: wire.eligibleLeaderReplicas,
    offlineReplicas: wire.offlineReplicas,
    addingReplicas: wire.addingReplicas,
    removingReplicas: wire.removingReplicas,
    minInSyncReplicas: wire.minInSyncReplicas,
    progress: wire.progress.map(({ nodeId, syncedEndOffset, lagRecords, lagMs }) => ({
      nodeId,
      syncedEndOffset,
      lagRecords,
      lagMs: Number(lagMs),
    })),
  };
}

export function describeConfig({ name, value, source, documentation }: WireConfig): ConfigEntry {
  return { name, value, source: SOURCE_NAMES[source], documentation };
}

const SOURCE_NAMES: Readonly<Record<ConfigSource, ConfigSourceName>> = {
  [ConfigSource.UNSPECIFIED]: "default",
  [ConfigSource.DEFAULT]: "default",
  [ConfigSource.STATIC]: "static",
  [ConfigSource.TOPIC]: "topic",
};

const DRAIN_NAMES: Readonly<Record<DrainState, DrainStateName>> = {
  [DrainState.UNSPECIFIED]: "none",
  [DrainState.NONE]: "none",
  [DrainState.CORDONED]: "cordoned",
  [DrainState.DRAINING]: "draining",
  [DrainState.DRAINED]: "drained",
};

export function describeCluster(wire: DescribeClusterResponse): ClusterDescription {
  const { clusterId, controllerId, nodes, version, partitions, balancingPaused } = wire;
  return {
    clusterId,
    controllerId,
    version,
    nodes: nodes.map(describeNode),
    partitions: {
      total: partitions?.total ?? 0,
      withoutLeader: partitions?.withoutLeader ?? 0,
      underReplicated: partitions?.underReplicated ?? 0,
      underMinInSync: partitions?.underMinInSync ?? 0,
      reassigning: partitions?.reassigning ?? 0,
      notPreferred: partitions?.notPreferred ?? 0,
    },
    balancingPaused,
    featureLevel: wire.featureLevel,
    recoveryNeed: wire.recoveryNeed === "" ? undefined : wire.recoveryNeed,
    unconfirmed: wire.unconfirmed,
  };
}

function describeNode(node: Node): NodeDescription {
  return {
    role: node.role,
    nodeId: node.nodeId,
    nodeEpoch: node.nodeEpoch,
    address: node.address,
    zone: node.zone,
    version: node.version,
    leaderCount: node.leaderCount,
    replicaCount: node.replicaCount,
    offline: node.offline,
    minFeatureLevel: node.minFeatureLevel,
    maxFeatureLevel: node.maxFeatureLevel,
    refused: node.refused,
    drain: DRAIN_NAMES[node.drain],
    outOfSyncCount: node.outOfSyncCount,
    underReplicatedCount: node.underReplicatedCount,
    storage: node.storage && describeStorage(node.storage),
  };
}

export function describeUpgrade(wire: UpgradeClusterResponse): ClusterUpgrade {
  const { formerLevel, level, targetLevel, minSupportedLevel, maxSupportedLevel, refusal } = wire;
  return {
    formerLevel,
    level,
    targetLevel,
    minSupportedLevel,
    maxSupportedLevel,
    nodes: wire.nodes.map(({ role, nodeId, version, minLevel, maxLevel }) => ({
      role,
      nodeId,
      version,
      minLevel,
      maxLevel,
    })),
    levels: wire.levels.map(({ level: number, since, allows }) => ({ level: number, since, allows })),
    refusal: refusal === "" ? undefined : refusal,
  };
}

function describeStorage(storage: WireStorage): NodeStorage {
  const { diskFreeBytes, diskTotalBytes, appendsRefused, lagRecords, lagMs } = storage;
  return {
    diskFreeBytes,
    diskTotalBytes,
    appendsRefused: appendsRefused?.message,
    lagRecords,
    lagMs: Number(lagMs),
  };
}

export function missing(what: string): OttlaError {
  return new OttlaError("UNKNOWN_SERVER_ERROR", `the server's answer lacks the ${what}`);
}
