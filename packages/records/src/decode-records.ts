import { OttlaError } from "@ottla/errors";
import {
  type BatchHeader,
  LOG_OVERHEAD_BYTES,
  RECORD_BATCH_OVERHEAD_BYTES,
  readBatchHeader,
} from "./batch-header.ts";
import { decompress } from "./codecs/codec.ts";
import { plainView } from "./int.ts";
import type { DecodedRecord } from "./record.ts";
import { RecordReader } from "./record-reader.ts";

/** What a batch may decompress to unless the caller says otherwise: 64 MiB. */
export const DEFAULT_MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024;

export interface DecodeOptions {
  /** A batch that decompresses to more is refused (INVALID_RECORD) before that much memory is taken. */
  readonly maxDecompressedBytes?: number;
}

/**
 * The records of the one batch at the start of `batch`. Nothing is read before the first record
 * is asked for, and each walk reads anew. The CRC is not checked here: `validateBatch` does.
 *
 * The walk throws what `readBatchHeader` throws, and INVALID_RECORD when the records inside are malformed.
 */
export function decodeRecords(batch: Uint8Array, options: DecodeOptions = {}): Iterable<DecodedRecord> {
  const maxDecompressedBytes = options.maxDecompressedBytes ?? DEFAULT_MAX_DECOMPRESSED_BYTES;
  return {
    [Symbol.iterator]: () => openRecords(plainView(batch), maxDecompressedBytes),
  };
}

/** The records of several batches that follow one another and fill `bytes` to the end, batch after batch. */
export function* decodeBatches(bytes: Uint8Array, options: DecodeOptions = {}): Iterable<DecodedRecord> {
  for (let position = 0; position < bytes.length; ) {
    const { sizeBytes } = readBatchHeader(bytes, position);
    yield* decodeRecords(bytes.subarray(position), options);
    position += sizeBytes;
  }
}

/** The bytes of the records of a whole batch, as stored. */
export function recordsOf(batch: Uint8Array, header: BatchHeader): Uint8Array {
  const end = LOG_OVERHEAD_BYTES + header.batchLength;
  if (end > batch.length) {
    throw new OttlaError("CORRUPT_MESSAGE", `batch is cut short: ${batch.length} of its ${end} bytes`);
  }
  return batch.subarray(RECORD_BATCH_OVERHEAD_BYTES, end);
}

function openRecords(batch: Uint8Array, maxDecompressedBytes: number): RecordReader {
  const header = readBatchHeader(batch);
  const stored = recordsOf(batch, header);
  // A batch that compaction has emptied has no payload, whatever its codec.
  const isEmptied = stored.length === 0 && header.recordCount === 0;
  const records = isEmptied ? stored : decompress(header.compression, stored, maxDecompressedBytes);
  return new RecordReader(records, header);
}
