import type { Acknowledgement } from "./replication-messages.ts";

/** How far a replica has come, as its leader knows it. */
export interface ReplicaLag {
  readonly nodeId: number;
  /** Undefined when nothing is known of it in this term. */
  readonly syncedEndOffset: number | undefined;
  /** Since when it has not been at the leader's log end; 0 when it is there. */
  readonly lagMs: number | undefined;
}

/** What a leader knows of one follower in its term. */
export class FollowerProgress {
  /** The registration of the node that was heard from last; -1 before that. */
  nodeEpoch = -1;
  positionVersion = -1;
  /** The leader has found that the logs agree up to the follower's position of this version. */
  isAligned = false;
  /** When it left the ISR, or was refused there; the begin of the term for who was outside then. */
  putOffAtMs = Number.NEGATIVE_INFINITY;
  #isMember: boolean | undefined;
  #acknowledgement: Acknowledgement | undefined;
  #lastCaughtUpAtMs: number;
  /** Where the leader's log ended when the follower spoke last, and when that was. */
  #endAtLastUpdate = 0;
  #lastUpdateAtMs = 0;

  constructor(termBeganAtMs: number) {
    this.#lastCaughtUpAtMs = termBeganAtMs;
    this.#lastUpdateAtMs = termBeganAtMs;
    this.#endAtLastUpdate = Number.MAX_SAFE_INTEGER;
  }

  /** The end of what it has synced and of which the leader has checked that both logs agree (R3). */
  get syncedEndOffset(): number | undefined {
    return this.#acknowledgement?.syncedEndOffset;
  }

  get logStartOffset(): number | undefined {
    return this.#acknowledgement?.logStartOffset;
  }

  /** Whether it is in the ISR as committed. */
  noteMember(isMember: boolean, nowMs: number): void {
    if (!isMember && this.#isMember !== false) this.putOff(nowMs);
    this.#isMember = isMember;
  }

  putOff(nowMs: number): void {
    this.putOffAtMs = nowMs;
  }

  /** The follower asks anew: what it had acknowledged is for the new position to say. */
  begin(nodeEpoch: number, positionVersion: number, isAligned: boolean): void {
    this.nodeEpoch = nodeEpoch;
    this.positionVersion = positionVersion;
    this.isAligned = isAligned;
    this.#acknowledgement = undefined;
  }

  /** Within one position acknowledgements only grow; a smaller one has been overtaken on its way. */
  acknowledge(acknowledgement: Acknowledgement, leaderEndOffset: number, nowMs: number): boolean {
    const { syncedEndOffset, logStartOffset } = acknowledgement;
    const before = this.#acknowledgement;
    if (before !== undefined && syncedEndOffset < before.syncedEndOffset) return false;
    this.#acknowledgement = {
      ...acknowledgement,
      logStartOffset: Math.max(logStartOffset, before?.logStartOffset ?? 0),
    };
    if (syncedEndOffset >= leaderEndOffset) this.#caughtUpAt(nowMs);
    else if (syncedEndOffset >= this.#endAtLastUpdate) this.#caughtUpAt(this.#lastUpdateAtMs);
    this.#endAtLastUpdate = leaderEndOffset;
    this.#lastUpdateAtMs = nowMs;
    return true;
  }

  /**
   * The leader's log grew from `endOffset`: who had all of it was caught up until now,
   * however long nothing was said.
   */
  leaderAppended(endOffset: number, nowMs: number): void {
    if ((this.syncedEndOffset ?? -1) >= endOffset) this.#caughtUpAt(nowMs);
  }

  /**
   * Whether the follower was at the leader's log end within the time that `replica.lag.time.max.ms` allows.
   */
  keepsUp(leaderEndOffset: number, nowMs: number, maxLagMs: number): boolean {
    if ((this.syncedEndOffset ?? -1) >= leaderEndOffset) return true;
    return nowMs - this.#lastCaughtUpAtMs <= maxLagMs;
  }

  /** Whether it may come to leave the ISR, since it lags, or to join it, once it was heard, by time alone. */
  needsTicks(isMember: boolean, leaderEndOffset: number): boolean {
    const { syncedEndOffset } = this;
    return isMember ? (syncedEndOffset ?? -1) < leaderEndOffset : syncedEndOffset !== undefined;
  }

  /** For how long the follower has not been at the leader's log end; undefined before it was heard. */
  lagMs(leaderEndOffset: number, nowMs: number): number | undefined {
    const { syncedEndOffset } = this;
    if (syncedEndOffset === undefined) return undefined;
    return syncedEndOffset >= leaderEndOffset ? 0 : Math.max(0, nowMs - this.#lastCaughtUpAtMs);
  }

  #caughtUpAt(timeMs: number): void {
    if (timeMs > this.#lastCaughtUpAtMs) this.#lastCaughtUpAtMs = timeMs;
  }
}
