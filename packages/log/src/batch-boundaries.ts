import { BatchScanner, type ScanStep } from "./batch-scanner.ts";
import type { Segment } from "./segment.ts";
import { intactBatches } from "./segment-batches.ts";

/** A place between two batches: an offset, and where it is in the file. */
export interface BatchBoundary {
  readonly offset: number;
  readonly position: number;
}

/**
 * The last batch boundary at or below `offset`. Damage on the way is a boundary too: what lies behind it
 * has to be fetched again anyway.
 */
export async function findBoundary(
  segment: Segment,
  offset: number,
  allowGaps: boolean,
): Promise<BatchBoundary> {
  const lease = await segment.openLog("read");
  try {
    const scanner = new BatchScanner({ file: lease.file, position: 0, endPosition: segment.writtenBytes });
    let step = await firstStep(segment, scanner, offset);
    let boundary = { offset: segment.baseOffset, position: 0 };
    if (step.kind === "batch" && step.position > 0) {
      boundary = { offset: step.header.baseOffset, position: step.position };
    }
    for (; step.kind === "batch"; step = await scanner.next()) {
      const { baseOffset, lastOffset } = step.header;
      const follows = allowGaps ? baseOffset >= boundary.offset : baseOffset === boundary.offset;
      if (!follows) return boundary;
      // Where compaction has left a gap, the log may end in it.
      if (lastOffset >= offset) return { ...boundary, offset: Math.min(baseOffset, offset) };
      boundary = { offset: lastOffset + 1, position: scanner.position };
    }
    return boundary;
  } finally {
    lease.release();
  }
}

/**
 * Where the batch begins that holds the log start, which lies inside one after `DeleteRecords`. Damage below
 * it is nobody's loss any more, and must not hide it.
 */
export async function findFirstBatch(segments: readonly Segment[], logStartOffset: number): Promise<number> {
  const segment = segments.findLast(({ baseOffset }) => baseOffset <= logStartOffset);
  if (segment === undefined || segment.baseOffset === logStartOffset) return logStartOffset;
  const entry = await segment.offsetIndex.lookup(logStartOffset - 1);
  const isWithin = entry !== undefined && entry.position >= 0 && entry.position < segment.writtenBytes;
  for (const position of isWithin ? [entry.position, 0] : [0]) {
    for await (const { header } of intactBatches(segment, position)) {
      // The index is wrong: from the beginning, then.
      if (position > 0 && header.baseOffset > logStartOffset) break;
      if (header.lastOffset >= logStartOffset) return Math.min(header.baseOffset, logStartOffset);
    }
  }
  // Nothing holds it: the log ends there, or that batch is damaged, and then nobody can start there.
  return logStartOffset;
}

/** The batch that the index names before `offset`; the segment's first when the index is wrong. */
async function firstStep(segment: Segment, scanner: BatchScanner, offset: number): Promise<ScanStep> {
  const entry = await segment.offsetIndex.lookup(offset - 1);
  if (entry !== undefined && entry.position >= 0 && entry.position < segment.writtenBytes) {
    scanner.seek(entry.position);
    const step = await scanner.next();
    if (step.kind === "batch" && step.header.lastOffset === entry.offset) return step;
    scanner.seek(0);
  }
  return scanner.next();
}
