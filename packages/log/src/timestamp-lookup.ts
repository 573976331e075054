import { decodeRecords } from "@ottla/records";
import type { Segment } from "./segment.ts";
import { type FoundBatch, intactBatches } from "./segment-batches.ts";

export interface TimestampedOffset {
  readonly offset: number;
  readonly timestampMs: number;
  readonly leaderEpoch: number;
}

export interface TimestampLookupOptions {
  readonly segments: readonly Segment[];
  readonly logStartOffset: number;
  /** Records at or above it are not seen. */
  readonly endOffset: number;
}

/** The first record whose timestamp is at or after `timestampMs`. */
export async function findOffsetForTimestamp(
  timestampMs: number,
  options: TimestampLookupOptions,
): Promise<TimestampedOffset | undefined> {
  const { logStartOffset, endOffset } = options;
  for (const segment of options.segments) {
    if (segment.writtenEndOffset <= logStartOffset) continue;
    if (segment.baseOffset >= endOffset) return undefined;
    if (segment.writtenBytes === 0 || (await segment.largestTimestampMs()) < timestampMs) continue;
    for await (const batch of batchesAround(segment, timestampMs)) {
      if (batch.header.baseOffset >= endOffset) return undefined;
      if (batch.header.lastOffset < logStartOffset || batch.header.maxTimestamp < timestampMs) continue;
      const found = firstRecord(
        batch,
        (record) => record.timestampMs >= timestampMs && record.offset >= logStartOffset,
      );
      if (found !== undefined) return found.offset < endOffset ? found : undefined;
    }
  }
  return undefined;
}

/** The first record that has the largest timestamp of all below `endOffset`. */
export async function findMaxTimestamp(
  options: TimestampLookupOptions,
): Promise<TimestampedOffset | undefined> {
  const { logStartOffset, endOffset } = options;
  let best: FoundBatch | undefined;
  for (const segment of options.segments) {
    const isOutside = segment.writtenEndOffset <= logStartOffset || segment.baseOffset >= endOffset;
    if (isOutside || segment.writtenBytes === 0) continue;
    const bestSoFar = best?.header.maxTimestamp ?? Number.NEGATIVE_INFINITY;
    const largest = await segment.largestTimestampMs();
    if (largest <= bestSoFar) continue;
    // Where the whole segment is visible, the index leads near the batch; else the
    // visible part is looked through.
    const isWhole = segment.writtenEndOffset <= endOffset && segment.baseOffset >= logStartOffset;
    const batches = isWhole ? batchesAround(segment, largest) : intactBatches(segment);
    for await (const batch of batches) {
      if (batch.header.lastOffset >= endOffset) break;
      // What compaction has emptied has no record, whatever its header says.
      if (batch.header.lastOffset < logStartOffset || batch.header.recordCount === 0) continue;
      if (best === undefined || batch.header.maxTimestamp > best.header.maxTimestamp) best = batch;
      if (isWhole && batch.header.maxTimestamp === largest) break;
    }
  }
  if (best === undefined) return undefined;
  const largest = best.header.maxTimestamp;
  return firstRecord(best, (record) => record.timestampMs === largest && record.offset >= logStartOffset);
}

/** Batches from the last place that the time index knows to lie before the timestamp. */
async function* batchesAround(segment: Segment, timestampMs: number): AsyncGenerator<FoundBatch> {
  const before = await segment.timeIndex.lookup(timestampMs);
  const entry = before === undefined ? undefined : await segment.offsetIndex.lookup(before.offset);
  const position = entry?.position ?? 0;
  yield* intactBatches(segment, position >= 0 && position < segment.writtenBytes ? position : 0);
}

function firstRecord(
  { header, bytes }: FoundBatch,
  matches: (record: { readonly offset: number; readonly timestampMs: number }) => boolean,
): TimestampedOffset | undefined {
  for (const record of decodeRecords(bytes)) {
    if (!matches(record)) continue;
    const { offset, timestampMs } = record;
    return { offset, timestampMs, leaderEpoch: header.partitionLeaderEpoch };
  }
  return undefined;
}
