import { OttlaError } from "@ottla/errors";
import {
  ATTRIBUTE,
  BATCH_FIELD,
  LOG_OVERHEAD_BYTES,
  RECORD_BATCH_MAGIC,
  RECORD_BATCH_OVERHEAD_BYTES,
  type TimestampType,
  writeCrc,
} from "./batch-header.ts";
import { compress } from "./codecs/codec.ts";
import { type Compression, compressionId } from "./compression.ts";
import { allocate, writeInt16, writeInt32, writeInt64 } from "./int.ts";
import type { RecordInput } from "./record.ts";
import { RecordBuffer } from "./record-buffer.ts";
import { recordBodySize, recordSizeUpperBound, writeRecord } from "./record-writer.ts";

/** The batch length is an int32 that leaves out the first 12 bytes; memory is the nearer limit. */
export const MAX_BATCH_BYTES = 0x7fff_ffff;

const DEFAULT_CAPACITY_BYTES = 4096;
const LENGTH_MAX_BYTES = 5;

/** Who wrote the batch: the fields that make retries idempotent. All -1 for a plain producer. */
export interface ProducerFields {
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
}

export interface BatchOptions extends ProducerFields {
  readonly compression?: Compression;
  readonly baseOffset?: number;
  readonly isTransactional?: boolean;
  readonly isControl?: boolean;
  readonly partitionLeaderEpoch?: number;
  readonly timestampType?: TimestampType;
  /**
   * The time of all records when `timestampType` is LogAppendTime; without it, the latest of the records'.
   */
  readonly logAppendTimeMs?: number;
  /** When compaction may drop the tombstones inside (KIP-534); takes the place of the base timestamp. */
  readonly deleteHorizonMs?: number;
}

/**
 * Builds one record batch record by record. `build` copies, so the builder may go on or
 * start over (`reset`) with the memory it has.
 */
export class BatchBuilder {
  private readonly options: BatchOptions;
  private readonly buffer: RecordBuffer;
  private baseTimestampMs: number;
  private maxTimestampMs = -1;
  private lastOffsetDelta = -1;
  private count = 0;

  constructor(options: BatchOptions = {}, capacityBytes = DEFAULT_CAPACITY_BYTES) {
    this.options = options;
    this.buffer = new RecordBuffer(capacityBytes, RECORD_BATCH_OVERHEAD_BYTES);
    this.baseTimestampMs = options.deleteHorizonMs ?? -1;
  }

  get recordCount(): number {
    return this.count;
  }

  /** The size that `build` would give without compression. */
  get sizeBytes(): number {
    return this.buffer.position;
  }

  /** Whether the record surely fits into a batch of that size (before compression). */
  hasRoomFor(record: RecordInput, maxSizeBytes: number): boolean {
    return this.buffer.position + recordSizeUpperBound(record) <= maxSizeBytes;
  }

  /**
   * Appends a record and returns the size so far, before compression. `offsetDelta` may
   * leave gaps, as compaction does; it must grow. Throws INVALID_TIMESTAMP,
   * INVALID_RECORD or RECORD_LIST_TOO_LARGE and then changes nothing.
   */
  append(record: RecordInput, offsetDelta = this.lastOffsetDelta + 1): number {
    const { timestampMs } = record;
    if (!Number.isSafeInteger(timestampMs) || timestampMs < -1) throw wrongTimestamp(timestampMs);
    if (offsetDelta <= this.lastOffsetDelta || offsetDelta !== (offsetDelta | 0)) {
      throw new OttlaError(
        "INVALID_RECORD",
        `offset delta ${offsetDelta} must be an int32 above the one before, ${this.lastOffsetDelta}`,
      );
    }
    const isFirst = this.count === 0;
    const baseTimestampMs =
      isFirst && this.options.deleteHorizonMs === undefined ? timestampMs : this.baseTimestampMs;
    const timestampDelta = timestampMs - baseTimestampMs;
    const bodySize = recordBodySize(record, timestampDelta, offsetDelta);
    if (bodySize > MAX_BATCH_BYTES - this.buffer.position - LENGTH_MAX_BYTES) throw tooLarge(bodySize);
    this.buffer.reserve(bodySize + LENGTH_MAX_BYTES);
    writeRecord(this.buffer, record, bodySize, timestampDelta, offsetDelta);
    this.baseTimestampMs = baseTimestampMs;
    if (isFirst || timestampMs > this.maxTimestampMs) this.maxTimestampMs = timestampMs;
    this.lastOffsetDelta = offsetDelta;
    this.count++;
    return this.buffer.position;
  }

