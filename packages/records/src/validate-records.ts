import { OttlaError } from "@ottla/errors";
import { type BatchHeader, RECORD_BATCH_OVERHEAD_BYTES, readBatchHeader } from "./batch-header.ts";
import { type DecodeOptions, decodeRecords } from "./decode-records.ts";

export interface ValidateRecordsOptions extends DecodeOptions {
  /** Compacted topics cannot keep a record without a key. */
  readonly requireKeys?: boolean;
  /**
   * The earliest and latest CreateTime allowed, inclusive; records without a timestamp
   * (-1) pass, as in Kafka.
   */
  readonly minTimestampMs?: number;
  readonly maxTimestampMs?: number;
}

/** An error names no more records than these. */
const MAX_NAMED_RECORDS = 100;

export interface ValidatedRecords {
  readonly recordCount: number;
  /** The largest timestamp found, which a careless producer's header may not tell; -1 when there is none. */
  readonly maxTimestampMs: number;
  /** The first offset with that timestamp. */
  readonly offsetOfMaxTimestamp: number;
}

/**
 * Decodes every record of one batch, so that what a topic demands of records, and that they can be
 * read at all, is known before the batch is stored. The CRC and the header are `validateBatch`'s part.
 *
 * Throws INVALID_RECORD (malformed, or without a key) and INVALID_TIMESTAMP (one or more outside the bounds);
 * `metadata.recordIndexes` lists the records refused, the first hundred of them.
 */
export function validateRecords(batch: Uint8Array, options: ValidateRecordsOptions = {}): ValidatedRecords {
  const header = readBatchHeader(batch);
  const { requireKeys = false, minTimestampMs = -1, maxTimestampMs = Number.MAX_SAFE_INTEGER } = options;
  let recordCount = 0;
  let largest = -1;
  let offsetOfMaxTimestamp = header.baseOffset;
  const refused = new RefusedRecords();
  for (const { key, offset, timestampMs } of decodeRecords(batch, options)) {
    if (requireKeys && key === null) {
      refused.add("INVALID_RECORD", recordCount, "has no key, which a compacted topic needs");
    } else if (timestampMs !== -1 && (timestampMs < minTimestampMs || timestampMs > maxTimestampMs)) {
      refused.add(
        "INVALID_TIMESTAMP",
        recordCount,
        `has timestamp ${timestampMs}, outside ${minTimestampMs} to ${maxTimestampMs} ` +
          "(message.timestamp.before.max.ms, message.timestamp.after.max.ms)",
      );
    }
    if (timestampMs > largest) {
      largest = timestampMs;
      offsetOfMaxTimestamp = offset;
    }
    recordCount++;
  }
  refused.throwIfAny();
  return { recordCount, maxTimestampMs: largest, offsetOfMaxTimestamp };
}

/**
 * Hops over the records of one batch that is not compressed, by their lengths: there must be as many as the
 * header says, and they must fill the batch to its end. Nothing inside them is read, so this costs little
 * enough for every batch. Other batches pass. Throws INVALID_RECORD.
 */
export function checkRecordLengths(batch: Uint8Array, header: BatchHeader): void {
  if (header.compression !== "none") return;
  const end = header.position + header.sizeBytes;
  let position = header.position + RECORD_BATCH_OVERHEAD_BYTES;
  let recordCount = 0;
  for (; position < end; recordCount++) {
    let byte = batch[position++] as number;
    let length = byte & 0x7f;
    for (let shift = 7; byte > 0x7f; shift += 7) {
      if (position >= end || shift > 28) throw brokenRecord(recordCount);
      byte = batch[position++] as number;
      length |= (byte & 0x7f) << shift;
    }
    // Zigzag: odd numbers are negative lengths.
    if ((length & 1) === 1) throw brokenRecord(recordCount);
    position += length >>> 1;
  }
  if (position !== end) throw brokenRecord(recordCount - 1);
  if (recordCount === header.recordCount) return;
  throw new OttlaError(
    "INVALID_RECORD",
    `the batch holds ${recordCount} records, its header says ${header.recordCount}`,
  );
}

function brokenRecord(recordIndex: number): OttlaError {
  return new OttlaError("INVALID_RECORD", `record ${recordIndex} of the batch has a broken length`);
}

/** What is wrong with a batch's records; as in Kafka, a bad timestamp anywhere gives the code. */
class RefusedRecords {
  readonly #indexes: number[] = [];
  #code: "INVALID_RECORD" | "INVALID_TIMESTAMP" = "INVALID_RECORD";
  #reason = "";
  #count = 0;

  add(code: "INVALID_RECORD" | "INVALID_TIMESTAMP", recordIndex: number, reason: string): void {
    if (this.#count === 0) this.#reason = `record ${recordIndex} of the batch ${reason}`;
    if (code === "INVALID_TIMESTAMP") this.#code = code;
    if (this.#indexes.length < MAX_NAMED_RECORDS) this.#indexes.push(recordIndex);
    this.#count++;
  }

  throwIfAny(): void {
    if (this.#count === 0) return;
    const others = this.#count > 1 ? `; ${this.#count} records are refused` : "";
    throw new OttlaError(this.#code, this.#reason + others, {
      metadata: { recordIndexes: this.#indexes.join(",") },
    });
  }
}
