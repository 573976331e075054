import type { PartitionState } from "@ottla/metadata";

/** The rules of moving replicas (KIP-455) for one partition, as pure functions. */

export function isMoving(state: PartitionState): boolean {
  return adding(state).length + removing(state).length > 0;
}

/** Where the replicas are when no move is under way, or will be when it ends. */
export function targetReplicas(state: PartitionState): readonly number[] {
  const leaving = removing(state);
  return leaving.length === 0 ? state.replicas : state.replicas.filter((id) => !leaving.includes(id));
}

/** Where the replicas were before the move that is under way. */
export function originalReplicas(state: PartitionState): readonly number[] {
  const joining = adding(state);
  return joining.length === 0 ? state.replicas : state.replicas.filter((id) => !joining.includes(id));
}

/**
 * How many replicas count for min.insync.replicas (R4): while a move is under way neither more than there
 * were nor more than there will be, so that a move never makes a partition refuse writes.
 */
export function replicaCount(state: PartitionState): number {
  return Math.min(targetReplicas(state).length, originalReplicas(state).length);
}

/**
 * The state with a move to `target` under way: new replicas come to those that are there, and nobody leaves
 * before all of them are in sync. A move that is under way already goes on to the new target from where the
 * replicas were before it. Undefined when that would leave nobody in sync. The leader is chosen afterwards.
 */
export function withReassignment<S extends PartitionState>(
  state: S,
  target: readonly number[],
): S | undefined {
  const original = originalReplicas(state);
  const addingReplicas = target.filter((id) => !original.includes(id));
  const removingReplicas = original.filter((id) => !target.includes(id));
  const replicas = [...target, ...removingReplicas];
  return withReplicas(state, { replicas, addingReplicas, removingReplicas });
}

/** Back to where the replicas were. Undefined when none of those is in sync. */
export function withCancelledReassignment<S extends PartitionState>(state: S): S | undefined {
  const replicas = originalReplicas(state);
  return withReplicas(state, { replicas, addingReplicas: [], removingReplicas: [] });
}

/**
 * The state after a move whose new replicas are all in sync, when enough of those that stay are: the same
 * object while that is not so. The leader is chosen afterwards.
 */
export function withCompletedReassignment<S extends PartitionState>(state: S, minInsyncReplicas: number): S {
  if (!isMoving(state)) return state;
  const replicas = targetReplicas(state);
  const inSync = state.isr.filter((id) => replicas.includes(id));
  const needed = Math.max(1, Math.min(minInsyncReplicas, replicas.length));
  if (inSync.length < needed || !adding(state).every((id) => inSync.includes(id))) return state;
  return withReplicas(state, { replicas, addingReplicas: [], removingReplicas: [] }) ?? state;
}

interface Move {
  readonly replicas: readonly number[];
  readonly addingReplicas: readonly number[];
  readonly removingReplicas: readonly number[];
}

/** Those who are no longer replicas count for nothing. Undefined when nobody would be in sync then. */
function withReplicas<S extends PartitionState>(state: S, move: Move): S | undefined {
  const { replicas, addingReplicas, removingReplicas } = move;
  const stays = (id: number): boolean => replicas.includes(id);
  const isr = state.isr.filter(stays);
  if (isr.length === 0 && state.isr.length > 0) return undefined;
  const leaderStays = stays(state.leader);
  return {
    ...state,
    replicas,
    addingReplicas: addingReplicas.length > 0 ? addingReplicas : undefined,
    removingReplicas: removingReplicas.length > 0 ? removingReplicas : undefined,
    isr,
    eligibleReplicas: state.eligibleReplicas.filter(stays),
    leader: leaderStays ? state.leader : -1,
    leaderNodeEpoch: leaderStays ? state.leaderNodeEpoch : -1,
    lastKnownLeader: stays(state.lastKnownLeader) ? state.lastKnownLeader : -1,
  };
}

function adding(state: PartitionState): readonly number[] {
  return state.addingReplicas ?? [];
}

function removing(state: PartitionState): readonly number[] {
  return state.removingReplicas ?? [];
}
