import { BatchScanner } from "../batch-scanner.ts";
import type { LogState } from "../log-state.ts";
import type { Segment } from "../segment.ts";

/** What of a log waits for compaction, as Kafka counts it. */
export interface CompactionBacklog {
  /** Not yet compacted, and may be: closed, below the high watermark, older than `min.compaction.lag.ms`. */
  readonly dirtyBytes: number;
  /** Before that, compacted already. */
  readonly cleanBytes: number;
  /** Of both, from 0 to 1. */
  readonly dirtyRatio: number;
  /**
   * `min.cleanable.dirty.ratio` is reached, a record is older than `max.compaction.lag.ms`, or a tombstone
   * has been kept for `delete.retention.ms`.
   */
  readonly isDue: boolean;
}

export interface CleanableRange extends CompactionBacklog {
  readonly firstDirtyOffset: number;
  /** Where the first segment begins that may not be compacted. */
  readonly endOffset: number;
  /** In the compacted part, whether or not there is anything new. */
  readonly hasDueTombstones: boolean;
}

/** Where compaction may go on, and whether it should. */
export async function cleanableRange(
  state: LogState,
  { nowMs, highWatermark }: { readonly nowMs: number; readonly highWatermark: number },
): Promise<CleanableRange> {
  const { config, segments, cleanedOffset, logStartOffset } = state;
  const all = [...segments.all];
  const firstDirtyOffset = Math.max(cleanedOffset, logStartOffset, all[0]?.baseOffset ?? 0);
  const limit = Math.min(highWatermark, firstOpenTransaction(state));
  let endOffset = firstDirtyOffset;
  let dirtyBytes = 0;
  let cleanBytes = 0;
  let isOverdue = false;
  // A reader goes on from batch to batch: the last one that is committed stays, whatever is cut behind it.
  const last = all.findLastIndex(({ baseOffset, writtenBytes }) => writtenBytes > 0 && baseOffset < limit);
  for (const [index, segment] of all.entries()) {
    const nextBase = index < last ? all[index + 1]?.baseOffset : undefined;
    if (nextBase === undefined || !segment.isClosed || nextBase > limit) break;
    if (nextBase <= firstDirtyOffset) {
      cleanBytes += segment.writtenBytes;
      continue;
    }
    const isTooYoung =
      config.minCompactionLagMs > 0 &&
      (await segment.largestTimestampMs()) > nowMs - config.minCompactionLagMs;
    if (isTooYoung) break;
    dirtyBytes += segment.writtenBytes;
    endOffset = nextBase;
    isOverdue ||= await isOlderThan(segment, nowMs - config.maxCompactionLagMs);
  }
  const dirtyRatio = dirtyBytes === 0 ? 0 : dirtyBytes / (dirtyBytes + cleanBytes);
  const isDirtyEnough = dirtyBytes > 0 && (isOverdue || dirtyRatio >= config.minCleanableDirtyRatio);
  const hasDueTombstones = nowMs >= state.tombstonesDueMs;
  const isDue = isDirtyEnough || hasDueTombstones;
  return { dirtyBytes, cleanBytes, dirtyRatio, isDue, firstDirtyOffset, endOffset, hasDueTombstones };
}

/** What an open transaction has written may come to nothing: it stays as it is. */
function firstOpenTransaction({ producers }: LogState): number {
  let first = Number.MAX_SAFE_INTEGER;
  for (const { transactionFirstOffset } of producers.entries()) {
    if (transactionFirstOffset >= 0) first = Math.min(first, transactionFirstOffset);
  }
  return first;
}

/** Whether the segment's first batch is older than a time; without one it is not. */
async function isOlderThan(segment: Segment, timestampMs: number): Promise<boolean> {
  if (timestampMs < 0 || segment.writtenBytes === 0) return false;
  if (segment.firstTimestampMs === undefined) {
    const lease = await segment.openLog("read");
    try {
      const endPosition = segment.writtenBytes;
      const step = await new BatchScanner({ file: lease.file, position: 0, endPosition }).next();
      if (step.kind === "batch") segment.firstTimestampMs = step.header.maxTimestamp;
    } finally {
      lease.release();
    }
  }
  return segment.firstTimestampMs !== undefined && segment.firstTimestampMs < timestampMs;
}
