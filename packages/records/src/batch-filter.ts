import { OttlaError } from "@ottla/errors";
import {
  ATTRIBUTE,
  BATCH_FIELD,
  type BatchHeader,
  LOG_OVERHEAD_BYTES,
  RECORD_BATCH_OVERHEAD_BYTES,
  writeCrc,
} from "./batch-header.ts";
import type { Codecs } from "./codecs/codecs.ts";
import { DEFAULT_MAX_DECOMPRESSED_BYTES, type DecodeOptions, recordsOf } from "./decode-records.ts";
import { allocate, writeInt16, writeInt32, writeInt64 } from "./int.ts";
import { RecordBuffer, varintSize, varlongSize } from "./record-buffer.ts";

/** `unchanged`: the batch stays as it is; `empty`: no record is kept. */
export type FilteredBatch =
  | { readonly kind: "unchanged" }
  | { readonly kind: "empty" }
  | { readonly kind: "changed"; readonly bytes: Uint8Array; readonly maxTimestampMs: number };

const UNCHANGED: FilteredBatch = { kind: "unchanged" };
const EMPTY: FilteredBatch = { kind: "empty" };
const TWO_TO_27 = 2 ** 27;
const TWO_TO_55 = 2 ** 55;

/**
 * Takes records out of a batch, as compaction does: walks over them with `next`, keeps those for which
 * `keep` is called, and gives with `finish` a batch of the same offsets, producer fields and codec. Reads
 * only keys and sizes, and copies what is kept. `next` throws INVALID_RECORD when the records are malformed.
 */
export class BatchFilter {
  /** Of the record that `next` went to. */
  offset = -1;
  /** Where its key is in `bytes`; the start is negative when it has none. */
  keyStart = -1;
  keyEnd = -1;
  /** False for a tombstone. */
  hasValue = false;
  /** Of the records kept so far. */
  keepsTombstones = false;
  private readonly batch: Uint8Array;
  private readonly header: BatchHeader;
  /** The records of the batch, decompressed. */
  readonly bytes: Uint8Array;
  private position = 0;
  private end = 0;
  private recordStart = 0;
  private recordIndex = 0;
  private previousDelta = -1;
  private timestampDelta = 0;
  /** Start and end of stretches of kept records, in turn. */
  private readonly kept: number[] = [];
  private keptCount = 0;
  private maxTimestampMs = Number.NEGATIVE_INFINITY;

  private readonly codecs: Codecs;

  private constructor(batch: Uint8Array, header: BatchHeader, records: Uint8Array, codecs: Codecs) {
    this.batch = batch;
    this.header = header;
    this.bytes = records;
    this.codecs = codecs;
  }

  /** Rejects with INVALID_RECORD where the records cannot be decompressed. */
  static async open(
    batch: Uint8Array,
    header: BatchHeader,
    codecs: Codecs,
    options: DecodeOptions = {},
  ): Promise<BatchFilter> {
    const stored = recordsOf(batch, header);
    const isEmptied = stored.length === 0 && header.recordCount === 0;
    const maxBytes = options.maxDecompressedBytes ?? DEFAULT_MAX_DECOMPRESSED_BYTES;
    const records = isEmptied ? stored : codecs.decompress(header.compression, stored, maxBytes);
    return new BatchFilter(batch, header, records instanceof Uint8Array ? records : await records, codecs);
  }

  /** Goes to the next record; false when there is none left. */
  next(): boolean {
    const { header, bytes: records } = this;
    if (this.recordIndex >= header.recordCount) {
      if (this.position !== records.length) throw this.malformed("bytes follow the last record");
      return false;
    }
    this.recordStart = this.position;
    this.end = records.length;
    const size = this.readVarint();
    if (size < 1 || size > records.length - this.position) throw this.malformed(`it says ${size} bytes`);
    this.end = this.position + size;
    this.position += 1;
    this.timestampDelta = this.readVarlong();
    const delta = this.readVarint();
    if (delta <= this.previousDelta || delta > header.lastOffsetDelta) {
      throw this.malformed(`offset delta ${delta} is out of order`);
    }
    this.previousDelta = delta;
    this.offset = header.baseOffset + delta;
    const keySize = this.readVarint();
    if (keySize > this.end - this.position) throw this.malformed(`its key says ${keySize} bytes`);
    this.keyStart = keySize < 0 ? -1 : this.position;
    this.position += Math.max(keySize, 0);
    this.keyEnd = this.position;
    const valueSize = this.readVarint();
    if (valueSize > this.end - this.position) throw this.malformed(`its value says ${valueSize} bytes`);
    this.hasValue = valueSize >= 0;
    this.position = this.end;
    this.recordIndex += 1;
    return true;
  }

  /** Keeps the record that `next` went to. */
  keep(): void {
    if (this.kept.at(-1) === this.recordStart) this.kept[this.kept.length - 1] = this.end;
    else this.kept.push(this.recordStart, this.end);
    this.keptCount += 1;
    this.keepsTombstones ||= !this.hasValue;
    const timestampMs = this.header.baseTimestamp + this.timestampDelta;
    if (timestampMs > this.maxTimestampMs) this.maxTimestampMs = timestampMs;
  }

