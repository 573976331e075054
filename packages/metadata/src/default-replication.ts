import type { ClusterView } from "./cluster-view.ts";

const MOST_BY_DEFAULT = 3;

/**
 * How many replicas a partition gets when neither its creator nor the settings say so: three, or as many as
 * there are storage nodes. Those that are away for the moment count, drained and cordoned ones do not.
 */
export function defaultReplicationFactor(view: ClusterView): number {
  const nodes = view.storageNodeIds().filter((nodeId) => view.storageNode(nodeId)?.drain === "none");
  return Math.max(1, Math.min(MOST_BY_DEFAULT, nodes.length));
}
