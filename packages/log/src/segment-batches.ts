import type { BatchHeader } from "@ottla/records";
import { BatchScanner, findNextBatch } from "./batch-scanner.ts";
import type { Segment } from "./segment.ts";

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

/** Makes the indexes of a closed segment anew from its batches. */
export async function rebuildIndexes(segment: Segment): Promise<void> {
  const { writtenBytes, writtenEndOffset } = segment;
  const batches: { found: FoundBatch["header"]; position: number }[] = [];
  for await (const { header, position } of intactBatches(segment)) batches.push({ found: header, position });
  await segment.resetIndexes();
  for (const { found, position } of batches) {
    segment.noteRecovered(
      {
        baseOffset: found.baseOffset,
        lastOffset: found.lastOffset,
        sizeBytes: found.sizeBytes,
        maxTimestampMs: found.maxTimestamp,
      },
      position,
    );
  }
  segment.noteClosed(writtenBytes, writtenEndOffset);
  await segment.closeIndexes();
}
