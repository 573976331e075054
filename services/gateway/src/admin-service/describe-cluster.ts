import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ClusterNode,
  type ClusterView,
  type DrainState,
  levelRangeOf,
  NODE_ROLES,
} from "@ottla/metadata";
import {
  type DescribeClusterResponseSchema,
  type Node,
  type NodeSchema,
  type PartitionHealthSchema,
  DrainState as PublicDrainState,
} from "@ottla/proto/ottla/v1/admin";
import { VERSION } from "@ottla/runtime";
import type { NodeStorageInit } from "./node-storage.ts";

type NodeInit = Exclude<MessageInitShape<typeof NodeSchema>, Node>;

const DRAIN_STATES: Readonly<Record<DrainState, PublicDrainState>> = {
  none: PublicDrainState.NONE,
  cordoned: PublicDrainState.CORDONED,
  draining: PublicDrainState.DRAINING,
  drained: PublicDrainState.DRAINED,
};

/** What a storage node has of the cluster's partitions. */
interface Share {
  leaderCount: number;
  replicaCount: number;
  outOfSyncCount: number;
  underReplicatedCount: number;
}

/** The cluster's nodes by role, what the storage nodes lead and hold, and how the partitions are. */
export function describeCluster(
  view: ClusterView,
  storage: ReadonlyMap<number, NodeStorageInit>,
): MessageInitShape<typeof DescribeClusterResponseSchema> {
  const { shares, partitions } = countPartitions(view);
  const registered = NODE_ROLES.flatMap((role) =>
    view
      .nodes(role)
      .map((node) =>
        role === "partition-storage"
          ? { ...nodeOf(node), ...storageFields(view, node.nodeId, shares, storage) }
          : nodeOf(node),
      ),
  );
  const refused = view.refusedNodes().map((node): NodeInit => ({ ...nodeOf(node), refused: true }));
  const isStorage = ({ role }: { readonly role?: string }): boolean => role === "partition-storage";
  const present = new Set([...registered, ...refused].filter(isStorage).map(({ nodeId }) => nodeId));
  const absent = [...shares.keys()].filter((nodeId) => !present.has(nodeId)).toSorted((a, b) => a - b);
  const offline = absent.map(
    (nodeId): NodeInit => ({
      role: "partition-storage",
      nodeId,
      nodeEpoch: BigInt(view.storageNode(nodeId)?.lastNodeEpoch ?? -1),
      offline: true,
      ...storageFields(view, nodeId, shares, storage),
    }),
  );
  return {
    clusterId: view.clusterId ?? "",
    controllerId: view.controller?.nodeId ?? -1,
    nodes: [...registered, ...refused, ...offline],
    version: VERSION,
    partitions,
    balancingPaused: view.isBalancingPaused,
    featureLevel: view.featureLevel ?? 0,
    recoveryNeed: view.recoveryNeed ?? "",
  };
}

function countPartitions(view: ClusterView): {
  shares: ReadonlyMap<number, Share>;
  partitions: MessageInitShape<typeof PartitionHealthSchema>;
} {
  const shares = new Map<number, Share>();
  const shareOf = (nodeId: number): Share => {
    const share = shares.get(nodeId) ?? {
      leaderCount: 0,
      replicaCount: 0,
      outOfSyncCount: 0,
      underReplicatedCount: 0,
    };
    shares.set(nodeId, share);
    return share;
  };
  const health = {
    total: 0,
    withoutLeader: 0,
    underReplicated: 0,
    underMinInSync: 0,
    reassigning: 0,
    notPreferred: 0,
  };
  for (const partition of view.partitions()) {
    if (view.topicById(partition.topicId)?.phase !== "live") continue;
    const { leader, replicas, isr, addingReplicas = [], removingReplicas = [] } = partition;
    // A replica that is only being added is not missed yet.
    const isUnder = replicas.some((nodeId) => !isr.includes(nodeId) && !addingReplicas.includes(nodeId));
    const preferred = replicas.find((nodeId) => !removingReplicas.includes(nodeId)) ?? -1;
    health.total += 1;
    if (leader < 0) health.withoutLeader += 1;
    else shareOf(leader).leaderCount += 1;
    if (isUnder) health.underReplicated += 1;
    if (isUnder && leader >= 0) shareOf(leader).underReplicatedCount += 1;
    if (isr.length < partition.minInsyncReplicas) health.underMinInSync += 1;
    if (addingReplicas.length + removingReplicas.length > 0) health.reassigning += 1;
    if (leader >= 0 && leader !== preferred && isr.includes(preferred)) health.notPreferred += 1;
    for (const nodeId of replicas) {
      shareOf(nodeId).replicaCount += 1;
      if (!isr.includes(nodeId)) shareOf(nodeId).outOfSyncCount += 1;
    }
  }
  return { shares, partitions: health };
}

function nodeOf(node: ClusterNode): NodeInit {
  const { min, max } = levelRangeOf(node);
  return {
    role: node.role,
    nodeId: node.nodeId,
    nodeEpoch: BigInt(node.nodeEpoch),
    address: node.addresses[0] ?? "",
    zone: node.zone,
    version: node.version,
    minFeatureLevel: min,
    maxFeatureLevel: max,
  };
}

function storageFields(
  view: ClusterView,
  nodeId: number,
  shares: ReadonlyMap<number, Share>,
  storage: ReadonlyMap<number, NodeStorageInit>,
): NodeInit {
  const known = storage.get(nodeId);
  return {
    ...shares.get(nodeId),
    drain: DRAIN_STATES[view.storageNode(nodeId)?.drain ?? "none"],
    ...(known === undefined ? {} : { storage: known }),
  };
}
