import { OttlaError } from "@ottla/errors";
import {
  type BatchHeader,
  crc32c,
  LOG_OVERHEAD_BYTES,
  RECORD_BATCH_OVERHEAD_BYTES,
  readBatchHeader,
  validateBatch,
} from "@ottla/records";
import type { DiskFile, ReadBuffers } from "@ottla/runtime";

/** How much is read from disk at once when nothing else is said. */
export const DEFAULT_CHUNK_BYTES = 128 * 1024;

/**
 * Batches that claim more are checked piece by piece first: a flipped bit in a length
 * must not cost a gigabyte.
 */
const LARGE_BATCH_BYTES = 4 * 1024 * 1024;
const RESYNC_CHUNK_BYTES = 1024 * 1024;
const CRC_POSITION = 17;
const CRC_BEGIN = 21;
const MAGIC_POSITION = 16;

export type ScanStep =
  | {
      readonly kind: "batch";
      /** In the file. */
      readonly position: number;
      readonly header: BatchHeader;
      /** A view into the chunk that was read. */
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "damaged"; readonly position: number; readonly reason: string }
  | { readonly kind: "end" };

export interface BatchScannerOptions {
  readonly file: DiskFile;
  readonly position: number;
  /** Nothing at or behind it belongs to the log. */
  readonly endPosition: number;
  readonly chunkBytes?: number;
  /** Where to read to; fresh memory unless it is given. */
  readonly buffers?: ReadBuffers;
  /** What was read goes back to `buffers` when more is read: a batch's bytes are there until the next. */
  readonly givesBack?: boolean;
}

/** Reads the batches of a segment one after another and checks each one's structure and CRC (R12). */
export class BatchScanner {
  readonly #file: DiskFile;
  readonly #endPosition: number;
  readonly #chunkBytes: number;
  readonly #buffers: ReadBuffers | undefined;
  readonly #givesBack: boolean;
  #position: number;
  #chunk: Uint8Array = new Uint8Array(0);
  #chunkPosition = 0;

  constructor(options: BatchScannerOptions) {
    this.#file = options.file;
    this.#position = options.position;
    this.#endPosition = options.endPosition;
    this.#chunkBytes = options.chunkBytes ?? DEFAULT_CHUNK_BYTES;
    this.#buffers = options.buffers;
    this.#givesBack = options.givesBack ?? false;
  }

  /** Where the next batch begins. */
  get position(): number {
    return this.#position;
  }

  /** A larger batch ends the scan: its reader has no room left for it, so its bytes need not be read. */
  budgetBytes = Number.POSITIVE_INFINITY;

  seek(position: number): void {
    this.#position = position;
  }

