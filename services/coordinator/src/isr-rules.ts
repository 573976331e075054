import type { PartitionState } from "@ottla/metadata";
import type { CoordinatorMutants } from "./mutants.ts";

/** A registration of a node (R2). */
export interface NodeInstance {
  readonly nodeId: number;
  readonly nodeEpoch: number;
}

/** A leader's request to change the ISR of its partition. */
export interface IsrProposal {
  readonly leader: NodeInstance;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly isr: readonly number[];
  readonly added: readonly NodeInstance[];
  /** Leaving members that lost records below the high watermark (R12). */
  readonly lostRecords: readonly number[];
}

export type IsrRefusal = "stale-partition-epoch" | "ineligible-replica" | "fenced-leader-epoch";

/** Whether this registration of a node stands, was dealt with, and is not about to end (R7). */
export type MayJoin = (node: NodeInstance) => boolean;

/**
 * The state with the ISR as its leader wants it, or why not. The same ISR as before is a change too: the
 * leader settles with it what became of an earlier proposal.
 */
export function withProposedIsr<S extends PartitionState>(
  state: S,
  proposal: IsrProposal,
  mayJoin: MayJoin,
  mutants: CoordinatorMutants,
): S | IsrRefusal {
  const { leader, isr, lostRecords } = proposal;
  if (
    proposal.leaderEpoch !== state.leaderEpoch ||
    leader.nodeId !== state.leader ||
    leader.nodeEpoch !== state.leaderNodeEpoch
  ) {
    return "fenced-leader-epoch";
  }
  const isCompared = !mutants.has("isr-without-compare");
  if (isCompared && proposal.partitionEpoch !== state.partitionEpoch) return "stale-partition-epoch";
  if (!isFit(state, proposal, mayJoin, mutants)) return "ineligible-replica";
  const left = state.isr.filter((nodeId) => !isr.includes(nodeId) && !lostRecords.includes(nodeId));
  const isSmall = isr.length < state.minInsyncReplicas;
  return {
    ...state,
    isr: state.replicas.filter((nodeId) => isr.includes(nodeId)),
    // R4: what is acknowledged from now on, they do not have. While nothing is, they have everything (R8).
    eligibleReplicas: isSmall ? eligibleAfter(state, left, proposal) : [],
    partitionEpoch: state.partitionEpoch + 1,
  };
}

function eligibleAfter(state: PartitionState, left: readonly number[], proposal: IsrProposal): number[] {
  const { isr, lostRecords } = proposal;
  return [...state.eligibleReplicas, ...left].filter(
    (nodeId) => !isr.includes(nodeId) && !lostRecords.includes(nodeId),
  );
}

function isFit(
  state: PartitionState,
  proposal: IsrProposal,
  mayJoin: MayJoin,
  mutants: CoordinatorMutants,
): boolean {
  const { isr, added, leader } = proposal;
  if (!isr.includes(leader.nodeId)) return false;
  const joining = new Set(added.map(({ nodeId }) => nodeId));
  const areKnown = isr.every(
    (nodeId) =>
      state.replicas.includes(nodeId) &&
      (state.isr.includes(nodeId) || joining.has(nodeId) || mutants.has("isr-without-compare")),
  );
  return areKnown && (mutants.has("joins-unregistered") || added.every(mayJoin));
}

/** R12: a replica with a hole neither leads nor counts. The leader is chosen afterwards. */
export function withoutDamagedReplica<S extends PartitionState>(state: S, nodeId: number): S {
  const isMember =
    state.isr.includes(nodeId) || state.eligibleReplicas.includes(nodeId) || state.lastKnownLeader === nodeId;
  if (!isMember && state.leader !== nodeId) return state;
  const isLeader = state.leader === nodeId;
  return {
    ...state,
    leader: isLeader ? -1 : state.leader,
    leaderNodeEpoch: isLeader ? -1 : state.leaderNodeEpoch,
    isr: state.isr.filter((member) => member !== nodeId),
    eligibleReplicas: state.eligibleReplicas.filter((member) => member !== nodeId),
    lastKnownLeader: state.lastKnownLeader === nodeId ? -1 : state.lastKnownLeader,
  };
}

/**
 * Takes a node that is about to stop out of the ISR where enough others remain, so that the high watermark
 * does not wait for it.
 */
export function withoutLeavingMember<S extends PartitionState>(state: S, nodeId: number): S {
  if (state.leader === nodeId || !state.isr.includes(nodeId)) return state;
  const isr = state.isr.filter((member) => member !== nodeId);
  if (isr.length === 0 || isr.length < state.minInsyncReplicas) return state;
  return { ...state, isr, eligibleReplicas: [] };
}
