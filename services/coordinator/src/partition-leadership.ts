import type { PartitionState } from "@ottla/metadata";
import { replicaCount } from "./reassignment-rules.ts";

/** Nobody leads, or it is not known who did. */
const NO_NODE = -1;

/** The nodeEpoch of a storage node that is registered and may lead; undefined for all others. */
export type LiveNodes = (nodeId: number) => number | undefined;

/**
 * What a node that registers again brings back (R9). complete: all it had acknowledged, so it keeps its
 * place; incomplete: its own disk, but after a crash under a relaxed flush policy, so the end may be missing;
 * empty: another data directory than `formerDirectoryId`, so it must never win an election.
 */
export type ReturnedLog =
  | { readonly kind: "complete"; readonly directoryId: string }
  | { readonly kind: "incomplete"; readonly directoryId: string }
  | { readonly kind: "empty"; readonly directoryId: string; readonly formerDirectoryId: string };

/**
 * The state of a new partition: the first of the replicas that is alive leads, all that are alive are in sync
 * because there is nothing yet. Where they are too few to acknowledge anything, the others lack nothing
 * either: they are eligible, so that the partition outlives the disks of those few (R8).
 */
export function newPartitionState(
  replicas: readonly number[],
  live: LiveNodes,
  minInsyncReplicas: number,
): PartitionState {
  const alive = replicas.filter((nodeId) => live(nodeId) !== undefined);
  const leader = alive[0] ?? NO_NODE;
  const effectiveMin = Math.min(minInsyncReplicas, replicas.length);
  const isSmall = alive.length > 0 && alive.length < effectiveMin;
  return {
    leader,
    leaderNodeEpoch: live(leader) ?? NO_NODE,
    leaderEpoch: 0,
    partitionEpoch: 0,
    replicas,
    isr: alive.length > 0 ? alive : replicas,
    eligibleReplicas: isSmall ? replicas.filter((nodeId) => !alive.includes(nodeId)) : [],
    lastKnownLeader: NO_NODE,
    minInsyncReplicas: effectiveMin,
  };
}

/**
 * Takes a node whose lease has ended out of the ISR. The last member stays: it has everything. While the ISR
 * is smaller than min.insync.replicas, nothing is acknowledged, so those who leave it then stay eligible (R4,
 * R8).
 */
export function withoutLostNode<S extends PartitionState>(state: S, nodeId: number): S {
  if (!state.isr.includes(nodeId) || state.isr.length === 1) return state;
  const isr = state.isr.filter((member) => member !== nodeId);
  const eligibleReplicas = isr.length >= state.minInsyncReplicas ? [] : [...state.eligibleReplicas, nodeId];
  return { ...state, isr, eligibleReplicas };
}

/**
 * Takes in a replica's node that has registered again; see `ReturnedLog`. The leader is chosen afterwards.
 */
export function withReturnedNode<S extends PartitionState>(state: S, nodeId: number, log: ReturnedLog): S {
  if (state.awaitedNodeId === nodeId && state.awaitedDirectoryId === log.directoryId) {
    return { ...state, isr: [nodeId], ...NOTHING_AWAITED };
  }
  switch (log.kind) {
    case "complete":
      return state;
    case "incomplete":
      return withoutMember(state, nodeId, lastLeaderAfterCrash(state, nodeId));
    case "empty":
      return withoutEmptyLog(state, nodeId, log.formerDirectoryId);
    default:
      return log satisfies never;
  }
}

const NOTHING_AWAITED = { awaitedNodeId: undefined, awaitedDirectoryId: undefined };

function withoutMember<S extends PartitionState>(state: S, nodeId: number, lastKnownLeader: number): S {
  const isMember = state.isr.includes(nodeId) || state.eligibleReplicas.includes(nodeId);
  if (!isMember && state.leader !== nodeId && lastKnownLeader === state.lastKnownLeader) return state;
  const wasLeader = state.leader === nodeId;
  return {
    ...state,
    leader: wasLeader ? NO_NODE : state.leader,
    leaderNodeEpoch: wasLeader ? NO_NODE : state.leaderNodeEpoch,
    isr: state.isr.filter((member) => member !== nodeId),
    eligibleReplicas: state.eligibleReplicas.filter((member) => member !== nodeId),
    lastKnownLeader,
  };
}

