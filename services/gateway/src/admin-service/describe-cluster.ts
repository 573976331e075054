import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ClusterView, NODE_ROLES } from "@ottla/metadata";
import type { DescribeClusterResponseSchema, NodeSchema } from "@ottla/proto/ottla/v1/admin";
import { VERSION } from "@ottla/runtime";

/** The cluster's nodes by role, with how many partitions the storage nodes lead and hold. */
export function describeCluster(view: ClusterView): MessageInitShape<typeof DescribeClusterResponseSchema> {
  const leaders = new Map<number, number>();
  const replicas = new Map<number, number>();
  for (const partition of view.partitions()) {
    leaders.set(partition.leader, (leaders.get(partition.leader) ?? 0) + 1);
    for (const nodeId of partition.replicas) replicas.set(nodeId, (replicas.get(nodeId) ?? 0) + 1);
  }
  const nodes = NODE_ROLES.flatMap((role) =>
    view.nodes(role).map((node): MessageInitShape<typeof NodeSchema> => {
      const stores = role === "partition-storage";
      return {
        role,
        nodeId: node.nodeId,
        nodeEpoch: BigInt(node.nodeEpoch),
        address: node.addresses[0] ?? "",
        zone: node.zone,
        version: node.version,
        leaderCount: stores ? (leaders.get(node.nodeId) ?? 0) : 0,
        replicaCount: stores ? (replicas.get(node.nodeId) ?? 0) : 0,
      };
    }),
  );
  return {
    clusterId: view.clusterId ?? "",
    controllerId: view.controller?.nodeId ?? -1,
    nodes,
    version: VERSION,
  };
}
