export {
  BatchBuilder,
  type BatchOptions,
  encodeBatch,
  MAX_BATCH_BYTES,
  type ProducerFields,
} from "./batch-builder.ts";
export { BatchFilter, emptiedBatch, type FilteredBatch } from "./batch-filter.ts";
export {
  addToSequence,
  BATCH_PREFIX_BYTES,
  type BatchHeader,
  clearLogAppendTime,
  encodeBatchPrefix,
  LOG_OVERHEAD_BYTES,
  RECORD_BATCH_MAGIC,
  RECORD_BATCH_OVERHEAD_BYTES,
  readBatchHeader,
  setLogAppendTime,
  splitBatches,
  type TimestampType,
  type ValidateBatchOptions,
  validateBatch,
} from "./batch-header.ts";
export { type Codecs, inlineCodecs, pooledCodecs } from "./codecs/codecs.ts";
export { COMPRESSIONS, type Compression, compressionFromId, compressionId } from "./compression.ts";
export {
  type ControlBatchOptions,
  type ControlRecord,
  decodeControlBatch,
  decodeControlRecord,
  encodeControlBatch,
} from "./control-batch.ts";
export { crc32c } from "./crc32c.ts";
export {
  DEFAULT_MAX_DECOMPRESSED_BYTES,
  type DecodeOptions,
  decodeBatches,
  decodeRecords,
} from "./decode-records.ts";
export { murmur2, partitionForKey } from "./murmur2.ts";
export type { DecodedRecord, RecordHeader, RecordInput } from "./record.ts";
export { recordSizeUpperBound } from "./record-writer.ts";
export { transcodeBatch } from "./transcode-batch.ts";
export {
  checkRecordLengths,
  type ValidatedRecords,
  type ValidateRecordsOptions,
  validateRecords,
} from "./validate-records.ts";
