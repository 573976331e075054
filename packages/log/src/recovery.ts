import { BatchScanner, findNextBatch, type ScanStep } from "./batch-scanner.ts";
import { LEADER_EPOCH_CHECKPOINT } from "./file-names.ts";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import type { LogResources } from "./log-resources.ts";
import type { OwnerEpochCache } from "./owner-epoch-cache.ts";
import type { ProducerState } from "./producer-state.ts";
import type { DamagedRange } from "./recovery-report.ts";
import { largestTimestampOf, type Segment } from "./segment.ts";

export interface ScanOptions {
  readonly resources: LogResources;
  /** Ascending; the first is the one to begin with. */
  readonly segments: readonly Segment[];
  readonly recoveryPoint: number;
  /** Below it nobody reads: what batches say there of themselves is not taken for true. */
  readonly logStartOffset: number;
  /** Everything from here on is unproven (its sync failed) and is cut away. */
  readonly cutFrom: number;
  /** Compaction has left gaps between offsets: one is no damage, wherever it is. */
  readonly hasGaps: boolean;
  /**
   * It may have, without a word of it on disk yet: that is written before the recovery point passes the
   * first gap.
   */
  readonly mayHaveGaps: boolean;
  readonly epochs: LeaderEpochCache;
  /** What was known of records below the recovery point: a batch's own epoch lies outside its CRC (R12). */
  readonly storedEpochs: LeaderEpochCache;
  readonly owners: OwnerEpochCache;
  readonly producers: ProducerState;
}

export interface ScanOutcome {
  /** Segments that stay; the last of them ends the log. */
  readonly kept: readonly Segment[];
  readonly removed: readonly Segment[];
  readonly endOffset: number;
  readonly cutBytes: number;
  readonly damagedRanges: readonly DamagedRange[];
  readonly hasGaps: boolean;
}

interface SegmentScan {
  readonly endOffset: number;
  /** Where valid batches end in the file. */
  readonly endPosition: number;
  /** Nothing behind the end may stay. */
  readonly cut: boolean;
  readonly hasGaps: boolean;
}

/**
 * Recovers the log after a crash: checks every batch from the first segment given,
 * rebuilds indexes, leader epochs and producer state, and cuts at the first damage.
 * Damage below the recovery point is different: those records were synced, so it is bit
 * rot; it is kept, passed over and reported, and reads of it fail (R12).
 */
export async function scanSegments(options: ScanOptions): Promise<ScanOutcome> {
  const { segments, recoveryPoint } = options;
  const damagedRanges: DamagedRange[] = [];
  const kept: Segment[] = [];
  let endOffset = segments[0]?.baseOffset ?? 0;
  let cutBytes = 0;
  let { hasGaps } = options;
  for (const [index, segment] of segments.entries()) {
    const isGap = segment.baseOffset > endOffset;
    if (segment.baseOffset < endOffset || (isGap && !allowsGapAt(endOffset, options))) {
      const isRot = endOffset < recoveryPoint && segment.baseOffset > endOffset;
      if (!isRot || segment.baseOffset > recoveryPoint) break;
      damagedRanges.push(
        lostRange(segment, endOffset, segment.baseOffset, "records are missing before this file"),
      );
    }
    const before = segment.writtenBytes;
    const scan = await scanSegment(segment, segments[index + 1]?.baseOffset, options, damagedRanges);
    kept.push(segment);
    hasGaps ||= scan.hasGaps || (isGap && allowsGapAt(endOffset, options));
    endOffset = scan.endOffset;
    if (scan.cut) {
      cutBytes += before - scan.endPosition;
      await cutFile(segment, scan.endPosition, options.resources);
      break;
    }
    await syncFile(segment, options.resources);
  }
  const removed = segments.slice(kept.length);
  for (const segment of removed) cutBytes += segment.writtenBytes;
  return { kept, removed, endOffset, cutBytes, damagedRanges, hasGaps };
}