/**
 * The sole member of the ISR counts as the last leader too: it had led, or could have, when the node went.
 */
function lastLeaderAfterCrash(state: PartitionState, nodeId: number): number {
  const wasSoleMember = state.isr.length === 1 && state.isr[0] === nodeId;
  return state.leader === nodeId || wasSoleMember ? nodeId : state.lastKnownLeader;
}

function withoutEmptyLog<S extends PartitionState>(state: S, nodeId: number, formerDirectoryId: string): S {
  const lastKnownLeader = state.lastKnownLeader === nodeId ? NO_NODE : state.lastKnownLeader;
  const after = withoutMember(state, nodeId, lastKnownLeader);
  const wasLast = state.isr.includes(nodeId) && after.isr.length + after.eligibleReplicas.length === 0;
  if (!wasLast) return after;
  return { ...after, awaitedNodeId: nodeId, awaitedDirectoryId: formerDirectoryId };
}

export interface ElectionOptions {
  /** Chosen only when the ISR has no other: a leader that resigned. */
  readonly notThisOne?: number | undefined;
  /** Never chosen: nodes that are about to stop. */
  readonly isLeaving?: (nodeId: number) => boolean;
  /** Any live replica may lead when nobody else can, though it may lack acknowledged records. */
  readonly allowsUnclean?: boolean;
  /** Not chosen uncleanly either. */
  readonly isDamaged?: (nodeId: number) => boolean;
  /** For tests only: all replicas count as in sync (R8 broken). */
  readonly ignoresIsr?: boolean;
}

/**
 * Gives the partition a leader that is alive (R8): from the ISR, else from the eligible replicas, else the
 * last known leader when nobody is in either. A leader that has registered again is another leader (R2).
 * Returns the same object when the leader stays, or when there is none to be had and there was none.
 */
export function withElectedLeader<S extends PartitionState>(
  state: S,
  live: LiveNodes,
  options: ElectionOptions = {},
): S {
  if (isLedByLiveNode(state, live)) return state;
  const leader = chooseLeader(state, live, options);
  if (leader === undefined) return withoutLeader(state);
  const leaderNodeEpoch = live(leader) ?? NO_NODE;
  const elected = { ...state, leader, leaderNodeEpoch, lastKnownLeader: NO_NODE, ...NOTHING_AWAITED };
  if (state.isr.includes(leader)) return elected;
  // One who comes from outside the ISR starts it anew. Nothing is acknowledged while that is too small, so
  // all who were in sync or eligible before have everything still.
  const others = state.replicas.filter(
    (nodeId) => nodeId !== leader && (state.isr.includes(nodeId) || state.eligibleReplicas.includes(nodeId)),
  );
  return { ...elected, isr: [leader], eligibleReplicas: state.minInsyncReplicas > 1 ? others : [] };
}

function isLedByLiveNode(state: PartitionState, live: LiveNodes): boolean {
  if (state.leader === NO_NODE || !state.isr.includes(state.leader)) return false;
  return live(state.leader) === state.leaderNodeEpoch;
}

function chooseLeader(state: PartitionState, live: LiveNodes, options: ElectionOptions): number | undefined {
  const { notThisOne, isLeaving } = options;
  const mayLead = (nodeId: number): boolean => live(nodeId) !== undefined && isLeaving?.(nodeId) !== true;
  const inOrder = (members: readonly number[]): number | undefined =>
    state.replicas.find((nodeId) => members.includes(nodeId) && mayLead(nodeId));
  const fit = options.ignoresIsr === true ? state.replicas : state.isr;
  const others = fit.filter((nodeId) => nodeId !== notThisOne);
  const elected = inOrder(others) ?? inOrder(state.isr) ?? inOrder(state.eligibleReplicas);
  if (elected !== undefined) return elected;
  const isSoleLast = state.isr.length + state.eligibleReplicas.length === 0;
  const lastKnown = inOrder([state.lastKnownLeader]);
  if (isSoleLast && lastKnown !== undefined) return lastKnown;
  if (options.allowsUnclean !== true) return undefined;
  return lastKnown ?? inOrder(state.replicas.filter((nodeId) => options.isDamaged?.(nodeId) !== true));
}

