import { invalidRequest, OttlaError } from "@ottla/errors";

/** The replicas of each partition, preferred leader first. */
export type Assignments = readonly (readonly number[])[];

export interface KnownNodes {
  /** Whether there is, or was, such a storage node. */
  isKnown(nodeId: number): boolean;
  isLive(nodeId: number): boolean;
}

/**
 * Checks where a request wants replicas to be, as Kafka does: nodes that are known, none twice, equally many
 * for each partition, one of them alive. Throws INVALID_REPLICA_ASSIGNMENT that names the partition.
 */
export function checkAssignments(
  assignments: Assignments,
  firstPartition: number,
  replicationFactor: number,
  nodes: KnownNodes,
): void {
  for (const [index, replicas] of assignments.entries()) {
    const partition = firstPartition + index;
    const problem = assignmentProblem(replicas, nodes) ?? countProblem(replicas, replicationFactor);
    if (problem !== undefined) throw invalidAssignment(`partition ${partition} ${problem}`);
  }
}

/** What is wrong with the replicas of one partition. */
export function assignmentProblem(replicas: readonly number[], nodes: KnownNodes): string | undefined {
  if (replicas.length === 0) return "has no replicas";
  if (new Set(replicas).size !== replicas.length) return `names a storage node twice: ${replicas.join(", ")}`;
  const unknown = replicas.find((nodeId) => !nodes.isKnown(nodeId));
  if (unknown !== undefined) return `names storage node ${unknown}, which does not exist`;
  if (!replicas.some((nodeId) => nodes.isLive(nodeId))) {
    return `has only storage nodes that are not ready: ${replicas.join(", ")}`;
  }
  return undefined;
}

function countProblem(replicas: readonly number[], replicationFactor: number): string | undefined {
  if (replicas.length === replicationFactor) return undefined;
  return `has ${replicas.length} replicas, others have ${replicationFactor}`;
}

export function invalidAssignment(message: string): OttlaError {
  return new OttlaError("INVALID_REPLICA_ASSIGNMENT", message, { metadata: { field: "assignments" } });
}

/** A count that is given beside assignments must be what follows from them; 0 is not given. */
export function checkCount(field: string, given: number, implied: number): void {
  if (given === 0 || given === implied) return;
  throw invalidRequest(field, `${given} contradicts the assignments, which give ${implied}`, implied);
}