async function scanSegment(
  segment: Segment,
  nextBase: number | undefined,
  options: ScanOptions,
  damagedRanges: DamagedRange[],
): Promise<SegmentScan> {
  const endPosition = segment.writtenBytes;
  await segment.resetIndexes();
  segment.noteClosed(0, segment.baseOffset);
  const lease = await segment.openLog("read");
  try {
    const scanner = new BatchScanner({ file: lease.file, position: 0, endPosition, chunkBytes: 1024 * 1024 });
    let expectedOffset = segment.baseOffset;
    let hasGaps = false;
    for (let step = await scanner.next(); step.kind !== "end"; step = await scanner.next()) {
      const reason = step.kind === "damaged" ? step.reason : refusal(step, expectedOffset, options);
      if (step.kind === "batch" && reason === undefined) {
        takeBatch(segment, step, options);
        hasGaps ||= step.header.baseOffset > expectedOffset;
        expectedOffset = step.header.lastOffset + 1;
        continue;
      }
      const cut = { endOffset: expectedOffset, endPosition: step.position, cut: true, hasGaps };
      if (expectedOffset >= options.recoveryPoint) return cut;
      const next = await findNextBatch(lease.file, {
        fromPosition: step.position + 1,
        endPosition,
        minBaseOffset: expectedOffset + 1,
        maxBaseOffset: Math.min(options.recoveryPoint, (nextBase ?? Infinity) - 1),
      });
      const toOffset = next?.header.baseOffset ?? Math.min(options.recoveryPoint, nextBase ?? Infinity);
      damagedRanges.push({
        fromOffset: expectedOffset,
        toOffset,
        file: segment.logPath,
        position: step.position,
        reason: reason ?? "damaged",
      });
      // The rest of the file was synced, whatever it says now: it stays, and the log goes on behind it.
      if (next === undefined) {
        segment.noteClosed(endPosition, toOffset);
        return { endOffset: toOffset, endPosition, cut: false, hasGaps };
      }
      scanner.seek(next.position);
      expectedOffset = next.header.baseOffset;
    }
    return { endOffset: expectedOffset, endPosition, cut: false, hasGaps };
  } finally {
    lease.release();
  }
}

/** R12: the base offset lies outside the CRC; a gap where none was noted is a wrong one. */
function allowsGapAt(
  expectedOffset: number,
  { hasGaps, mayHaveGaps, recoveryPoint }: Pick<ScanOptions, "hasGaps" | "mayHaveGaps" | "recoveryPoint">,
): boolean {
  return hasGaps || (mayHaveGaps && expectedOffset >= recoveryPoint);
}

function refusal(
  step: Extract<ScanStep, { kind: "batch" }>,
  expectedOffset: number,
  options: ScanOptions,
): string | undefined {
  const { header } = step;
  const isGap = header.baseOffset > expectedOffset;
  const follows = header.baseOffset === expectedOffset || (isGap && allowsGapAt(expectedOffset, options));
  if (!follows) return `base offset ${header.baseOffset} where ${expectedOffset} is expected`;
  if (header.lastOffset >= options.cutFrom)
    return `offset ${header.baseOffset} was never proven to be on disk`;
  if (header.lastOffset < options.logStartOffset) return undefined;
  const stored = options.storedEpochs.epochAt(Math.max(header.baseOffset, options.logStartOffset));
  const isAtRest = header.lastOffset < options.recoveryPoint;
  if (isAtRest && stored !== undefined && stored !== header.partitionLeaderEpoch) {
    return `leader epoch ${header.partitionLeaderEpoch} where ${LEADER_EPOCH_CHECKPOINT} says ${stored}`;
  }
  const latest = options.epochs.latestEpoch ?? -1;
  if (header.partitionLeaderEpoch < latest) {
    return `leader epoch ${header.partitionLeaderEpoch} after epoch ${latest}`;
  }
  return undefined;
}

function takeBatch(segment: Segment, step: Extract<ScanStep, { kind: "batch" }>, options: ScanOptions): void {
  const { header, position } = step;
  options.owners.take(header, step.bytes, header.baseOffset);
  segment.noteRecovered(
    {
      baseOffset: header.baseOffset,
      lastOffset: header.lastOffset,
      sizeBytes: header.sizeBytes,
      maxTimestampMs: largestTimestampOf(header),
    },
    position,
  );
  if (header.lastOffset >= options.logStartOffset) {
    options.epochs.assign(header.partitionLeaderEpoch, Math.max(header.baseOffset, options.logStartOffset));
  }
  if (header.producerId >= 0) {
    options.producers.apply(header, header.baseOffset, options.resources.clock.now());
  }
}

async function cutFile(segment: Segment, position: number, resources: LogResources): Promise<void> {
  const lease = await segment.openLog("write");
  try {
    await lease.file.truncate(position);
    await resources.syncScheduler.sync(lease.file);
  } finally {
    lease.release();
  }
}

/** What was found may be in the page cache only: a process dies without its disk having the bytes. */
async function syncFile(segment: Segment, resources: LogResources): Promise<void> {
  const lease = await segment.openLog("write");
  try {
    await resources.syncScheduler.sync(lease.file);
  } finally {
    lease.release();
  }
}

function lostRange(segment: Segment, fromOffset: number, toOffset: number, reason: string): DamagedRange {
  return { fromOffset, toOffset, file: segment.logPath, position: 0, reason };
}
