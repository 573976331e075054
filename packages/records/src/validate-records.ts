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
 * Throws INVALID_RECORD (malformed, or without a key) and INVALID_TIMESTAMP (outside the bounds);
 * `metadata.recordIndex` tells which record.
 */
export function validateRecords(batch: Uint8Array, options: ValidateRecordsOptions = {}): ValidatedRecords {
  const header = readBatchHeader(batch);
  const { requireKeys = false, minTimestampMs = -1, maxTimestampMs = Number.MAX_SAFE_INTEGER } = options;
  let recordCount = 0;
  let largest = -1;
  let offsetOfMaxTimestamp = header.baseOffset;
  for (const { key, offset, timestampMs } of decodeRecords(batch, options)) {
    if (requireKeys && key === null) {
      throw refused("INVALID_RECORD", recordCount, "has no key, which a compacted topic needs");
    }
    if (timestampMs !== -1 && (timestampMs < minTimestampMs || timestampMs > maxTimestampMs)) {
      throw refused(
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
  return { recordCount, maxTimestampMs: largest, offsetOfMaxTimestamp };
}

function refused(
  code: "INVALID_RECORD" | "INVALID_TIMESTAMP",
  recordIndex: number,
  reason: string,
): OttlaError {
  return new OttlaError(code, `record ${recordIndex} of the batch ${reason}`, {
    metadata: { recordIndex: String(recordIndex) },
  });
}
