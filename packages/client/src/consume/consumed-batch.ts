import {
  type DecodedRecord,
  decodeRecords,
  type RecordHeader,
  readBatchHeader,
  validateBatch,
} from "@ottla/records";

/**
 * A record as read. Key, value and header values are views of a larger buffer: copy what is kept for long.
 */
export class ConsumedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
  readonly #offset: number;

  constructor(topic: string, partition: number, record: DecodedRecord) {
    this.topic = topic;
    this.partition = partition;
    this.timestampMs = record.timestampMs;
    this.key = record.key;
    this.value = record.value;
    this.headers = record.headers;
    this.#offset = record.offset;
  }

  get offset(): bigint {
    return BigInt(this.#offset);
  }
}

export interface ConsumedBatchOptions {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Uint8Array;
  /** Records below this offset are skipped. */
  readonly fromOffset: number;
  readonly nextOffset: bigint;
  readonly highWatermark: bigint;
  readonly checkCrcs: boolean;
}

/**
 * The records of one answer of the server: one or more record batches of one partition.
 * Nothing is decoded before it is iterated, and each iteration decodes anew. Iterating
 * throws CORRUPT_MESSAGE where a batch is damaged.
 */
export class ConsumedBatch implements Iterable<ConsumedRecord> {
  readonly topic: string;
  readonly partition: number;
  /** The offset after this batch. */
  readonly nextOffset: bigint;
  /** The partition's high watermark when the batch was read: how far behind the reader is. */
  readonly highWatermark: bigint;
  readonly #options: ConsumedBatchOptions;

  constructor(options: ConsumedBatchOptions) {
    this.topic = options.topic;
    this.partition = options.partition;
    this.nextOffset = options.nextOffset;
    this.highWatermark = options.highWatermark;
    this.#options = options;
  }

  get sizeBytes(): number {
    return this.#options.bytes.length;
  }

  /** The same batch from an offset on. */
  from(offset: bigint): ConsumedBatch {
    return new ConsumedBatch({ ...this.#options, fromOffset: Number(offset) });
  }

  *[Symbol.iterator](): Generator<ConsumedRecord, void, undefined> {
    const { topic, partition } = this;
    const { bytes, fromOffset, checkCrcs } = this.#options;
    for (let position = 0; position < bytes.length; ) {
      const header = checkCrcs ? validateBatch(bytes, position) : readBatchHeader(bytes, position);
      const end = position + header.sizeBytes;
      if (!header.isControl && header.lastOffset >= fromOffset) {
        for (const record of decodeRecords(bytes.subarray(position, end))) {
          if (record.offset >= fromOffset) yield new ConsumedRecord(topic, partition, record);
        }
      }
      position = end;
    }
  }
}
