import { OttlaError } from "@ottla/errors";
import { BatchScanner } from "../batch-scanner.ts";
import type { LogState } from "../log-state.ts";
import type { Segment } from "../segment.ts";
import type { FoundBatch } from "../segment-batches.ts";
import type { CompactionPace } from "./compaction-pace.ts";

/** What the parts of one compaction share. */
export interface CompactionWork {
  readonly state: LogState;
  readonly pace: CompactionPace;
  readonly signal: AbortSignal;
  readonly maxDecompressedBytes: number;
}

const CHUNK_BYTES = 512 * 1024;

/**
 * All batches of a closed segment, from the one that holds `fromOffset` on; the bytes of each are there until
 * the next is asked for. Throws CORRUPT_MESSAGE where one is damaged or does not follow on (R12): compaction
 * must not make damage look whole.
 */
export async function* sourceBatches(
  { state, pace, signal }: CompactionWork,
  segment: Segment,
  fromOffset = 0,
): AsyncGenerator<FoundBatch> {
  const { writtenBytes: endPosition, writtenEndOffset: endOffset } = segment;
  const entry = await segment.offsetIndex.lookup(fromOffset);
  const lease = await segment.openLog("read");
  const scanner = new BatchScanner({
    file: lease.file,
    position: 0,
    endPosition,
    chunkBytes: CHUNK_BYTES,
    buffers: state.resources.readBuffers,
    givesBack: true,
  });
  try {
    let expectedOffset = segment.baseOffset;
    let step = await scanner.next();
    if (entry !== undefined && entry.position > 0 && entry.position < endPosition) {
      scanner.seek(entry.position);
      const indexed = await scanner.next();
      const isThere = indexed.kind === "batch" && indexed.header.lastOffset === entry.offset;
      if (!isThere) scanner.seek(0);
      if (isThere) expectedOffset = indexed.header.baseOffset;
      step = isThere ? indexed : await scanner.next();
    }
    for (; step.kind !== "end"; step = await scanner.next()) {
      const reason =
        step.kind === "damaged" ? step.reason : discontinuity(state, step.header, expectedOffset);
      if (step.kind === "damaged" || reason !== undefined) {
        throw corrupt(segment, step.position, expectedOffset, reason ?? "damaged");
      }
      if (step.header.lastOffset >= endOffset) return;
      expectedOffset = step.header.lastOffset + 1;
      pace.use(step.header.sizeBytes);
      yield step;
      if (pace.isDue) await pace.rest(signal);
    }
    if (expectedOffset < endOffset && !state.hasGaps) {
      throw corrupt(segment, endPosition, expectedOffset, "the file ends before its last offset");
    }
  } finally {
    scanner.giveBack();
    lease.release();
  }
}

function discontinuity(
  { epochs, hasGaps, logStartOffset }: LogState,
  header: FoundBatch["header"],
  expectedOffset: number,
): string | undefined {
  const { baseOffset, lastOffset, partitionLeaderEpoch } = header;
  const follows = hasGaps ? baseOffset >= expectedOffset : baseOffset === expectedOffset;
  if (!follows) return `base offset ${baseOffset} where ${expectedOffset} is expected`;
  const epoch = lastOffset < logStartOffset ? undefined : epochs.epochAt(lastOffset);
  if (epoch === undefined || epoch === partitionLeaderEpoch) return undefined;
  return `leader epoch ${partitionLeaderEpoch} where the log was in epoch ${epoch}`;
}

function corrupt(segment: Segment, position: number, offset: number, reason: string): OttlaError {
  const file = segment.logPath;
  return new OttlaError(
    "CORRUPT_MESSAGE",
    `cannot compact: ${file} is damaged at position ${position}: ${reason}`,
    { metadata: { file, position: String(position), offset: String(offset) } },
  );
}
