import { OttlaError } from "@ottla/errors";

/** A message that does not fit its frame or its schema. Kafka's answer to one is to close the connection. */
export function malformed(detail: string): OttlaError {
  return new OttlaError("INVALID_REQUEST", `malformed Kafka message: ${detail}`);
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * Reads one frame. Every length is checked against what is left of it before anything is read or allocated;
 * bytes and records are views.
 */
export class FrameReader {
  readonly #buffer: Buffer;
  #position: number;
  readonly #end: number;
  #elementsLeft: number;

  /** `maxElements` bounds the elements of all arrays together: each takes many times its bytes in memory. */
  constructor(
    frame: Uint8Array,
    position = 0,
    end = frame.byteLength,
    maxElements = Number.MAX_SAFE_INTEGER,
  ) {
    this.#buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    this.#position = position;
    this.#end = end;
    this.#elementsLeft = maxElements;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Moves over `length` bytes and returns where they began. */
  take(length: number): number {
    const start = this.#position;
    if (length < 0 || length > this.#end - start) {
      throw malformed(`needs ${length} bytes at ${start}, but only ${this.#end - start} are left`);
    }
    this.#position = start + length;
    return start;
  }

  bool(): boolean {
    return this.#buffer.readInt8(this.take(1)) !== 0;
  }

  int8(): number {
    return this.#buffer.readInt8(this.take(1));
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.take(2));
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.take(4));
  }

  int64(): number {
    const start = this.take(8);
    return this.#buffer.readInt32BE(start) * 0x1_0000_0000 + this.#buffer.readUInt32BE(start + 4);
  }

  uuid(): string {
    const start = this.take(16);
    let text = "";
    for (let index = 0; index < 16; index++) {
      text += HEX[this.#buffer.readUInt8(start + index)];
      if (index === 3 || index === 5 || index === 7 || index === 9) text += "-";
    }
    return text;
  }

  /** An unsigned varint of at most five bytes. */
  unsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#buffer.readUInt8(this.take(1));
      value += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) {
        if (value > 0xffff_ffff) throw malformed("a varint is larger than 32 bits");
        return value;
      }
    }
    throw malformed("a varint is longer than five bytes");
  }

  /** Length of a string, or -1 for null. */
  stringLength(flexible: boolean): number {
    return flexible ? this.unsignedVarint() - 1 : this.int16();
  }

  /** Length of bytes or records, or -1 for null. */
  bytesLength(flexible: boolean): number {
    return flexible ? this.unsignedVarint() - 1 : this.int32();
  }

  /** Length of an array, or -1 for null; refused when the frame cannot hold that many elements. */
  arrayLength(flexible: boolean, elementBytesMin: number): number {
    const length = flexible ? this.unsignedVarint() - 1 : this.int32();
    if (length * elementBytesMin > this.remaining) {
      throw malformed(`an array of ${length} elements does not fit in the ${this.remaining} bytes left`);
    }
    if (length > 0) this.#elementsLeft -= length;
    if (this.#elementsLeft < 0) throw malformed("too many elements in its arrays");
    return length;
  }

  text(length: number): string {
    const start = this.take(length);
    return this.#buffer.toString("utf8", start, start + length);
  }

  view(length: number): Uint8Array {
    const start = this.take(length);
    return this.#buffer.subarray(start, start + length);
  }
}
