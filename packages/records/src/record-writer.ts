import type { RecordHeader, RecordInput } from "./record.ts";
import { type RecordBuffer, varintSize, varlongSize } from "./record-buffer.ts";

const textEncoder = new TextEncoder();

/** Length, attributes, timestamp delta, offset delta and header count at their longest. */
const RECORD_OVERHEAD_MAX_BYTES = 5 + 1 + 8 + 5 + 5;
const LENGTH_MAX_BYTES = 5;

/** How large a record can get inside a batch, before compression: for a look before it is appended. */
export function recordSizeUpperBound(record: RecordInput): number {
  let size = RECORD_OVERHEAD_MAX_BYTES + 2 * LENGTH_MAX_BYTES;
  if (record.key !== null) size += record.key.length;
  if (record.value !== null) size += record.value.length;
  if (record.headers !== undefined) {
    for (const header of record.headers) {
      size += 2 * LENGTH_MAX_BYTES + Buffer.byteLength(header.key) + (header.value?.length ?? 0);
    }
  }
  return size;
}

/** The size of a record without the varint of its own length. */
export function recordBodySize(record: RecordInput, timestampDelta: number, offsetDelta: number): number {
  let size = 1 + varlongSize(timestampDelta) + varintSize(offsetDelta);
  size += sizeOfNullable(record.key) + sizeOfNullable(record.value);
  const headers = record.headers;
  return headers === undefined || headers.length === 0 ? size + 1 : size + sizeOfHeaders(headers);
}

/** Writes a record; the buffer has room for its body and five bytes more. */
export function writeRecord(
  buffer: RecordBuffer,
  record: RecordInput,
  bodySize: number,
  timestampDelta: number,
  offsetDelta: number,
): void {
  buffer.writeVarint(bodySize);
  buffer.writeByte(0);
  buffer.writeVarlong(timestampDelta);
  buffer.writeVarint(offsetDelta);
  writeNullable(buffer, record.key);
  writeNullable(buffer, record.value);
  const headers = record.headers;
  if (headers === undefined || headers.length === 0) {
    buffer.writeByte(0);
    return;
  }
  buffer.writeVarint(headers.length);
  for (const header of headers) {
    writeText(buffer, header.key);
    writeNullable(buffer, header.value);
  }
}

function sizeOfNullable(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintSize(bytes.length) + bytes.length;
}

function sizeOfHeaders(headers: readonly RecordHeader[]): number {
  let size = varintSize(headers.length);
  for (const header of headers) {
    const keySize = Buffer.byteLength(header.key);
    size += varintSize(keySize) + keySize + sizeOfNullable(header.value);
  }
  return size;
}

function writeNullable(buffer: RecordBuffer, bytes: Uint8Array | null): void {
  if (bytes === null) {
    buffer.writeVarint(-1);
    return;
  }
  buffer.writeVarint(bytes.length);
  buffer.writeBytes(bytes);
}

function writeText(buffer: RecordBuffer, text: string): void {
  const size = Buffer.byteLength(text);
  buffer.writeVarint(size);
  if (size === text.length) {
    for (let index = 0; index < size; index++) buffer.writeByte(text.charCodeAt(index));
    return;
  }
  textEncoder.encodeInto(text, buffer.bytes.subarray(buffer.position));
  buffer.position += size;
}
