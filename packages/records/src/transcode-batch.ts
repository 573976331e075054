import {
  ATTRIBUTE,
  BATCH_FIELD,
  LOG_OVERHEAD_BYTES,
  RECORD_BATCH_OVERHEAD_BYTES,
  readBatchHeader,
  writeCrc,
} from "./batch-header.ts";
import { compress, decompress } from "./codecs/codec.ts";
import { type Compression, compressionId } from "./compression.ts";
import { DEFAULT_MAX_DECOMPRESSED_BYTES, type DecodeOptions, recordsOf } from "./decode-records.ts";
import { allocate, writeInt16, writeInt32 } from "./int.ts";

/**
 * The same batch under another codec, for topics whose `compression.type` is not
 * `producer`. Offsets, timestamps and producer fields stay; the length, the codec's bits
 * and the CRC change. A batch that has the codec already is given back as it is. Throws
 * as `decodeRecords` does when the payload is broken or too large.
 */
export function transcodeBatch(
  batch: Uint8Array,
  compression: Compression,
  options: DecodeOptions = {},
): Uint8Array {
  const header = readBatchHeader(batch);
  const stored = recordsOf(batch, header);
  if (header.compression === compression) return batch.subarray(0, header.sizeBytes);
  const maxDecompressedBytes = options.maxDecompressedBytes ?? DEFAULT_MAX_DECOMPRESSED_BYTES;
  // An emptied batch has no payload at all, whatever its codec.
  const isEmpty = stored.length === 0 && header.recordCount === 0;
  const records = isEmpty
    ? stored
    : compress(compression, decompress(header.compression, stored, maxDecompressedBytes));
  const result = allocate(RECORD_BATCH_OVERHEAD_BYTES + records.length);
  result.set(batch.subarray(0, RECORD_BATCH_OVERHEAD_BYTES));
  result.set(records, RECORD_BATCH_OVERHEAD_BYTES);
  const attributes = (header.attributes & ~ATTRIBUTE.compressionMask) | compressionId(compression);
  writeInt16(result, BATCH_FIELD.attributes, attributes);
  writeInt32(result, BATCH_FIELD.batchLength, result.length - LOG_OVERHEAD_BYTES);
  writeCrc(result);
  return result;
}
