import type { BatchHeader } from "@ottla/records";
import { BatchScanner, findNextBatch } from "./batch-scanner.ts";
import { largestTimestampOf, type Segment } from "./segment.ts";

export interface FoundBatch {
  readonly header: BatchHeader;
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** The intact batches of a segment from `position` on; damaged stretches are passed over. */
export async function* intactBatches(segment: Segment, position = 0): AsyncGenerator<FoundBatch> {
  const endPosition = segment.writtenBytes;
  const endOffset = segment.writtenEndOffset;
  const lease = await segment.openLog("read");
  try {
    const scanner = new BatchScanner({ file: lease.file, position, endPosition });
    let expectedOffset = segment.baseOffset;
    for (let step = await scanner.next(); step.kind !== "end"; step = await scanner.next()) {
      if (step.kind === "batch" && step.header.baseOffset >= expectedOffset) {
        // Left by a truncation that a failing disk undid: these offsets belong to the next segment.
        if (step.header.lastOffset >= endOffset) return;
        expectedOffset = step.header.lastOffset + 1;
        yield step;
        continue;
      }
      const next = await findNextBatch(lease.file, {
        fromPosition: step.position + 1,
        endPosition,
        minBaseOffset: expectedOffset,
        maxBaseOffset: endOffset - 1,
      });
      if (next === undefined) return;
      scanner.seek(next.position);
    }
  } finally {
    lease.release();
  }
}

/**
 * After a truncation: learns anew which timestamps the segment that is active now begins with and reaches.
 */
export async function refreshTimestamps(segment: Segment): Promise<void> {
  segment.firstTimestampMs = undefined;
  segment.maxTimestamp = await segment.timeIndex.last();
  for await (const { header } of intactBatches(segment)) {
    segment.firstTimestampMs = header.maxTimestamp;
    break;
  }
  const lastIndexed = segment.maxTimestamp?.offset;
  const entry = lastIndexed === undefined ? undefined : await segment.offsetIndex.lookup(lastIndexed);
  for await (const { header } of intactBatches(segment, entry?.position ?? 0)) {
    const timestampMs = largestTimestampOf(header);
    if (timestampMs > (segment.maxTimestamp?.timestampMs ?? Number.NEGATIVE_INFINITY)) {
      segment.maxTimestamp = { timestampMs, offset: header.lastOffset };
    }
  }
}

/** Makes the indexes of a closed segment anew from its batches. */
export async function rebuildIndexes(segment: Segment): Promise<void> {
  const { writtenBytes, writtenEndOffset } = segment;
  const batches: { found: FoundBatch["header"]; position: number }[] = [];
  for await (const { header, position } of intactBatches(segment)) batches.push({ found: header, position });
  await segment.resetIndexes();
  // Nothing is awaited until the sizes are right again, so no reader sees them in between.
  segment.noteClosed(0, segment.baseOffset);
  for (const { found, position } of batches) {
    segment.noteRecovered(
      {
        baseOffset: found.baseOffset,
        lastOffset: found.lastOffset,
        sizeBytes: found.sizeBytes,
        maxTimestampMs: largestTimestampOf(found),
      },
      position,
    );
  }
  segment.noteClosed(writtenBytes, writtenEndOffset);
  await segment.closeIndexes();
}