/** Gives the lead to the first of the replicas where it is in sync and may lead; else the same object. */
export function withPreferredLeader<S extends PartitionState>(state: S, electable: LiveNodes): S {
  const [preferred = NO_NODE] = state.replicas;
  const leaderNodeEpoch = electable(preferred);
  if (state.leader === preferred || !state.isr.includes(preferred) || leaderNodeEpoch === undefined) {
    return state;
  }
  return { ...state, leader: preferred, leaderNodeEpoch, lastKnownLeader: NO_NODE, ...NOTHING_AWAITED };
}

export type ElectionKind = "isr" | "eligible" | "last-known" | "unclean" | "lost";

/** Where the leader of a new term came from. */
export function electionKind(before: PartitionState, after: PartitionState): ElectionKind {
  const { leader } = after;
  if (leader === NO_NODE) return "lost";
  if (before.isr.includes(leader)) return "isr";
  if (before.eligibleReplicas.includes(leader)) return "eligible";
  const isSoleLast = before.isr.length + before.eligibleReplicas.length === 0;
  return isSoleLast && before.lastKnownLeader === leader ? "last-known" : "unclean";
}

function withoutLeader<S extends PartitionState>(state: S): S {
  if (state.leader === NO_NODE && state.leaderNodeEpoch === NO_NODE) return state;
  const lastKnownLeader = state.leader === NO_NODE ? state.lastKnownLeader : state.leader;
  return { ...state, leader: NO_NODE, leaderNodeEpoch: NO_NODE, lastKnownLeader };
}

/**
 * The state to write after some of the steps above, with its epochs: every change counts in the partition
 * epoch, and one of the leader, losing it included, in the leader epoch, so that the former leader is refused
 * from then on (R2). So does a replica that is taken away: its node deletes the log, and when it is given the
 * partition again, nothing that it acknowledged before may count for the empty one (R3). Kafka's controller
 * does the same. Undefined when nothing changed.
 */
export function changedState<S extends PartitionState>(
  before: S,
  after: S,
  survivesReplica = false,
): S | undefined {
  if (after === before) return undefined;
  const sameLeader = before.leader === after.leader && before.leaderNodeEpoch === after.leaderNodeEpoch;
  const isTakenAway = before.replicas.some((nodeId) => !after.replicas.includes(nodeId));
  if (!sameLeader || (isTakenAway && !survivesReplica)) return withNewTerm(before, after);
  return { ...after, leaderEpoch: before.leaderEpoch, partitionEpoch: before.partitionEpoch + 1 };
}

/**
 * The same in a new leader epoch in any case: a leader that resigned leads again only in another one (R2).
 */
export function withNewTerm<S extends PartitionState>(before: S, after: S): S {
  return { ...after, leaderEpoch: before.leaderEpoch + 1, partitionEpoch: before.partitionEpoch + 1 };
}

/**
 * Applies a changed min.insync.replicas; the eligible replicas were so under the old one only (R4). Without
 * an ISR nothing is acknowledged, whatever the setting: they have everything still, and nobody else is fit.
 */
export function withMinInsyncReplicas<S extends PartitionState>(
  state: S,
  minInsyncReplicas: number,
  keepsEligible = false,
): S {
  const effective = Math.min(minInsyncReplicas, replicaCount(state));
  if (effective === state.minInsyncReplicas) return state;
  const keeps = keepsEligible || state.isr.length === 0;
  const eligibleReplicas = keeps ? state.eligibleReplicas : [];
  return { ...state, minInsyncReplicas: effective, eligibleReplicas };
}
