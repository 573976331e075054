/** What opening a log found and did; for the owner, the logs and the metrics. */
export interface RecoveryReport {
  readonly kind: "created" | "clean" | "recovered";
  /** Bytes behind the last valid batch that were cut away. */
  readonly cutBytes: number;
  readonly removedSegments: number;
  /**
   * Synced records that are lost or damaged. A replica with any must not lead before it
   * has refetched them (R12).
   */
  readonly damagedRanges: readonly DamagedRange[];
}

export interface DamagedRange {
  readonly fromOffset: number;
  /** Exclusive. */
  readonly toOffset: number;
  readonly file: string;
  readonly position: number;
  readonly reason: string;
}
