import { OttlaError } from "@ottla/errors";
import type { BatchHeader } from "@ottla/records";
import type { ReadBuffers } from "@ottla/runtime";
import { BatchScanner, DEFAULT_CHUNK_BYTES, findNextBatch, type ScanStep } from "./batch-scanner.ts";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import type { Segment } from "./segment.ts";

const MAX_CHUNK_BYTES = 1024 * 1024;

export interface SegmentReadOptions {
  readonly offset: number;
  /** Batches that reach to it or beyond are not given. */
  readonly endOffset: number;
  readonly maxBytes: number;
  readonly atLeastOneBatch: boolean;
  /** Compaction leaves gaps between batches; anywhere else a gap is a lost record. */
  readonly allowGaps: boolean;
  readonly epochs: LeaderEpochCache;
  readonly buffers: ReadBuffers;
}

export interface SegmentRead {
  readonly chunks: readonly Uint8Array[];
  readonly nextOffset: number;
  readonly sizeBytes: number;
  /** The index pointed to something that is not there: it wants rebuilding. */
  readonly indexWrong: boolean;
}

/**
 * Reads whole batches and checks what it gives: CRC, and that offsets and leader epochs,
 * which lie outside the CRC, follow on (R12). Damage before the wanted offset is passed
 * over; damage at it throws CORRUPT_MESSAGE.
 */
export async function readSegment(segment: Segment, options: SegmentReadOptions): Promise<SegmentRead> {
  // Both are taken before the first await: the log may grow meanwhile, and what comes later is not asked for.
  const endPosition = segment.writtenBytes;
  const segmentEndOffset = segment.writtenEndOffset;
  const lease = await segment.openLog("read");
  try {
    const chunkBytes = Math.min(Math.max(options.maxBytes, DEFAULT_CHUNK_BYTES), MAX_CHUNK_BYTES);
    const scanner = new BatchScanner({
      file: lease.file,
      position: 0,
      endPosition,
      chunkBytes,
      buffers: options.buffers,
    });
    const start = await findStart(segment, scanner, options.offset);
    const run = new SegmentRun(segment, lease.file, scanner, options, { endPosition, segmentEndOffset });
    run.expectedOffset = start.expectedOffset;
    const read = await run.run(start.first);
    if (read.chunks.length > 0) segment.noteReadPosition(read.nextOffset, run.endPosition);
    return { ...read, indexWrong: start.indexWrong };
  } finally {
    lease.release();
  }
}

interface SegmentStart {
  readonly first: ScanStep;
  readonly expectedOffset: number;
  readonly indexWrong: boolean;
}

/** Goes to where the last read ended, else to where the index points, else to the beginning. */
async function findStart(segment: Segment, scanner: BatchScanner, offset: number): Promise<SegmentStart> {
  const known = segment.readPosition(offset);
  if (known !== undefined) {
    scanner.seek(known);
    const first = await scanner.next();
    if (first.kind === "batch" && first.header.baseOffset === offset) {
      return { first, expectedOffset: offset, indexWrong: false };
    }
  }
  const entry = await segment.offsetIndex.lookup(offset);
  if (entry !== undefined) {
    scanner.seek(Math.max(entry.position, 0));
    const first = await scanner.next();
    if (first.kind === "batch" && first.header.lastOffset === entry.offset) {
      return { first, expectedOffset: first.header.baseOffset, indexWrong: false };
    }
  }
  scanner.seek(0);
  const first = await scanner.next();
  return { first, expectedOffset: segment.baseOffset, indexWrong: entry !== undefined };
}

/** One pass over a segment's batches. */
class SegmentRun {
  readonly #segment: Segment;
  readonly #file: ConstructorParameters<typeof BatchScanner>[0]["file"];
  readonly #scanner: BatchScanner;
  readonly #options: SegmentReadOptions;
  readonly #bounds: { readonly endPosition: number; readonly segmentEndOffset: number };
  readonly #chunks: Uint8Array[] = [];
  #sizeBytes = 0;
  #nextOffset: number;
  expectedOffset: number;
  /** Where the batch begins that comes after those given. */
  endPosition = 0;

  constructor(
    segment: Segment,
    file: ConstructorParameters<typeof BatchScanner>[0]["file"],
    scanner: BatchScanner,
    options: SegmentReadOptions,
    bounds: { readonly endPosition: number; readonly segmentEndOffset: number },
  ) {
    this.#segment = segment;
    this.#file = file;
    this.#scanner = scanner;
    this.#options = options;
    this.#bounds = bounds;
    this.#nextOffset = options.offset;
    this.expectedOffset = segment.baseOffset;
  }

