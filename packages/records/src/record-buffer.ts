import { allocate } from "./int.ts";

const TWO_TO_27 = 2 ** 27;
/** Below this size a loop is faster than the call into the engine's memory copy. */
const SHORT_COPY_BYTES = 24;

/** How many bytes the zigzag varint of a 32-bit integer takes: 1 to 5. */
export function varintSize(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  if (zigzag < 0x80) return 1;
  if (zigzag < 0x4000) return 2;
  if (zigzag < 0x20_0000) return 3;
  return zigzag < 0x1000_0000 ? 4 : 5;
}

/** How many bytes the zigzag varint of a safe integer takes: 1 to 8. */
export function varlongSize(value: number): number {
  if (value === (value | 0)) return varintSize(value);
  let rest = Math.floor((value < 0 ? -(value + 1) : value) / TWO_TO_27);
  let size = 4;
  while (rest > 0) {
    rest = Math.floor(rest / 128);
    size++;
  }
  return size;
}

/** A growing byte array with the writers that the records of a batch need. */
export class RecordBuffer {
  bytes: Uint8Array;
  position: number;

  constructor(capacityBytes: number, position: number) {
    this.bytes = allocate(Math.max(capacityBytes, position));
    this.position = position;
  }

  /** Makes room for that many more bytes, so that the writers need not look again. */
  reserve(sizeBytes: number): void {
    const needed = this.position + sizeBytes;
    if (needed <= this.bytes.length) return;
    const grown = allocate(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.position));
    this.bytes = grown;
  }

  writeByte(value: number): void {
    this.bytes[this.position++] = value;
  }

  writeVarint(value: number): void {
    const bytes = this.bytes;
    let position = this.position;
    let zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
    while (zigzag >= 0x80) {
      bytes[position++] = zigzag | 0x80;
      zigzag >>>= 7;
    }
    bytes[position++] = zigzag;
    this.position = position;
  }

  writeVarlong(value: number): void {
    if (value === (value | 0)) {
      this.writeVarint(value);
      return;
    }
    // The zigzag form is 2m or 2m + 1. Its lowest 28 bits are four whole groups; what lies above stays exact.
    const magnitude = value < 0 ? -(value + 1) : value;
    let rest = Math.floor(magnitude / TWO_TO_27);
    let low = (magnitude - rest * TWO_TO_27) * 2 + (value < 0 ? 1 : 0);
    for (let group = 0; group < 3; group++) {
      this.writeByte((low & 0x7f) | 0x80);
      low >>>= 7;
    }
    this.writeByte(rest > 0 ? low | 0x80 : low);
    while (rest > 0) {
      const next = Math.floor(rest / 128);
      this.writeByte(next > 0 ? (rest - next * 128) | 0x80 : rest);
      rest = next;
    }
  }

  writeBytes(source: Uint8Array): void {
    const { bytes, position } = this;
    const length = source.length;
    if (length < SHORT_COPY_BYTES) {
      for (let index = 0; index < length; index++) bytes[position + index] = source[index] as number;
    } else {
      bytes.set(source, position);
    }
    this.position = position + length;
  }

  /** A copy of what has been written, as large as that. */
  copy(): Uint8Array {
    const copy = allocate(this.position);
    copy.set(this.bytes.subarray(0, this.position));
    return copy;
  }
}
