import { invalidRequest, OttlaError } from "@ottla/errors";
import {
  Compression as CompressionMessage,
  type Record,
  type RecordList,
} from "@ottla/proto/ottla/v1/record";
import {
  type BatchHeader,
  type Compression,
  encodeBatch,
  type RecordInput,
  transcodeBatch,
  validateBatch,
} from "@ottla/records";
import { checkCompression, checkTimestampMs, LIMITS } from "../checks.ts";
import type { Topic } from "../topics.ts";
import { checkKeys, maxDecompressedBytes } from "./deep-checks.ts";

/** A batch as it goes to the partition's leader. */
export interface PreparedBatch {
  readonly batch: Uint8Array;
  readonly recordCount: number;
  /** It carries a producer id and a sequence: the log recognises a second copy. */
  readonly idempotent: boolean;
}

const COMPRESSIONS: Readonly<globalThis.Record<CompressionMessage, Compression | undefined>> = {
  [CompressionMessage.UNSPECIFIED]: undefined,
  [CompressionMessage.NONE]: "none",
  [CompressionMessage.GZIP]: "gzip",
  [CompressionMessage.SNAPPY]: "snappy",
  [CompressionMessage.LZ4]: "lz4",
  [CompressionMessage.ZSTD]: "zstd",
};

/** The codec that the topic insists on, undefined when producers choose. */
function topicCompression(topic: Topic): Compression | undefined {
  const type = topic.config.compressionType;
  if (type === "producer") return undefined;
  return type === "uncompressed" ? "none" : type;
}

/**
 * Checks a batch that a client has encoded: one whole batch, undamaged, of a kind that clients
 * may send. Stored as sent, unless the topic's `compression.type` names another codec.
 */
export function prepareEncodedBatch(topic: Topic, bytes: Uint8Array): PreparedBatch {
  const prepared = prepareValidatedBatch(topic, bytes, validateEncodedBatch(topic, bytes));
  checkKeys(topic, bytes);
  return prepared;
}

/** The size first: it is cheaper than the CRC. */
export function validateEncodedBatch(topic: Topic, bytes: Uint8Array): BatchHeader {
  checkSize(topic, bytes.length);
  return validateBatch(bytes, 0, { requireDense: true });
}

/** The rest of `prepareEncodedBatch`, for a caller that has checks of its own in between. */
export function prepareValidatedBatch(topic: Topic, bytes: Uint8Array, header: BatchHeader): PreparedBatch {
  if (header.sizeBytes !== bytes.length) {
    throw new OttlaError(
      "INVALID_RECORD",
      `batch: has ${bytes.length} bytes, but its record batch ends after ${header.sizeBytes}; send one at a time`,
      { metadata: { field: "batch", limit: String(header.sizeBytes) } },
    );
  }
  if (header.isControl || header.isTransactional) {
    const kind = header.isControl ? "control" : "transactional";
    throw new OttlaError("INVALID_RECORD", `batch: ${kind} batches cannot be appended by clients`, {
      metadata: { field: "batch" },
    });
  }
  const wanted = topicCompression(topic);
  const batch =
    wanted === undefined
      ? bytes
      : transcodeBatch(bytes, wanted, { maxDecompressedBytes: maxDecompressedBytes(topic) });
  if (batch !== bytes) checkSize(topic, batch.length);
  return { batch, recordCount: header.recordCount, idempotent: header.producerId >= 0 };
}

/** Encodes records as one batch. `nowMs` is the time of those that have none. */
export function prepareRecords(
  topic: Topic,
  records: readonly RecordInput[],
  compression: CompressionMessage,
): PreparedBatch {
  const codec = topicCompression(topic) ?? COMPRESSIONS[compression] ?? "none";
  const batch = encodeBatch(records, { compression: codec });
  checkSize(topic, batch.length);
  checkKeys(topic, batch);
  return { batch, recordCount: records.length, idempotent: false };
}

/** Checks a list of records and gives them the form that the codec takes. */
export function checkRecords(list: RecordList, nowMs: number): RecordInput[] {
  const { records } = list;
  checkCompression(list.compression);
  if (records.length === 0) throw invalidRequest("records", "is empty: an append has at least one record", 1);
  if (records.length > LIMITS.recordsPerAppend) {
    const limit = LIMITS.recordsPerAppend;
    throw invalidRequest(
      "records",
      `${records.length} records exceed the limit ${limit} of one append`,
      limit,
    );
  }
  return records.map((record, index) => toInput(record, index, nowMs));
}

function toInput(record: Record, index: number, nowMs: number): RecordInput {
  const { headers, timestampMs } = record;
  if (headers.length > LIMITS.headersPerRecord) {
    const limit = LIMITS.headersPerRecord;
    throw invalidRequest(
      `records[${index}].headers`,
      `${headers.length} headers exceed the limit ${limit}`,
      limit,
    );
  }
  return {
    timestampMs:
      timestampMs === undefined ? nowMs : checkTimestampMs(`records[${index}].timestamp_ms`, timestampMs),
    key: record.key ?? null,
    value: record.value ?? null,
    ...(headers.length === 0
      ? {}
      : { headers: headers.map(({ key, value }) => ({ key, value: value ?? null })) }),
  };
}

function checkSize(topic: Topic, sizeBytes: number): void {
  const limit = topic.config.maxMessageBytes;
  if (sizeBytes <= limit) return;
  throw new OttlaError(
    "MESSAGE_TOO_LARGE",
    `the record batch has ${sizeBytes} bytes; max.message.bytes of topic ${topic.name} is ${limit}`,
    { metadata: { field: "max.message.bytes", limit: String(limit), size: String(sizeBytes) } },
  );
}