  async run(first: ScanStep): Promise<Omit<SegmentRead, "indexWrong">> {
    for (let step = first; step.kind !== "end"; step = await this.#scanner.next()) {
      const reason = step.kind === "damaged" ? step.reason : this.#discontinuity(step.header);
      if (reason !== undefined) {
        if (this.#chunks.length > 0) return this.#result();
        await this.#passOver(step.position, reason);
        continue;
      }
      if (step.kind === "batch" && !this.#take(step)) return this.#result();
    }
    const { offset, endOffset, allowGaps } = this.#options;
    const isHole =
      this.#chunks.length === 0 && this.expectedOffset <= offset && offset < endOffset && !allowGaps;
    if (isHole) throw this.#corrupt(this.#scanner.position, "the segment ends before this offset", undefined);
    return this.#result();
  }

  /** Returns false when the read is complete. */
  #take({ header, bytes, position }: Extract<ScanStep, { kind: "batch" }>): boolean {
    this.expectedOffset = header.lastOffset + 1;
    if (header.lastOffset < this.#options.offset) return true;
    if (header.lastOffset >= Math.min(this.#options.endOffset, this.#bounds.segmentEndOffset)) return false;
    const fits = this.#sizeBytes + bytes.byteLength <= this.#options.maxBytes;
    if (!fits && !(this.#options.atLeastOneBatch && this.#chunks.length === 0)) return false;
    this.#add(bytes);
    this.endPosition = position + bytes.byteLength;
    this.#sizeBytes += bytes.byteLength;
    this.#nextOffset = header.lastOffset + 1;
    this.#scanner.budgetBytes = this.#options.maxBytes - this.#sizeBytes;
    return this.#sizeBytes < this.#options.maxBytes;
  }

  /** Batches that lie side by side in memory are given as one chunk, so that nobody needs to join them. */
  #add(bytes: Uint8Array): void {
    const last = this.#chunks.at(-1);
    const follows = last?.buffer === bytes.buffer && last.byteOffset + last.byteLength === bytes.byteOffset;
    if (last === undefined || !follows) this.#chunks.push(bytes);
    else {
      const sizeBytes = last.byteLength + bytes.byteLength;
      this.#chunks[this.#chunks.length - 1] = new Uint8Array(last.buffer, last.byteOffset, sizeBytes);
    }
  }

  #discontinuity(header: BatchHeader): string | undefined {
    const { allowGaps, epochs } = this.#options;
    const follows = allowGaps
      ? header.baseOffset >= this.expectedOffset
      : header.baseOffset === this.expectedOffset;
    if (!follows)
      return `the batch says base offset ${header.baseOffset}, expected is ${this.expectedOffset}`;
    // By its last offset: below the log start, where the first batch may begin, nothing is known of epochs.
    const epoch = header.lastOffset < this.#options.offset ? undefined : epochs.epochAt(header.lastOffset);
    if (epoch !== undefined && header.partitionLeaderEpoch !== epoch) {
      return `the batch says leader epoch ${header.partitionLeaderEpoch}, the log was in epoch ${epoch}`;
    }
    return undefined;
  }

  /**
   * Goes to the next intact batch if the wanted offset is there or behind it; throws when
   * it lies in the damage.
   */
  async #passOver(position: number, reason: string): Promise<void> {
    const next = await findNextBatch(this.#file, {
      fromPosition: position + 1,
      endPosition: this.#bounds.endPosition,
      minBaseOffset: this.expectedOffset + 1,
      maxBaseOffset: this.#bounds.segmentEndOffset - 1,
    });
    if (next === undefined || next.header.baseOffset > this.#options.offset) {
      throw this.#corrupt(position, reason, next?.header.baseOffset ?? this.#bounds.segmentEndOffset);
    }
    this.expectedOffset = next.header.baseOffset;
    this.#scanner.seek(next.position);
  }

  #corrupt(position: number, reason: string, nextOffset: number | undefined): OttlaError {
    const file = this.#segment.logPath;
    return new OttlaError(
      "CORRUPT_MESSAGE",
      `offset ${this.#options.offset} cannot be read: ${file} is damaged at position ${position}: ${reason}`,
      {
        metadata: {
          file,
          position: String(position),
          offset: String(this.#options.offset),
          // Where a reader that gives the damaged records up may go on.
          nextOffset: String(nextOffset ?? this.#bounds.segmentEndOffset),
        },
      },
    );
  }

  #result(): Omit<SegmentRead, "indexWrong"> {
    return { chunks: this.#chunks, nextOffset: this.#nextOffset, sizeBytes: this.#sizeBytes };
  }
}