  /**
   * The encoded batch, compressed. Producer fields given here win over the constructor's:
   * a producer often learns them only when it sends.
   */
  build(producer: ProducerFields = {}): Uint8Array {
    if (this.count === 0) throw new OttlaError("INVALID_RECORD", "a batch needs at least one record");
    const options = { ...this.options, ...producer };
    checkProducer(options);
    const compression = options.compression ?? "none";
    let batch: Uint8Array;
    if (compression === "none") {
      batch = this.buffer.copy();
    } else {
      const records = this.buffer.bytes.subarray(RECORD_BATCH_OVERHEAD_BYTES, this.buffer.position);
      const compressed = compress(compression, records);
      batch = allocate(RECORD_BATCH_OVERHEAD_BYTES + compressed.length);
      batch.set(compressed, RECORD_BATCH_OVERHEAD_BYTES);
    }
    this.writeHeader(batch, options, compression);
    return batch;
  }

  /** Forgets all records and keeps the memory. */
  reset(): void {
    this.buffer.position = RECORD_BATCH_OVERHEAD_BYTES;
    this.baseTimestampMs = this.options.deleteHorizonMs ?? -1;
    this.maxTimestampMs = -1;
    this.lastOffsetDelta = -1;
    this.count = 0;
  }

  private writeHeader(batch: Uint8Array, options: BatchOptions, compression: Compression): void {
    const isLogAppendTime = options.timestampType === "LogAppendTime";
    let attributes = compressionId(compression);
    if (isLogAppendTime) attributes |= ATTRIBUTE.logAppendTime;
    if (options.isTransactional === true) attributes |= ATTRIBUTE.transactional;
    if (options.isControl === true) attributes |= ATTRIBUTE.control;
    if (options.deleteHorizonMs !== undefined) attributes |= ATTRIBUTE.deleteHorizon;
    const maxTimestampMs = isLogAppendTime
      ? (options.logAppendTimeMs ?? this.maxTimestampMs)
      : this.maxTimestampMs;
    writeInt64(batch, BATCH_FIELD.baseOffset, options.baseOffset ?? 0);
    writeInt32(batch, BATCH_FIELD.batchLength, batch.length - LOG_OVERHEAD_BYTES);
    writeInt32(batch, BATCH_FIELD.partitionLeaderEpoch, options.partitionLeaderEpoch ?? -1);
    batch[BATCH_FIELD.magic] = RECORD_BATCH_MAGIC;
    writeInt16(batch, BATCH_FIELD.attributes, attributes);
    writeInt32(batch, BATCH_FIELD.lastOffsetDelta, this.lastOffsetDelta);
    writeInt64(batch, BATCH_FIELD.baseTimestamp, this.baseTimestampMs);
    writeInt64(batch, BATCH_FIELD.maxTimestamp, maxTimestampMs);
    writeInt64(batch, BATCH_FIELD.producerId, options.producerId ?? -1);
    writeInt16(batch, BATCH_FIELD.producerEpoch, options.producerEpoch ?? -1);
    writeInt32(batch, BATCH_FIELD.baseSequence, options.baseSequence ?? -1);
    writeInt32(batch, BATCH_FIELD.recordCount, this.count);
    writeCrc(batch);
  }
}

/**
 * Encodes records as one batch; offsets are dense from `baseOffset`. Throws as `BatchBuilder.append` does.
 */
export function encodeBatch(records: readonly RecordInput[], options: BatchOptions = {}): Uint8Array {
  const builder = new BatchBuilder(options);
  for (const record of records) builder.append(record);
  return builder.build();
}

function checkProducer(options: BatchOptions): void {
  const { producerId = -1, producerEpoch = -1, baseSequence = -1 } = options;
  const isPlain = producerId === -1 && options.isTransactional !== true;
  const hasSequence = baseSequence >= 0 || options.isControl === true;
  if (isPlain || (producerId >= 0 && producerEpoch >= 0 && hasSequence)) return;
  throw new OttlaError(
    "INVALID_RECORD",
    `producer id ${producerId} with epoch ${producerEpoch} and sequence ${baseSequence}: ` +
      "idempotent and transactional batches need all three",
  );
}

function wrongTimestamp(timestampMs: number): OttlaError {
  return new OttlaError(
    "INVALID_TIMESTAMP",
    `timestamp ${timestampMs} is not a whole number of milliseconds since 1970, nor -1 for none`,
  );
}

function tooLarge(sizeBytes: number): OttlaError {
  return new OttlaError(
    "RECORD_LIST_TOO_LARGE",
    `a record of ${sizeBytes} bytes would make the batch larger than ${MAX_BATCH_BYTES} bytes`,
  );
}
