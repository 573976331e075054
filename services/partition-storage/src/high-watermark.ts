/** Where the replicas of a partition have got to, as its leader knows it. */
export interface ReplicaProgress {
  readonly nodeId: number;
  /** The leader's own synced end offset (under the topic's flush policy). */
  readonly ownSyncedEndOffset: number;
  /** Synced end offsets that followers have acknowledged in this epoch (R3). */
  readonly followerSyncedEndOffsets: ReadonlyMap<number, number>;
  /**
   * The maximal ISR: replicas being added count at once, ones being removed count until
   * that is committed (R4).
   */
  readonly maximalIsr: readonly number[];
  /** How many replicas the committed ISR has. */
  readonly committedIsrSize: number;
  readonly minInsyncReplicas: number;
}

/**
 * The high watermark by rule R4: the smallest synced end offset over the maximal ISR,
 * held where it is while the committed ISR is too small, and never moved back.
 */
export function nextHighWatermark(current: number, progress: ReplicaProgress): number {
  if (progress.committedIsrSize < progress.minInsyncReplicas) return current;
  let smallest = progress.ownSyncedEndOffset;
  for (const nodeId of progress.maximalIsr) {
    if (nodeId === progress.nodeId) continue;
    const acknowledged = progress.followerSyncedEndOffsets.get(nodeId);
    if (acknowledged === undefined) return current;
    if (acknowledged < smallest) smallest = acknowledged;
  }
  return Math.max(current, smallest);
}
