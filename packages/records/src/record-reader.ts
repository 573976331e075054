import { OttlaError } from "@ottla/errors";
import type { BatchHeader } from "./batch-header.ts";
import type { DecodedRecord, RecordHeader } from "./record.ts";

const NO_HEADERS: readonly RecordHeader[] = Object.freeze([]);
/** Length, attributes, timestamp delta, offset delta, key length, value length, header count: a byte each. */
const RECORD_MIN_BYTES = 7;
const HEADER_MIN_BYTES = 2;
const TWO_TO_27 = 2 ** 27;
const TWO_TO_55 = 2 ** 55;

const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads the (decompressed) records of one batch. Every length is checked against the bytes that are left. */
export class RecordReader implements IterableIterator<DecodedRecord> {
  private readonly bytes: Uint8Array;
  private readonly header: BatchHeader;
  private position = 0;
  private recordEnd = 0;
  private recordIndex = 0;
  private previousOffsetDelta = -1;

  constructor(records: Uint8Array, header: BatchHeader) {
    if (header.recordCount * RECORD_MIN_BYTES > records.length) {
      throw malformed(header, `${header.recordCount} records do not fit into ${records.length} bytes`);
    }
    this.bytes = records;
    this.header = header;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<DecodedRecord, undefined> {
    if (this.recordIndex < this.header.recordCount) return { done: false, value: this.readRecord() };
    if (this.position !== this.bytes.length) {
      throw this.malformed(`${this.bytes.length - this.position} bytes follow the last record`);
    }
    return { done: true, value: undefined };
  }

  /** A walk that is left early ends here; asking on finds nothing more. */
  return(): IteratorResult<DecodedRecord, undefined> {
    this.recordIndex = this.header.recordCount;
    this.position = this.bytes.length;
    return { done: true, value: undefined };
  }

  private readRecord(): DecodedRecord {
    const { header } = this;
    this.recordEnd = this.bytes.length;
    const size = this.readVarint();
    if (size < RECORD_MIN_BYTES - 1 || size > this.bytes.length - this.position) {
      throw this.malformed(`size ${size} with ${this.bytes.length - this.position} bytes left`);
    }
    this.recordEnd = this.position + size;
    // The attributes of a record are unused; Kafka ignores them too.
    this.position++;
    const timestampDelta = this.readVarlong();
    const offsetDelta = this.readVarint();
    if (offsetDelta <= this.previousOffsetDelta || offsetDelta > header.lastOffsetDelta) {
      throw this.malformed(
        `offset delta ${offsetDelta} is not between ${this.previousOffsetDelta + 1} and ${header.lastOffsetDelta}`,
      );
    }
    this.previousOffsetDelta = offsetDelta;
    const timestampMs =
      header.timestampType === "LogAppendTime" ? header.maxTimestamp : header.baseTimestamp + timestampDelta;
    if (!Number.isSafeInteger(timestampMs))
      throw this.malformed(`timestamp ${timestampMs} is beyond 2^53 - 1`);
    const key = this.readNullable();
    const value = this.readNullable();
    const headers = this.readHeaders();
    if (this.position !== this.recordEnd) {
      throw this.malformed(`${this.recordEnd - this.position} bytes follow its headers`);
    }
    this.recordIndex++;
    return { offset: header.baseOffset + offsetDelta, timestampMs, key, value, headers };
  }

  private readHeaders(): readonly RecordHeader[] {
    const count = this.readVarint();
    if (count === 0) return NO_HEADERS;
    if (count < 0 || count * HEADER_MIN_BYTES > this.recordEnd - this.position) {
      throw this.malformed(`${count} headers with ${this.recordEnd - this.position} bytes left`);
    }
    const headers: RecordHeader[] = [];
    for (let index = 0; index < count; index++) {
      const key = this.readNullable();
      if (key === null) throw this.malformed(`header ${index} has no key`);
      headers.push({ key: textDecoder.decode(key), value: this.readNullable() });
    }
    return headers;
  }

  /** A length and that many bytes; any negative length means null. */
  private readNullable(): Uint8Array | null {
    const length = this.readVarint();
    if (length < 0) return null;
    const start = this.position;
    const end = start + length;
    if (end > this.recordEnd) {
      throw this.malformed(`a length of ${length} with ${this.recordEnd - start} bytes left`);
    }
    this.position = end;
    return this.bytes.subarray(start, end);
  }

  private readVarint(): number {
    const { bytes } = this;
    let position = this.position;
    let zigzag = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (position >= this.recordEnd) throw this.malformed("a number is cut short");
      const byte = bytes[position++] as number;
      zigzag |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.position = position;
        return (zigzag >>> 1) ^ -(zigzag & 1);
      }
    }
    throw this.malformed("a 32-bit number takes more than 5 bytes");
  }

  /** Up to ten bytes, in parts of 28, 28 and 8 bits; not a safe integer when the value is none. */
  private readVarlong(): number {
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let group = 0; group < 10; group++) {
      if (this.position >= this.recordEnd) throw this.malformed("a number is cut short");
      const byte = this.bytes[this.position++] as number;
      const bits = byte & 0x7f;
      if (group < 4) low |= bits << (group * 7);
      else if (group < 8) middle |= bits << ((group - 4) * 7);
      else high |= bits << ((group - 8) * 7);
      if (byte < 0x80) {
        const magnitude = (low >>> 1) + middle * TWO_TO_27 + (high & 0xff) * TWO_TO_55;
        return (low & 1) === 0 ? magnitude : -magnitude - 1;
      }
    }
    throw this.malformed("a 64-bit number takes more than 10 bytes");
  }

  private malformed(message: string): OttlaError {
    return malformed(this.header, `record ${this.recordIndex}: ${message}`);
  }
}

function malformed(header: BatchHeader, message: string): OttlaError {
  return new OttlaError("INVALID_RECORD", `batch at offset ${header.baseOffset}: ${message}`);
}
