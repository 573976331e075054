import { OttlaError } from "@ottla/errors";
import { type Compression, compressionFromId } from "./compression.ts";
import { crc32c } from "./crc32c.ts";
import {
  allocate,
  readInt16,
  readInt32,
  readInt64,
  readUint32,
  writeInt16,
  writeInt32,
  writeInt64,
} from "./int.ts";

/** The fixed part of a batch, from its base offset to its record count. */
export const RECORD_BATCH_OVERHEAD_BYTES = 61;
/** Base offset and batch length: what `batchLength` itself does not count. */
export const LOG_OVERHEAD_BYTES = 12;
/** Base offset, batch length and leader epoch: what a leader rewrites, because the CRC does not cover it. */
export const BATCH_PREFIX_BYTES = 16;
export const RECORD_BATCH_MAGIC = 2;

/** Where the fields of a batch are, counted from its first byte. */
export const BATCH_FIELD = {
  baseOffset: 0,
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
} as const;

/** The bits of the attributes. */
export const ATTRIBUTE = {
  compressionMask: 0x07,
  logAppendTime: 0x08,
  transactional: 0x10,
  control: 0x20,
  deleteHorizon: 0x40,
} as const;

export type TimestampType = "CreateTime" | "LogAppendTime";

/**
 * The header of a record batch v2. Offsets and timestamps are safe integers; timestamps
 * are in ms, -1 for none.
 */
export interface BatchHeader {
  /** Where the batch begins in the bytes that were given. */
  readonly position: number;
  readonly baseOffset: number;
  /** The size without its first 12 bytes, as stored. */
  readonly batchLength: number;
  /** The whole size: 12 + batchLength. */
  readonly sizeBytes: number;
  readonly partitionLeaderEpoch: number;
  readonly magic: number;
  readonly crc: number;
  readonly attributes: number;
  readonly lastOffsetDelta: number;
  readonly lastOffset: number;
  /** The first record's timestamp, or the delete horizon when `hasDeleteHorizon`. */
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  /** The sequence of the last offset; it wraps to 0 after 2^31 - 1; -1 when the batch has no sequence. */
  readonly lastSequence: number;
  /** 0 for a batch that compaction has emptied and keeps for its producer state. */
  readonly recordCount: number;
  readonly compression: Compression;
  readonly timestampType: TimestampType;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly hasDeleteHorizon: boolean;
}

export interface ValidateBatchOptions {
  /**
   * Whether the batch must hold one record for each offset of its range, and at least one: so it is
   * when a client sends it. Compaction leaves gaps, so batches read from a log are checked without it.
   */
  readonly requireDense?: boolean;
}

function corrupt(message: string): OttlaError {
  return new OttlaError("CORRUPT_MESSAGE", message);
}

/**
 * Reads the header at `position`. It needs 61 bytes there and plausible lengths, not the
 * whole batch, and does not check the CRC.
 *
 * Throws CORRUPT_MESSAGE for broken fields, INVALID_RECORD for the message formats v0 and v1,
 * UNSUPPORTED_COMPRESSION_TYPE for an unknown codec, INVALID_TIMESTAMP for a timestamp beyond ±(2^53 - 1).
 */
export function readBatchHeader(bytes: Uint8Array, position = 0): BatchHeader {
  const batchLength = readBatchLength(bytes, position);
  const attributes = readInt16(bytes, position + BATCH_FIELD.attributes);
  const baseOffset = readInt64(bytes, position + BATCH_FIELD.baseOffset);
  const lastOffsetDelta = readInt32(bytes, position + BATCH_FIELD.lastOffsetDelta);
  const lastOffset = baseOffset + lastOffsetDelta;
  if (baseOffset < 0 || lastOffsetDelta < 0 || !Number.isSafeInteger(lastOffset)) {
    throw corrupt(`batch at ${position}: offsets ${baseOffset} + ${lastOffsetDelta} are out of range`);
  }
  const recordCount = readInt32(bytes, position + BATCH_FIELD.recordCount);
  if (recordCount < 0) throw corrupt(`batch at ${position}: record count ${recordCount} is negative`);
  const producerId = readInt64(bytes, position + BATCH_FIELD.producerId);
  if (!Number.isSafeInteger(producerId)) {
    throw corrupt(`batch at ${position}: producer id ${producerId} is out of range`);
  }
  const baseSequence = readInt32(bytes, position + BATCH_FIELD.baseSequence);
  return {
    position,
    baseOffset,
    batchLength,
    sizeBytes: LOG_OVERHEAD_BYTES + batchLength,
    partitionLeaderEpoch: readInt32(bytes, position + BATCH_FIELD.partitionLeaderEpoch),
    magic: RECORD_BATCH_MAGIC,
    crc: readUint32(bytes, position + BATCH_FIELD.crc),
    attributes,
    lastOffsetDelta,
    lastOffset,
    baseTimestamp: readTimestamp(bytes, position, BATCH_FIELD.baseTimestamp),
    maxTimestamp: readTimestamp(bytes, position, BATCH_FIELD.maxTimestamp),
    producerId,
    producerEpoch: readInt16(bytes, position + BATCH_FIELD.producerEpoch),
    baseSequence,
    lastSequence: baseSequence < 0 ? -1 : addToSequence(baseSequence, lastOffsetDelta),
    recordCount,
    compression: compressionFromId(attributes & ATTRIBUTE.compressionMask),
    timestampType: (attributes & ATTRIBUTE.logAppendTime) === 0 ? "CreateTime" : "LogAppendTime",
    isTransactional: (attributes & ATTRIBUTE.transactional) !== 0,
    isControl: (attributes & ATTRIBUTE.control) !== 0,
    hasDeleteHorizon: (attributes & ATTRIBUTE.deleteHorizon) !== 0,
  };
}