  /**
   * The batch of the records kept, after the walk. A batch that keeps tombstones and has no delete horizon
   * gets the one given (KIP-534).
   */
  async finish(deleteHorizonMs: number): Promise<FilteredBatch> {
    const { header, keptCount } = this;
    const setsHorizon = this.keepsTombstones && !header.hasDeleteHorizon;
    if (keptCount === 0) return EMPTY;
    if (keptCount === header.recordCount && !setsHorizon) return UNCHANGED;
    const payload = setsHorizon ? this.shiftedTo(deleteHorizonMs) : this.joined();
    const records = await this.codecs.compress(header.compression, payload);
    const bytes = allocate(RECORD_BATCH_OVERHEAD_BYTES + records.length);
    bytes.set(this.batch.subarray(0, RECORD_BATCH_OVERHEAD_BYTES));
    bytes.set(records, RECORD_BATCH_OVERHEAD_BYTES);
    const maxTimestampMs =
      header.timestampType === "LogAppendTime" ? header.maxTimestamp : this.maxTimestampMs;
    writeInt32(bytes, BATCH_FIELD.batchLength, bytes.length - LOG_OVERHEAD_BYTES);
    if (setsHorizon) {
      writeInt16(bytes, BATCH_FIELD.attributes, header.attributes | ATTRIBUTE.deleteHorizon);
      writeInt64(bytes, BATCH_FIELD.baseTimestamp, deleteHorizonMs);
    }
    writeInt64(bytes, BATCH_FIELD.maxTimestamp, maxTimestampMs);
    writeInt32(bytes, BATCH_FIELD.recordCount, keptCount);
    writeCrc(bytes);
    return { kind: "changed", bytes, maxTimestampMs };
  }

  private joined(): Uint8Array {
    let size = 0;
    for (let at = 0; at < this.kept.length; at += 2) size += this.keptAt(at + 1) - this.keptAt(at);
    const joined = allocate(size);
    let position = 0;
    for (let at = 0; at < this.kept.length; at += 2) {
      const stretch = this.bytes.subarray(this.keptAt(at), this.keptAt(at + 1));
      joined.set(stretch, position);
      position += stretch.length;
    }
    return joined;
  }

  /** The kept records with timestamps that count from another base. */
  private shiftedTo(baseTimestampMs: number): Uint8Array {
    const shift = this.header.baseTimestamp - baseTimestampMs;
    const buffer = new RecordBuffer(this.bytes.length + 1024, 0);
    for (let at = 0; at < this.kept.length; at += 2) {
      this.position = this.keptAt(at);
      while (this.position < this.keptAt(at + 1)) {
        this.end = this.bytes.length;
        this.end = this.readVarint() + this.position;
        const attributes = this.bytes[this.position++] ?? 0;
        const delta = this.readVarlong() + shift;
        const rest = this.bytes.subarray(this.position, this.end);
        const size = 1 + varlongSize(delta) + rest.length;
        buffer.reserve(varintSize(size) + size);
        buffer.writeVarint(size);
        buffer.writeByte(attributes);
        buffer.writeVarlong(delta);
        buffer.writeBytes(rest);
        this.position = this.end;
      }
    }
    return buffer.copy();
  }

  private keptAt(index: number): number {
    return this.kept[index] ?? 0;
  }

  private readVarint(): number {
    let zigzag = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.readByte();
      zigzag |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (zigzag >>> 1) ^ -(zigzag & 1);
    }
    throw this.malformed("a 32-bit number takes more than 5 bytes");
  }

  private readVarlong(): number {
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let group = 0; group < 10; group++) {
      const byte = this.readByte();
      const bits = byte & 0x7f;
      if (group < 4) low |= bits << (group * 7);
      else if (group < 8) middle |= bits << ((group - 4) * 7);
      else high |= bits << ((group - 8) * 7);
      if (byte >= 0x80) continue;
      const magnitude = (low >>> 1) + middle * TWO_TO_27 + (high & 0xff) * TWO_TO_55;
      const value = (low & 1) === 0 ? magnitude : -magnitude - 1;
      if (!Number.isSafeInteger(value)) throw this.malformed("its timestamp is beyond 2^53 - 1");
      return value;
    }
    throw this.malformed("a 64-bit number takes more than 10 bytes");
  }

  private readByte(): number {
    if (this.position >= this.end) throw this.malformed("a number is cut short");
    return this.bytes[this.position++] as number;
  }

  private malformed(message: string): OttlaError {
    const where = `batch at offset ${this.header.baseOffset}, record ${this.recordIndex}`;
    return new OttlaError("INVALID_RECORD", `${where}: ${message}`);
  }
}

/**
 * A batch without records that keeps the place, the offsets and the producer fields of `batch`: what is left
 * when compaction has taken all its records, and a producer's last sequence is still needed.
 */
export function emptiedBatch(batch: Uint8Array, header: BatchHeader): Uint8Array {
  const bytes = allocate(RECORD_BATCH_OVERHEAD_BYTES);
  bytes.set(batch.subarray(0, RECORD_BATCH_OVERHEAD_BYTES));
  writeInt32(bytes, BATCH_FIELD.batchLength, RECORD_BATCH_OVERHEAD_BYTES - LOG_OVERHEAD_BYTES);
  const dropped = ATTRIBUTE.compressionMask | ATTRIBUTE.deleteHorizon;
  writeInt16(bytes, BATCH_FIELD.attributes, header.attributes & ~dropped);
  writeInt64(bytes, BATCH_FIELD.baseTimestamp, header.maxTimestamp);
  writeInt32(bytes, BATCH_FIELD.recordCount, 0);
  writeCrc(bytes);
  return bytes;
}
