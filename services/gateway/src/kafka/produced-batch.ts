import { OttlaError } from "@ottla/errors";
import {
  type BatchHeader,
  checkRecordLengths,
  clearLogAppendTime,
  LOG_OVERHEAD_BYTES,
  RECORD_BATCH_MAGIC,
  RECORD_BATCH_OVERHEAD_BYTES,
} from "@ottla/records";
import { checkRecordsDeeply } from "../log-service/deep-checks.ts";
import {
  type PreparedBatch,
  prepareValidatedBatch,
  validateEncodedBatch,
} from "../log-service/prepare-batch.ts";
import type { Topic } from "../topics.ts";

const LENGTH_POSITION = 8;
const MAGIC_POSITION = 16;
/** Without so many bytes Kafka sees no batch at all. */
const BYTES_TO_MAGIC = 17;
/** The smallest length that Kafka takes for a batch of any format. */
const SMALLEST_LENGTH = 14;
const FIRST_VERSION_WITH_ZSTD = 7;
const NO_TIMESTAMP = -1;

/**
 * Checks a batch as Kafka's broker does, with Kafka's codes, and gives it the form in which it
 * is stored. No record is decoded unless a setting of the topic is about single records.
 */
export function prepareProducedBatch(
  topic: Topic,
  records: Uint8Array | null,
  { apiVersion, nowMs }: { readonly apiVersion: number; readonly nowMs: number },
): PreparedBatch {
  if (records === null) throw notOneBatch();
  checkFrame(records);
  const header = validateEncodedBatch(topic, records);
  checkTerms(header, apiVersion);
  checkRecordLengths(records, header);
  if (header.timestampType !== "LogAppendTime") {
    checkRecordsDeeply(topic, records, header, nowMs);
    return prepareValidatedBatch(topic, records, header);
  }
  // Kafka looks at this bit only where it does not check the records' own timestamps.
  if (topic.config.messageTimestampType === "LogAppendTime" || header.maxTimestamp === NO_TIMESTAMP) {
    throw new OttlaError(
      "INVALID_TIMESTAMP",
      "records: the batch says LogAppendTime, which only the broker may say",
    );
  }
  const stored = clearLogAppendTime(records);
  checkRecordsDeeply(topic, stored, header, nowMs);
  return prepareValidatedBatch(topic, stored, { ...header, timestampType: "CreateTime" });
}

/**
 * What can be told before the CRC is known to be right, in the order of Kafka's own checks: cut short is not
 * a batch (INVALID_RECORD), an impossible length or magic is damage (CORRUPT_MESSAGE).
 */
function checkFrame(records: Uint8Array): void {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  if (records.byteLength < LOG_OVERHEAD_BYTES) throw notOneBatch();
  const length = view.getInt32(LENGTH_POSITION);
  if (length < SMALLEST_LENGTH) {
    throw new OttlaError("CORRUPT_MESSAGE", `records: batch length ${length} is smaller than any batch`);
  }
  if (records.byteLength < BYTES_TO_MAGIC) throw notOneBatch();
  const magic = view.getInt8(MAGIC_POSITION);
  if (magic < 0 || magic > RECORD_BATCH_MAGIC) {
    throw new OttlaError("CORRUPT_MESSAGE", `records: magic ${magic} is not a record format`);
  }
  if (LOG_OVERHEAD_BYTES + length !== records.byteLength) throw notOneBatch();
  if (magic !== RECORD_BATCH_MAGIC) {
    throw new OttlaError(
      "INVALID_RECORD",
      `records: message format ${magic} is not served, only ${RECORD_BATCH_MAGIC} is`,
    );
  }
  const baseOffset = view.getBigInt64(0);
  if (baseOffset !== 0n && records.byteLength >= RECORD_BATCH_OVERHEAD_BYTES) {
    throw new OttlaError("INVALID_RECORD", `records: the batch's base offset is ${baseOffset}, it must be 0`);
  }
}

function checkTerms(header: BatchHeader, apiVersion: number): void {
  if (header.compression === "zstd" && apiVersion < FIRST_VERSION_WITH_ZSTD) {
    throw new OttlaError(
      "UNSUPPORTED_COMPRESSION_TYPE",
      `zstd needs Produce version ${FIRST_VERSION_WITH_ZSTD}, this is version ${apiVersion}`,
    );
  }
  if (header.isTransactional) {
    throw new OttlaError(
      "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
      "records: the batch belongs to a transaction; transactions are not served",
    );
  }
}

function notOneBatch(): OttlaError {
  return new OttlaError(
    "INVALID_RECORD",
    "records: there must be exactly one whole record batch for each partition",
  );
}
