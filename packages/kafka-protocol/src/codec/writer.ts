import type { RecordsGiven } from "./field.ts";

const INITIAL_BYTES = 512;
/** Record pieces of at least this size are sent as they are; smaller ones are cheaper to copy. */
const VIEW_BYTES_MIN = 1024;

/**
 * Collects a frame as a list of pieces: what is encoded here, and the record batches
 * beside it, which are never copied when they are large.
 */
export class FrameWriter {
  /** From Node's pool: most messages fit, and memory of its own costs more than all else about them. */
  #buffer: Buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  /** Where the piece under construction begins in the buffer. */
  #start = 0;
  #position = 0;
  readonly #pieces: Uint8Array[] = [];
  #sizeBytes = 0;

  /** How many bytes have been written in all. */
  get sizeBytes(): number {
    return this.#sizeBytes + (this.#position - this.#start);
  }

  /** All pieces in order. The writer must not be used afterwards. */
  finish(): Uint8Array[] {
    this.#cut();
    return this.#pieces;
  }

  #cut(): void {
    if (this.#position === this.#start) return;
    this.#pieces.push(this.#buffer.subarray(this.#start, this.#position));
    this.#sizeBytes += this.#position - this.#start;
    this.#start = this.#position;
  }

  #reserve(length: number): number {
    const position = this.#position;
    if (position + length > this.#buffer.length) this.#grow(length);
    const start = this.#position;
    this.#position = start + length;
    return start;
  }

  #grow(length: number): void {
    // What is under construction moves to a larger buffer; pieces that were cut keep the old one.
    const used = this.#position - this.#start;
    const larger = Buffer.allocUnsafeSlow(Math.max((used + length) * 2, INITIAL_BYTES));
    this.#buffer.copy(larger, 0, this.#start, this.#position);
    this.#buffer = larger;
    this.#start = 0;
    this.#position = used;
  }

  bool(value: boolean): void {
    const at = this.#reserve(1);
    this.#buffer.writeInt8(value ? 1 : 0, at);
  }

  int8(value: number): void {
    const at = this.#reserve(1);
    this.#buffer.writeInt8(value, at);
  }

  int16(value: number): void {
    const at = this.#reserve(2);
    this.#buffer.writeInt16BE(value, at);
  }

  int32(value: number): void {
    const at = this.#reserve(4);
    this.#buffer.writeInt32BE(value, at);
  }

  int64(value: number): void {
    const at = this.#reserve(8);
    if (value >= 2 ** 63) {
      // The nearest number to Java's Long.MAX_VALUE is 2^63, which is one too many.
      this.#buffer.writeInt32BE(0x7fff_ffff, at);
      this.#buffer.writeUInt32BE(0xffff_ffff, at + 4);
      return;
    }
    const high = Math.floor(value / 0x1_0000_0000);
    this.#buffer.writeInt32BE(high, at);
    this.#buffer.writeUInt32BE(value - high * 0x1_0000_0000, at + 4);
  }

  uuid(value: string): void {
    const at = this.#reserve(16);
    const written = this.#buffer.write(value.replaceAll("-", ""), at, 16, "hex");
    if (written !== 16) throw new TypeError(`not a UUID: ${value}`);
  }

  unsignedVarint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      const at = this.#reserve(1);
      this.#buffer.writeUInt8((rest % 0x80) | 0x80, at);
      rest = Math.floor(rest / 0x80);
    }
    const at = this.#reserve(1);
    this.#buffer.writeUInt8(rest, at);
  }

  string(value: string | null, flexible: boolean): void {
    if (value === null) {
      if (flexible) this.unsignedVarint(0);
      else this.int16(-1);
      return;
    }
    const length = Buffer.byteLength(value);
    if (flexible) this.unsignedVarint(length + 1);
    else {
      if (length > 0x7fff) throw new RangeError(`a string of ${length} bytes does not fit in 32,767`);
      this.int16(length);
    }
    const at = this.#reserve(length);
    this.#buffer.write(value, at, length, "utf8");
  }

  bytes(value: Uint8Array | null, flexible: boolean): void {
    this.#bytesLength(value === null ? -1 : value.byteLength, flexible);
    if (value !== null) this.raw(value);
  }

  records(value: RecordsGiven | null, flexible: boolean): void {
    if (value === null || value instanceof Uint8Array) {
      this.bytes(value, flexible);
      return;
    }
    let length = 0;
    for (const piece of value) length += piece.byteLength;
    this.#bytesLength(length, flexible);
    for (const piece of value) this.raw(piece);
  }

  #bytesLength(length: number, flexible: boolean): void {
    if (flexible) this.unsignedVarint(length + 1);
    else this.int32(length);
  }

  arrayLength(length: number, flexible: boolean): void {
    if (flexible) this.unsignedVarint(length + 1);
    else this.int32(length);
  }

  /** Bytes as they are: a view when they are many. */
  raw(value: Uint8Array): void {
    if (value.byteLength >= VIEW_BYTES_MIN) {
      this.#cut();
      this.#pieces.push(value);
      this.#sizeBytes += value.byteLength;
      return;
    }
    const at = this.#reserve(value.byteLength);
    this.#buffer.set(value, at);
  }
}
