/**
 * Big-endian integers in byte arrays. An int64 is handled as two int32 halves and becomes a `number`, so no
 * bigint is made per record. Callers have checked that the bytes are there.
 */

const TWO_TO_32 = 2 ** 32;

export function readInt16(bytes: Uint8Array, position: number): number {
  return (((bytes[position] as number) << 24) >> 16) | (bytes[position + 1] as number);
}

export function readInt32(bytes: Uint8Array, position: number): number {
  return (
    ((bytes[position] as number) << 24) |
    ((bytes[position + 1] as number) << 16) |
    ((bytes[position + 2] as number) << 8) |
    (bytes[position + 3] as number)
  );
}

export function readUint32(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position) >>> 0;
}

/**
 * Exact inside the safe integers; outside them the result is not a safe integer either, so callers can tell.
 */
export function readInt64(bytes: Uint8Array, position: number): number {
  return readInt32(bytes, position) * TWO_TO_32 + readUint32(bytes, position + 4);
}

export function writeInt16(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >>> 8;
  bytes[position + 1] = value;
}

export function writeInt32(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >>> 24;
  bytes[position + 1] = value >>> 16;
  bytes[position + 2] = value >>> 8;
  bytes[position + 3] = value;
}

export function writeInt64(bytes: Uint8Array, position: number, value: number): void {
  const high = Math.floor(value / TWO_TO_32);
  writeInt32(bytes, position, high);
  writeInt32(bytes, position + 4, value - high * TWO_TO_32);
}

/**
 * A plain `Uint8Array` over the same memory: a `Buffer` would hand its own class on to
 * every view taken of it.
 */
export function plainView(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Memory that is not zeroed first: only for arrays that are filled to their end at once. */
export function allocate(sizeBytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer, 0, sizeBytes);
}
