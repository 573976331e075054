import type { EpochEnd } from "./replica-log.ts";

/**
 * What a follower's node tells the leader's of one partition; `FollowerUpdate` in
 * replication.proto. Where it comes from (nodeId, nodeEpoch) is said once for a stream.
 */
export interface FollowerUpdate {
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly leaderEpoch: number;
  /** Counts the positions asked from, in one run of the follower's node. */
  readonly positionVersion: number;
  /** Set when the follower asks anew where to go on from. */
  readonly position?: FetchPosition;
  readonly acknowledgement: Acknowledgement;
}

export interface FetchPosition {
  readonly offset: number;
  /** Of the record before `offset`; `NO_EPOCH` when there is none. */
  readonly lastEpoch: number;
}

/** What the follower has on disk (R3), and where its log begins (R14). */
export interface Acknowledgement {
  readonly syncedEndOffset: number;
  /** Of the record before `syncedEndOffset`; `NO_EPOCH` when there is none. */
  readonly lastEpoch: number;
  readonly logStartOffset: number;
}

/** What every word of the leader to a follower carries. */
export interface AnswerHead {
  readonly leaderEpoch: number;
  readonly positionVersion: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  /**
   * Where the leader's log ended when it spoke: the follower's lag, and when a damaged
   * replica is whole again (R12).
   */
  readonly logEndOffset: number;
}

export type ReplicationRefusal =
  /** The leader is in a newer term: the follower waits for the metadata. */
  | "fenced-leader-epoch"
  /** The leader does not know the follower's term yet. */
  | "unknown-leader-epoch"
  | "not-leader"
  /** The follower's node has registered again since (R2). */
  | "stale-node-epoch"
  | "not-a-replica"
  | "storage-error";

/** The leader's verdict on a position. */
export type PositionOutcome =
  /** The logs agree up to there: records follow. */
  | { readonly kind: "accepted" }
  | { readonly kind: "diverging"; readonly end: EpochEnd }
  /**
   * The leader's log begins beyond the position: the follower starts anew where the
   * leader's first batch does.
   */
  | { readonly kind: "outOfRange"; readonly restartOffset: number }
  | { readonly kind: "refused"; readonly reason: ReplicationRefusal };

export interface PositionAnswer extends AnswerHead {
  readonly outcome: PositionOutcome;
}

/** The head of record batches, or of no batches at all when only the offsets have changed. */
export interface RecordsAnswer extends AnswerHead {
  /** Where the first batch begins. */
  readonly baseOffset: number;
  readonly nextOffset: number;
}
