import type { LogConfig } from "./log-config.ts";
import type { Segment } from "./segment.ts";

export interface RetentionOptions {
  readonly segments: readonly Segment[];
  readonly config: LogConfig;
  readonly nowMs: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  /** R13: the newest owner's control batch stays, so that a new replica learns of it from the log. */
  readonly ownedFrom?: number | undefined;
}

export interface RetentionChoice {
  /** The oldest segments, whole. */
  readonly deletable: readonly Segment[];
  /** Whether even the active one is due: it must be rolled first, since a log never is without a segment. */
  readonly includesActive: boolean;
}

/** A smaller segment that nobody reads any more may stay until it is full: a new one costs syncs. */
const WORTH_LEAVING_BYTES = 1024 * 1024;

/** Whether nothing in the active segment is at the offset or above, and it takes much space. */
export function isWorthLeaving(active: Segment, offset: number): boolean {
  return active.assignedEndOffset <= offset && active.assignedBytes >= WORTH_LEAVING_BYTES;
}

/** The segments that end by the offset. */
export function closedBelow(segments: readonly Segment[], offset: number): Segment[] {
  return segments.filter(
    ({ isClosed }, index) => isClosed && (segments[index + 1]?.baseOffset ?? Infinity) <= offset,
  );
}

/**
 * What `retention.ms`, `retention.bytes` and the log start offset allow to delete: only
 * whole segments, oldest first, and none that reaches above the high watermark.
 */
export async function chooseDeletable(options: RetentionOptions): Promise<RetentionChoice> {
  const { segments, config, highWatermark, logStartOffset, ownedFrom = Infinity } = options;
  const deletesByPolicy = config.cleanupPolicy.includes("delete");
  let excessBytes = -config.retentionBytes;
  for (const segment of segments) excessBytes += segment.writtenBytes;
  const deletable: Segment[] = [];
  for (const [index, segment] of segments.entries()) {
    const isActive = index === segments.length - 1;
    const endOffset = segments[index + 1]?.baseOffset ?? segment.writtenEndOffset;
    if (!isActive && !segment.isClosed) break;
    if (endOffset > highWatermark || (isActive && segment.writtenBytes === 0)) break;
    const isBelowStart = !isActive && endOffset <= logStartOffset;
    const isOverSize =
      deletesByPolicy && config.retentionBytes >= 0 && !isActive && excessBytes >= segment.writtenBytes;
    const isByPolicy = isOverSize || (deletesByPolicy && (await isTooOld(segment, options)));
    if (!isBelowStart && (!isByPolicy || endOffset > ownedFrom)) break;
    excessBytes -= segment.writtenBytes;
    deletable.push(segment);
    if (isActive) return { deletable, includesActive: true };
  }
  return { deletable, includesActive: false };
}

/**
 * By the largest timestamp in the segment, as Kafka does: one record from the future keeps its whole segment.
 */
async function isTooOld(segment: Segment, options: RetentionOptions): Promise<boolean> {
  const { retentionMs } = options.config;
  if (retentionMs < 0) return false;
  return options.nowMs - (await segment.largestTimestampMs()) > retentionMs;
}
