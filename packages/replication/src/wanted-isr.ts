import type { FollowerProgress } from "./follower-progress.ts";
import type { IsrProposal } from "./in-sync-replicas.ts";
import type { LeaderLimits } from "./leader-state.ts";
import type { Mutants } from "./mutants.ts";
import type { NodeIdentity, PartitionTerm, RegisteredNodes } from "./partition-term.ts";

export interface IsrFacts {
  readonly term: PartitionTerm;
  /** The leader's own. */
  readonly nodeId: number;
  readonly nodes: RegisteredNodes;
  readonly followers: ReadonlyMap<number, FollowerProgress>;
  readonly limits: LeaderLimits;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly highWatermark: number;
  readonly epochStartOffset: number;
  readonly nowMs: number;
  readonly mutants: Mutants;
}

/** The ISR as the leader would have it now: without who lags, with who has caught up (R7). */
export function wantedIsr(facts: IsrFacts): Pick<IsrProposal, "isr" | "added" | "lostRecords"> {
  const { followers, nodeId: ownId, nodes, term } = facts;
  const isr: number[] = [];
  const added: NodeIdentity[] = [];
  const lostRecords: number[] = [];
  for (const nodeId of term.replicas) {
    const isMember = term.isr.includes(nodeId);
    const follower = followers.get(nodeId);
    if (nodeId === ownId) isr.push(nodeId);
    else if (follower === undefined) continue;
    else if (isMember && hasLostRecords(follower, facts)) lostRecords.push(nodeId);
    else if (isMember ? mayStay(follower, facts) : mayJoin(nodeId, follower, facts)) {
      isr.push(nodeId);
      if (!isMember) added.push({ nodeId, nodeEpoch: nodes.get(nodeId) ?? -1 });
    }
  }
  return { isr, added, lostRecords };
}

/** R12: an in-sync replica that acknowledges less than the high watermark has lost what it had. */
function hasLostRecords({ syncedEndOffset }: FollowerProgress, { highWatermark }: IsrFacts): boolean {
  return syncedEndOffset !== undefined && syncedEndOffset < highWatermark;
}

function mayStay(follower: FollowerProgress, { limits, logEndOffset, nowMs }: IsrFacts): boolean {
  return follower.keepsUp(logEndOffset, nowMs, limits.replicaLagTimeMaxMs);
}

/** R7. A node that is fenced is not among those registered. */
function mayJoin(nodeId: number, follower: FollowerProgress, facts: IsrFacts): boolean {
  const { epochStartOffset, highWatermark, limits, logStartOffset, mutants, nodes, nowMs, term } = facts;
  const acknowledged = follower.syncedEndOffset;
  if (acknowledged === undefined) return false;
  const registered = nodes.get(nodeId);
  const isKnown = registered === follower.nodeEpoch || mutants.has("stale-node-epoch-accepted");
  if (registered === undefined || !isKnown) return false;
  // While nothing can be acknowledged anyway, nothing is put off.
  const isEnough = term.isr.length >= term.minInsyncReplicas;
  if (isEnough && nowMs - follower.putOffAtMs < (limits.rejoinDelayMs ?? 0)) return false;
  // Who could not stay is not taken in: else it would come and go.
  if (!mayStay(follower, facts)) return false;
  // R14: as a leader it would bring back records whose deletion was answered before it joined.
  const needsLogStart = !mutants.has("joins-below-log-start");
  if (needsLogStart && (follower.logStartOffset ?? 0) < logStartOffset) return false;
  const needsEpochStart = !mutants.has("epoch-start-ignored");
  if (needsEpochStart && acknowledged < epochStartOffset) return false;
  return acknowledged >= highWatermark || mutants.has("joins-below-high-watermark");
}
