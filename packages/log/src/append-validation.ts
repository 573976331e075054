import { OttlaError } from "@ottla/errors";
import { type BatchHeader, readBatchHeader, splitBatches } from "@ottla/records";
import type { LogConfig } from "./log-config.ts";

/**
 * Of clients and owners. No topic setting allows more batches in one append than bytes
 * could hold; this bounds the work of one call. A leader's answer is bounded in bytes,
 * and refused it would come again for ever.
 */
const MAX_BATCHES_PER_APPEND = 10_000;

/** The headers of the batches in `bytes`, each with its position there. */
export function readAppend(
  bytes: Uint8Array,
  options: { readonly validated: boolean; readonly origin: "client" | "coordinator" | "replica" },
): BatchHeader[] {
  if (bytes.byteLength === 0) throw new OttlaError("INVALID_RECORD", "the append holds no record batch");
  const headers = options.validated
    ? readHeaders(bytes)
    : splitBatches(bytes, { requireDense: options.origin === "client" });
  return options.origin === "replica" ? headers : limited(headers);
}

function readHeaders(bytes: Uint8Array): BatchHeader[] {
  const headers: BatchHeader[] = [];
  for (let position = 0; position < bytes.byteLength; ) {
    const header = readBatchHeader(bytes, position);
    if (position + header.sizeBytes > bytes.byteLength) {
      throw new OttlaError("CORRUPT_MESSAGE", `batch at ${position} is cut short`);
    }
    headers.push(header);
    position += header.sizeBytes;
  }
  return headers;
}

function limited(headers: BatchHeader[]): BatchHeader[] {
  if (headers.length <= MAX_BATCHES_PER_APPEND) return headers;
  throw new OttlaError(
    "INVALID_RECORD",
    `one append holds ${headers.length} batches; at most ${MAX_BATCHES_PER_APPEND} are allowed`,
  );
}

/** What holds for every batch that a client sends. */
export function checkClientBatch(header: BatchHeader, config: LogConfig, nowMs: number): void {
  if (header.isControl) {
    throw new OttlaError("INVALID_RECORD", "clients may not append control batches");
  }
  if (header.recordCount === 0 || header.recordCount !== header.lastOffsetDelta + 1) {
    throw new OttlaError(
      "INVALID_RECORD",
      `the batch has ${header.recordCount} records for ${header.lastOffsetDelta + 1} offsets`,
    );
  }
  checkBatchSize(header, config);
  if (config.messageTimestampType === "CreateTime") checkTimestamps(header, config, nowMs);
}

export function checkBatchSize(header: BatchHeader, config: LogConfig): void {
  const { sizeBytes } = header;
  if (sizeBytes > config.maxMessageBytes) {
    throw new OttlaError(
      "MESSAGE_TOO_LARGE",
      `the record batch has ${sizeBytes} bytes; max.message.bytes allows ${config.maxMessageBytes}`,
      { metadata: { field: "batch", sizeBytes: String(sizeBytes), limit: String(config.maxMessageBytes) } },
    );
  }
  checkSegmentSize(sizeBytes, config);
}

export function checkSegmentSize(sizeBytes: number, config: LogConfig): void {
  if (sizeBytes <= config.segmentBytes) return;
  throw new OttlaError(
    "RECORD_LIST_TOO_LARGE",
    `the record batch has ${sizeBytes} bytes; segment.bytes allows ${config.segmentBytes}`,
    { metadata: { field: "batch", sizeBytes: String(sizeBytes), limit: String(config.segmentBytes) } },
  );
}

function checkTimestamps(header: BatchHeader, config: LogConfig, nowMs: number): void {
  if (header.timestampType === "LogAppendTime") {
    throw new OttlaError(
      "INVALID_TIMESTAMP",
      "only the log may set a batch's timestamp type to LogAppendTime",
    );
  }
  const ageMs = nowMs - (header.baseTimestamp === -1 ? nowMs : header.baseTimestamp);
  if (ageMs > config.timestampBeforeMaxMs) {
    throw badTimestamp(
      header.baseTimestamp,
      "message.timestamp.before.max.ms",
      config.timestampBeforeMaxMs,
      nowMs,
    );
  }
  if (header.maxTimestamp - nowMs > config.timestampAfterMaxMs) {
    throw badTimestamp(
      header.maxTimestamp,
      "message.timestamp.after.max.ms",
      config.timestampAfterMaxMs,
      nowMs,
    );
  }
}

function badTimestamp(timestampMs: number, setting: string, limitMs: number, nowMs: number): OttlaError {
  return new OttlaError(
    "INVALID_TIMESTAMP",
    `timestamp ${timestampMs} is farther from the node's time ${nowMs} than ${setting}=${limitMs} allows`,
    { metadata: { field: "timestamp", timestampMs: String(timestampMs), setting, limit: String(limitMs) } },
  );
}
