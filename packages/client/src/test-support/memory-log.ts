import { OttlaError } from "@ottla/errors";
import { type BatchHeader, decodeRecords, encodeBatchPrefix, validateBatch } from "@ottla/records";

interface StoredBatch {
  readonly header: BatchHeader;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly bytes: Uint8Array;
}

interface RememberedBatch {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
}

const REMEMBERED_BATCHES = 5;

/**
 * One partition in memory, with the rules that a producer relies on: offsets, sequences,
 * five remembered batches.
 */
export class MemoryLog {
  readonly batches: StoredBatch[] = [];
  maxMessageBytes = 1_048_588;
  /** Whether a producer that is not known may begin with any sequence (KIP-360). */
  unknownBeginAnywhere = false;
  startOffset = 0;
  endOffset = 0;
  #producers = new Map<number, RememberedBatch[]>();
  #waiting: (() => void)[] = [];

  append(bytes: Uint8Array): { baseOffset: number; recordCount: number } {
    const header = validateBatch(bytes);
    const { producerId, baseSequence, lastSequence, recordCount } = header;
    if (bytes.length > this.maxMessageBytes) {
      throw new OttlaError(
        "MESSAGE_TOO_LARGE",
        `a batch of ${bytes.length} bytes is over ${this.maxMessageBytes}`,
        { metadata: { limit: String(this.maxMessageBytes) } },
      );
    }
    const remembered = this.#producers.get(producerId) ?? [];
    if (producerId >= 0) {
      const same = remembered.find((b) => b.baseSequence === baseSequence && b.lastSequence === lastSequence);
      if (same !== undefined) return { baseOffset: same.baseOffset, recordCount };
      const last = remembered.at(-1);
      const expected = last === undefined ? 0 : (last.lastSequence + 1) % 2 ** 31;
      const mayBegin = last === undefined && this.unknownBeginAnywhere;
      if (baseSequence !== expected && !mayBegin) {
        throw new OttlaError(
          "OUT_OF_ORDER_SEQUENCE_NUMBER",
          `producer ${producerId} sent sequence ${baseSequence}, expected ${expected}`,
        );
      }
    }
    const baseOffset = this.endOffset;
    const stored = bytes.slice();
    stored.set(encodeBatchPrefix(baseOffset, header.batchLength, 0));
    const lastOffset = baseOffset + recordCount - 1;
    this.batches.push({ header, baseOffset, lastOffset, bytes: stored });
    this.endOffset = lastOffset + 1;
    if (producerId >= 0) {
      this.#producers.set(
        producerId,
        [...remembered, { baseSequence, lastSequence, baseOffset }].slice(-REMEMBERED_BATCHES),
      );
    }
    for (const wake of this.#waiting.splice(0)) wake();
    return { baseOffset, recordCount };
  }

  /** The batches from the one that holds `offset`, up to `maxBytes` but at least one. */
  read(offset: number, maxBytes: number): { bytes: Uint8Array; nextOffset: number } {
    if (offset < this.startOffset || offset > this.endOffset) {
      throw new OttlaError(
        "OFFSET_OUT_OF_RANGE",
        `offset ${offset} is not in ${this.startOffset}..${this.endOffset}`,
      );
    }
    const chosen: StoredBatch[] = [];
    let sizeBytes = 0;
    for (const batch of this.batches) {
      if (batch.lastOffset < offset) continue;
      if (chosen.length > 0 && sizeBytes + batch.bytes.length > maxBytes) break;
      chosen.push(batch);
      sizeBytes += batch.bytes.length;
      if (sizeBytes >= maxBytes) break;
    }
    return {
      bytes: Buffer.concat(chosen.map((batch) => batch.bytes)),
      nextOffset: (chosen.at(-1)?.lastOffset ?? offset - 1) + 1,
    };
  }

  /** Forgets the producers, as a server does whose memory of them expired. */
  forgetProducers(): void {
    this.#producers = new Map();
  }

  /** The first record at or after the time; -1 when there is none. */
  offsetForTimestamp(timestampMs: number): number {
    for (const { bytes } of this.batches) {
      for (const record of decodeRecords(bytes)) if (record.timestampMs >= timestampMs) return record.offset;
    }
    return -1;
  }

  grown(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