/**
 * Checks that a whole, undamaged batch begins at `position` and that its header agrees
 * with itself. The records inside are not looked at: `validateRecords` does that.
 *
 * Throws as `readBatchHeader` does; CORRUPT_MESSAGE too when bytes are missing or the CRC is wrong, and
 * INVALID_RECORD when an intact batch says what no producer may say.
 */
export function validateBatch(
  bytes: Uint8Array,
  position = 0,
  options: ValidateBatchOptions = {},
): BatchHeader {
  const sizeBytes = LOG_OVERHEAD_BYTES + readBatchLength(bytes, position);
  if (sizeBytes > bytes.length - position) {
    throw corrupt(`batch at ${position} is cut short: ${bytes.length - position} of its ${sizeBytes} bytes`);
  }
  // The CRC comes before the fields, so that a flipped bit is never reported as a producer's fault.
  const expected = readUint32(bytes, position + BATCH_FIELD.crc);
  const actual = crc32c(bytes.subarray(position + BATCH_FIELD.attributes, position + sizeBytes));
  if (actual !== expected) {
    throw corrupt(
      `batch at ${position}: CRC-32C is ${hexadecimal(actual)}, the batch says ${hexadecimal(expected)}`,
    );
  }
  checkCounts(bytes, position);
  const header = readBatchHeader(bytes, position);
  checkRecordCount(header, options.requireDense === true);
  checkProducer(header);
  return header;
}

/** Validates several batches that follow one another and fill `bytes` to the end. */
export function splitBatches(bytes: Uint8Array, options: ValidateBatchOptions = {}): BatchHeader[] {
  const headers: BatchHeader[] = [];
  for (let position = 0; position < bytes.length; ) {
    const header = validateBatch(bytes, position, options);
    headers.push(header);
    position += header.sizeBytes;
  }
  return headers;
}

/**
 * The 16 bytes that a leader writes in front of the rest of a batch when it gives the
 * batch its place in the log.
 */
export function encodeBatchPrefix(baseOffset: number, batchLength: number, leaderEpoch: number): Uint8Array {
  const prefix = new Uint8Array(BATCH_PREFIX_BYTES);
  writeInt64(prefix, BATCH_FIELD.baseOffset, baseOffset);
  writeInt32(prefix, BATCH_FIELD.batchLength, batchLength);
  writeInt32(prefix, BATCH_FIELD.partitionLeaderEpoch, leaderEpoch);
  return prefix;
}

/**
 * A copy of one batch whose records all carry the time of the append
 * (`message.timestamp.type=LogAppendTime`).
 */
export function setLogAppendTime(batch: Uint8Array, timestampMs: number): Uint8Array {
  const { sizeBytes, attributes } = readBatchHeader(batch);
  if (sizeBytes > batch.length) throw corrupt(`batch is cut short: ${batch.length} of ${sizeBytes} bytes`);
  const copy = allocate(sizeBytes);
  copy.set(batch.subarray(0, sizeBytes));
  writeInt16(copy, BATCH_FIELD.attributes, attributes | ATTRIBUTE.logAppendTime);
  writeInt64(copy, BATCH_FIELD.maxTimestamp, timestampMs);
  writeCrc(copy);
  return copy;
}

/**
 * A copy of one batch that says LogAppendTime where only CreateTime may be: its one time, the
 * header's largest timestamp, becomes the batch's largest CreateTime, as in Kafka.
 */
export function clearLogAppendTime(batch: Uint8Array): Uint8Array {
  const { sizeBytes, attributes } = readBatchHeader(batch);
  if (sizeBytes > batch.length) throw corrupt(`batch is cut short: ${batch.length} of ${sizeBytes} bytes`);
  const copy = allocate(sizeBytes);
  copy.set(batch.subarray(0, sizeBytes));
  writeInt16(copy, BATCH_FIELD.attributes, attributes & ~ATTRIBUTE.logAppendTime);
  writeCrc(copy);
  return copy;
}

