import { OttlaError } from "@ottla/errors";
import { RECORD_BATCH_OVERHEAD_BYTES, readBatchHeader } from "@ottla/records";
import { type PreparedBatch, prepareEncodedBatch } from "../log-service/prepare-batch.ts";
import type { Topic } from "../topics.ts";

const MAGIC_POSITION = 16;
const CURRENT_MAGIC = 2;
const FIRST_VERSION_WITH_ZSTD = 7;

/**
 * Checks a batch as Kafka's broker does, with Kafka's codes, and gives it the form in which it
 * is stored. No record is decoded unless the topic's compression.type asks for another codec.
 */
export function prepareProducedBatch(
  topic: Topic,
  records: Uint8Array | null,
  apiVersion: number,
): PreparedBatch {
  if (records === null || records.byteLength === 0) {
    throw new OttlaError(
      "INVALID_RECORD",
      "records: there must be exactly one record batch for each partition",
    );
  }
  if (records.byteLength < RECORD_BATCH_OVERHEAD_BYTES) {
    throw new OttlaError(
      "CORRUPT_MESSAGE",
      `records: ${records.byteLength} bytes are less than a batch's header`,
    );
  }
  const magic = records[MAGIC_POSITION];
  if (magic !== CURRENT_MAGIC) {
    throw new OttlaError(
      "INVALID_RECORD",
      `records: message format ${magic} is not served, only ${CURRENT_MAGIC} is`,
    );
  }
  const header = readBatchHeader(records);
  if (header.compression === "zstd" && apiVersion < FIRST_VERSION_WITH_ZSTD) {
    throw new OttlaError(
      "UNSUPPORTED_COMPRESSION_TYPE",
      `zstd needs Produce version ${FIRST_VERSION_WITH_ZSTD}, this is version ${apiVersion}`,
    );
  }
  if (header.sizeBytes < records.byteLength) {
    throw new OttlaError(
      "INVALID_RECORD",
      "records: there must be exactly one record batch for each partition",
    );
  }
  if (header.isTransactional) {
    throw new OttlaError(
      "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
      "records: the batch belongs to a transaction; transactions are not served",
    );
  }
  if (header.baseOffset !== 0) {
    throw new OttlaError(
      "INVALID_RECORD",
      `records: the batch's base offset is ${header.baseOffset}, it must be 0`,
    );
  }
  if (header.producerId >= 0 && header.baseSequence < 0) {
    const { producerId, baseSequence } = header;
    const message = `records: the batch of producer ${producerId} has the sequence ${baseSequence}`;
    throw new OttlaError("INVALID_RECORD", message);
  }
  return prepareEncodedBatch(topic, records);
}
