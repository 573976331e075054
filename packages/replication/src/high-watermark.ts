import { type Mutants, NO_MUTANTS } from "./mutants.ts";

/** Where the replicas of a partition have got to, as its leader knows it. */
export interface ReplicaProgress {
  readonly nodeId: number;
  /** The leader's own synced end offset (under the topic's flush policy). */
  readonly ownSyncedEndOffset: number;
  /** What a follower has acknowledged in this epoch; undefined when nothing of it counts (R3). */
  readonly acknowledgedEndOffset: (nodeId: number) => number | undefined;
  /** The committed ISR and all that a proposal may have added or may not have removed yet (R4). */
  readonly maximalIsr: ReadonlySet<number>;
  readonly committedIsrSize: number;
  readonly minInsyncReplicas: number;
  readonly mutants?: Mutants;
}

/**
 * The high watermark by rule R4: the smallest synced end offset over the maximal ISR,
 * held where it is while the committed ISR is too small, and never moved back.
 */
export function nextHighWatermark(current: number, progress: ReplicaProgress): number {
  const mutants = progress.mutants ?? NO_MUTANTS;
  const tooSmall = progress.committedIsrSize < progress.minInsyncReplicas;
  if (tooSmall && !mutants.has("min-isr-ignored")) return current;
  if (mutants.has("high-watermark-by-majority")) return Math.max(current, majorityEnd(progress));
  let smallest = progress.ownSyncedEndOffset;
  for (const nodeId of progress.maximalIsr) {
    if (nodeId === progress.nodeId) continue;
    const acknowledged = progress.acknowledgedEndOffset(nodeId);
    if (acknowledged === undefined) return current;
    if (acknowledged < smallest) smallest = acknowledged;
  }
  return Math.max(current, smallest);
}

function majorityEnd(progress: ReplicaProgress): number {
  const ends = [...progress.maximalIsr].map((nodeId) =>
    nodeId === progress.nodeId ? progress.ownSyncedEndOffset : (progress.acknowledgedEndOffset(nodeId) ?? 0),
  );
  return ends.sort((a, b) => b - a)[Math.floor(ends.length / 2)] ?? 0;
}
