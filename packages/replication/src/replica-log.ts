/** A leader epoch and the offset after its last record. */
export interface EpochEnd {
  readonly epoch: number;
  readonly endOffset: number;
}

/** What the state machines look up in a replica's log. They only read; `SegmentedLog` has all of it. */
export interface ReplicaLog {
  readonly logStartOffset: number;
  /** The offset that the next record gets. */
  readonly logEndOffset: number;
  /** Records below are on disk under the topic's flush policy. */
  readonly syncedEndOffset: number;
  /**
   * Where the batch begins that holds the log start, which may lie inside one after `DeleteRecords`; the log
   * start when it is not given. A follower that starts anew has to start there.
   */
  readonly firstBatchOffset?: number;
  /** The epoch that the record at `offset` was written in; undefined below the log start. */
  leaderEpochAt(offset: number): number | undefined;
  /** The largest epoch at or below `epoch` that the log knows, and where it ends. */
  endOffsetForEpoch(epoch: number): EpochEnd | undefined;
}

/** In place of an epoch where there is no record. */
export const NO_EPOCH = -1;

/** The epoch of the last record before `endOffset`, which is what two logs are compared by. */
export function epochBefore(log: ReplicaLog, endOffset: number): number {
  if (endOffset <= log.logStartOffset) return NO_EPOCH;
  return log.leaderEpochAt(endOffset - 1) ?? NO_EPOCH;
}