/** Computes the CRC of a whole batch and stores it there. */
export function writeCrc(batch: Uint8Array): void {
  writeInt32(batch, BATCH_FIELD.crc, crc32c(batch.subarray(BATCH_FIELD.attributes)));
}

/** A producer's sequence after `count` more records: after 2^31 - 1 comes 0. */
export function addToSequence(sequence: number, count: number): number {
  const sum = sequence + count;
  return sum > 0x7fff_ffff ? sum - 0x8000_0000 : sum;
}

function readBatchLength(bytes: Uint8Array, position: number): number {
  const availableBytes = bytes.length - position;
  if (position < 0 || availableBytes <= BATCH_FIELD.magic) {
    throw corrupt(`batch at ${position} is cut short: ${availableBytes} bytes do not hold a batch header`);
  }
  const magic = bytes[position + BATCH_FIELD.magic] as number;
  if (magic !== RECORD_BATCH_MAGIC) throw wrongMagic(position, magic);
  if (availableBytes < RECORD_BATCH_OVERHEAD_BYTES) {
    throw corrupt(
      `batch at ${position} is cut short: ${availableBytes} of ${RECORD_BATCH_OVERHEAD_BYTES} header bytes`,
    );
  }
  const batchLength = readInt32(bytes, position + BATCH_FIELD.batchLength);
  if (batchLength < RECORD_BATCH_OVERHEAD_BYTES - LOG_OVERHEAD_BYTES) {
    throw corrupt(`batch at ${position}: batch length ${batchLength} is smaller than a header`);
  }
  return batchLength;
}

/** v0 and v1 are real formats that Kafka 4 refuses as INVALID_RECORD; any other number is damage. */
function wrongMagic(position: number, magic: number): OttlaError {
  if (magic > 1) return corrupt(`batch at ${position}: magic ${magic} is not a record format`);
  return new OttlaError(
    "INVALID_RECORD",
    `batch at ${position}: message format v${magic} is not served; ` +
      "use a client of Kafka 0.11 or newer, which sends record batch v2",
  );
}

function readTimestamp(bytes: Uint8Array, position: number, field: number): number {
  const timestampMs = readInt64(bytes, position + field);
  if (Number.isSafeInteger(timestampMs)) return timestampMs;
  throw new OttlaError(
    "INVALID_TIMESTAMP",
    `batch at ${position}: timestamp ${timestampMs} is beyond 2^53 - 1; timestamps are in milliseconds`,
  );
}

/** In an intact batch these are the producer's fault, not damage. */
function checkCounts(bytes: Uint8Array, position: number): void {
  const lastOffsetDelta = readInt32(bytes, position + BATCH_FIELD.lastOffsetDelta);
  const recordCount = readInt32(bytes, position + BATCH_FIELD.recordCount);
  if (lastOffsetDelta >= 0 && recordCount >= 0) return;
  throw new OttlaError(
    "INVALID_RECORD",
    `batch at ${position}: ${recordCount} records with a last offset delta of ${lastOffsetDelta}`,
  );
}

function checkRecordCount(header: BatchHeader, requireDense: boolean): void {
  const offsetCount = header.lastOffsetDelta + 1;
  if (header.recordCount === offsetCount) return;
  if (header.recordCount < offsetCount && !requireDense) return;
  throw new OttlaError(
    "INVALID_RECORD",
    `batch at ${header.position}: ${header.recordCount} records for ${offsetCount} offsets; ` +
      (requireDense
        ? "a batch from a client has exactly one record per offset"
        : "no offset has two records"),
  );
}

/**
 * Batches without a producer id may carry anything in the other two fields: kafkajs and sarama
 * leave zeros there. With one, epoch and sequence must be real; control batches have no sequence.
 */
function checkProducer(header: BatchHeader): void {
  const { position, producerId, producerEpoch, baseSequence } = header;
  if (producerId < -1) {
    throw new OttlaError("INVALID_RECORD", `batch at ${position}: producer id ${producerId} is negative`);
  }
  if (producerId === -1) {
    if (!header.isTransactional) return;
    throw new OttlaError("INVALID_RECORD", `batch at ${position} is transactional without a producer id`);
  }
  if (producerEpoch < 0 || (baseSequence < 0 && !header.isControl)) {
    throw new OttlaError(
      "INVALID_RECORD",
      `batch at ${position}: producer id ${producerId} with epoch ${producerEpoch} and sequence ${baseSequence}`,
    );
  }
}

function hexadecimal(crc: number): string {
  return `0x${crc.toString(16).padStart(8, "0")}`;
}
