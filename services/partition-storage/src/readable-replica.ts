import type { ReadResult } from "@ottla/log";
import type { FetchWake } from "./waiting-fetches.ts";

/** What a reader sees of a partition's offsets. */
export interface VisibleOffsets {
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly leaderEpoch: number;
  /** R5: more may be committed than the high watermark says. */
  readonly endUnknown: boolean;
}

/** One term of a replica as its readers see it: of the leader, or of a follower (KIP-392). */
export interface ReadableReplica {
  readonly highWatermark: number;
  /** Counts the bytes that became visible since the term began. */
  readonly visibleBytes: number;
  offsets(): VisibleOffsets;
  /** Throws unless the offset may be fetched here; `leaderEpoch` -1 skips the check of epochs. */
  checkFetch(offset: number, leaderEpoch: number): void;
  /** Reads what is visible from `offset`: whole batches, at least one when there is one. */
  read(offset: number, maxBytes: number): Promise<ReadResult>;
  /**
   * Wakes the caller once when the count of visible bytes reaches `neededVisibleBytes`; the result cancels.
   */
  waitForVisibleBytes(
    neededVisibleBytes: number,
    maxWaitMs: number,
    wake: (reason: FetchWake) => void,
  ): () => void;
}