  async next(): Promise<ScanStep> {
    const leftBytes = this.#endPosition - this.#position;
    if (leftBytes <= 0 || this.budgetBytes < RECORD_BATCH_OVERHEAD_BYTES) return { kind: "end" };
    if (leftBytes < RECORD_BATCH_OVERHEAD_BYTES) {
      return this.#damaged(`${leftBytes} bytes do not hold a batch header`);
    }
    if (!(await this.#fill(RECORD_BATCH_OVERHEAD_BYTES)))
      return this.#damaged("the file ends inside a header");
    const start = this.#position - this.#chunkPosition;
    try {
      const { sizeBytes } = readBatchHeader(this.#chunk, start);
      if (sizeBytes > leftBytes)
        return this.#damaged(`the batch says ${sizeBytes} bytes, ${leftBytes} are there`);
      if (sizeBytes > this.budgetBytes) return { kind: "end" };
      if (sizeBytes > LARGE_BATCH_BYTES && !(await this.#isLargeBatchIntact(sizeBytes))) {
        return this.#damaged(`the CRC of a batch of ${sizeBytes} bytes is wrong`);
      }
      if (!(await this.#fill(sizeBytes))) return this.#damaged("the file ends inside a batch");
      return this.#batch(sizeBytes);
    } catch (error) {
      if (error instanceof OttlaError) return this.#damaged(error.message);
      throw error;
    }
  }

  #batch(sizeBytes: number): ScanStep {
    const position = this.#position;
    const start = position - this.#chunkPosition;
    const bytes = this.#chunk.subarray(start, start + sizeBytes);
    const header = validateBatch(bytes);
    this.#position += sizeBytes;
    return { kind: "batch", position, header, bytes };
  }

  /** Makes sure that `length` bytes from the position on are in the chunk; false when the file has fewer. */
  async #fill(length: number): Promise<boolean> {
    const start = this.#position - this.#chunkPosition;
    if (start >= 0 && start + length <= this.#chunk.byteLength) return true;
    const chunkBytes = Math.max(length, Math.min(this.#chunkBytes, this.budgetBytes));
    const wanted = Math.min(chunkBytes, this.#endPosition - this.#position);
    if (this.#givesBack) this.giveBack();
    this.#chunk = await this.#read(this.#position, wanted);
    this.#chunkPosition = this.#position;
    return this.#chunk.byteLength >= length;
  }

  /** Nobody looks at what was read any more. */
  giveBack(): void {
    this.#buffers?.giveBack(this.#chunk);
    this.#chunk = new Uint8Array(0);
  }

  async #read(position: number, length: number): Promise<Uint8Array> {
    if (this.#buffers === undefined) return this.#file.read(position, length);
    const target = this.#buffers.take(length);
    const count = await this.#file.readInto(position, target);
    return count === length ? target : target.subarray(0, count);
  }

  async #isLargeBatchIntact(sizeBytes: number): Promise<boolean> {
    const head = await this.#file.read(this.#position, CRC_BEGIN);
    if (head.byteLength < CRC_BEGIN) return false;
    const expected = new DataView(head.buffer, head.byteOffset).getUint32(CRC_POSITION);
    const end = this.#position + sizeBytes;
    let crc: number | undefined;
    for (let at = this.#position + CRC_BEGIN; at < end; at += RESYNC_CHUNK_BYTES) {
      const piece = await this.#file.read(at, Math.min(RESYNC_CHUNK_BYTES, end - at));
      crc = crc32c(piece, crc);
    }
    return crc === expected;
  }

  #damaged(reason: string): ScanStep {
    return { kind: "damaged", position: this.#position, reason };
  }
}

/**
 * The next intact batch behind damage: its position is not known, because the lengths that
 * lead there may be the damage. Tries every position whose base offset lies within the bounds.
 */
export async function findNextBatch(
  file: DiskFile,
  search: {
    readonly fromPosition: number;
    readonly endPosition: number;
    readonly minBaseOffset: number;
    readonly maxBaseOffset: number;
  },
): Promise<{ position: number; header: BatchHeader } | undefined> {
  const { endPosition } = search;
  let from = search.fromPosition;
  while (endPosition - from >= RECORD_BATCH_OVERHEAD_BYTES) {
    const chunk = await file.read(from, Math.min(RESYNC_CHUNK_BYTES, endPosition - from));
    const candidates = candidatesIn(chunk, search.minBaseOffset, search.maxBaseOffset);
    for (const start of candidates) {
      const scanner = new BatchScanner({ file, position: from + start, endPosition });
      const step = await scanner.next();
      if (step.kind === "batch") return { position: step.position, header: step.header };
    }
    const tried = chunk.byteLength - RECORD_BATCH_OVERHEAD_BYTES + 1;
    if (tried <= 0) return undefined;
    from += tried;
  }
  return undefined;
}

function candidatesIn(chunk: Uint8Array, minBaseOffset: number, maxBaseOffset: number): number[] {
  const found: number[] = [];
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  for (let start = 0; start + RECORD_BATCH_OVERHEAD_BYTES <= chunk.byteLength; start += 1) {
    if (chunk[start + MAGIC_POSITION] !== 2) continue;
    const high = view.getInt32(start);
    if (high < 0 || high > 0x1f_ffff) continue;
    const baseOffset = high * 2 ** 32 + view.getUint32(start + 4);
    if (baseOffset < minBaseOffset || baseOffset > maxBaseOffset) continue;
    if (view.getInt32(start + 8) >= RECORD_BATCH_OVERHEAD_BYTES - LOG_OVERHEAD_BYTES) found.push(start);
  }
  return found;
}
