import { OttlaError } from "@ottla/errors";
import { readBatchHeader } from "./batch-header.ts";
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
