import { OttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";

/**
 * Checks replicas that a client has placed by hand. Ottla places replicas itself, so an
 * assignment is taken only where there is no choice: each partition on all storage nodes
 * of the cluster. Returns the number of replicas.
 */
export function checkManualAssignments(
  view: ClusterView,
  assignments: readonly (readonly number[])[],
): number {
  const nodeIds = new Set(view.nodes("partition-storage").map(({ nodeId }) => nodeId));
  for (const [index, replicas] of assignments.entries()) {
    const unknown = replicas.find((nodeId) => !nodeIds.has(nodeId));
    if (unknown !== undefined) {
      throw invalid(
        `partition ${index}: there is no storage node ${unknown}; there are ${[...nodeIds].join(", ")}`,
      );
    }
    if (replicas.length === 0) throw invalid(`partition ${index}: no replicas are named`);
    if (new Set(replicas).size < replicas.length)
      throw invalid(`partition ${index}: a storage node is named twice`);
    if (replicas.length < nodeIds.size) {
      throw invalid(
        `partition ${index}: replicas cannot be placed by hand; name a replication factor instead`,
      );
    }
  }
  return nodeIds.size;
}

function invalid(message: string): OttlaError {
  return new OttlaError("INVALID_REPLICA_ASSIGNMENT", `assignments: ${message}`);
}
