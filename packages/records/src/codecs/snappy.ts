import { allocate, plainView, readInt32, writeInt32 } from "../int.ts";
import { brokenPayload, payloadTooLarge } from "./codec-error.ts";
import { snappyLibrary } from "./native-codecs.ts";

/**
 * Two framings are in use: the Java client writes the one of xerial's snappy-java (a header, then blocks
 * behind their lengths), librdkafka writes one raw block. All clients read both; we write Java's.
 */
const XERIAL_MAGIC = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00);
const XERIAL_MAGIC_HEAD = 0x8253_4e41 | 0;
const XERIAL_VERSION = 1;
const XERIAL_HEADER_BYTES = 16;
const XERIAL_BLOCK_BYTES = 32 * 1024;
const LENGTH_BYTES = 4;

/** A snappy element makes at most 64 bytes out of 3. A block that claims more is lying about its length. */
const MAX_RATIO = 22;

/** Copying is 10 times faster here than handing the native memory to the garbage collector. */
const COPY_OUTPUT = { copyOutputData: true, asBuffer: true } as const;

export function snappyCompress(bytes: Uint8Array): Uint8Array {
  const { compressSync } = snappyLibrary();
  const blocks: Uint8Array[] = [];
  let sizeBytes = XERIAL_HEADER_BYTES;
  for (let position = 0; position < bytes.length; position += XERIAL_BLOCK_BYTES) {
    const block = compressSync(bytes.subarray(position, position + XERIAL_BLOCK_BYTES), COPY_OUTPUT);
    blocks.push(block);
    sizeBytes += LENGTH_BYTES + block.length;
  }
  const output = allocate(sizeBytes);
  output.set(XERIAL_MAGIC);
  writeInt32(output, XERIAL_MAGIC.length, XERIAL_VERSION);
  writeInt32(output, XERIAL_MAGIC.length + 4, XERIAL_VERSION);
  let position = XERIAL_HEADER_BYTES;
  for (const block of blocks) {
    writeInt32(output, position, block.length);
    output.set(block, position + LENGTH_BYTES);
    position += LENGTH_BYTES + block.length;
  }
  return output;
}

export function snappyDecompress(bytes: Uint8Array, maxOutputBytes: number): Uint8Array {
  const blocks = isXerial(bytes) ? splitXerial(bytes) : [bytes];
  let sizeBytes = 0;
  for (const block of blocks) {
    sizeBytes += announcedSize(block);
    if (sizeBytes > maxOutputBytes) throw payloadTooLarge("snappy", maxOutputBytes);
  }
  const [first] = blocks;
  if (first !== undefined && blocks.length === 1) return uncompressBlock(first);
  const output = allocate(sizeBytes);
  let position = 0;
  for (const block of blocks) {
    const part = uncompressBlock(block);
    output.set(part, position);
    position += part.length;
  }
  return output;
}

function isXerial(bytes: Uint8Array): boolean {
  return bytes.length >= XERIAL_HEADER_BYTES && XERIAL_MAGIC.every((byte, index) => bytes[index] === byte);
}

function splitXerial(bytes: Uint8Array): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  let position = XERIAL_HEADER_BYTES;
  while (position < bytes.length) {
    const leftBytes = bytes.length - position - LENGTH_BYTES;
    if (leftBytes < 0) throw brokenPayload("snappy", "a block's length is cut short");
    const length = readInt32(bytes, position);
    // Streams may have been concatenated: then the next header stands where a length would.
    if (length === XERIAL_MAGIC_HEAD && isXerial(bytes.subarray(position))) {
      position += XERIAL_HEADER_BYTES;
      continue;
    }
    if (length < 1 || length > leftBytes) {
      throw brokenPayload("snappy", `a block of ${length} bytes with ${leftBytes} left`);
    }
    position += LENGTH_BYTES;
    blocks.push(bytes.subarray(position, position + length));
    position += length;
  }
  return blocks;
}

/**
 * A block begins with the size of its output as a varint; it must be one that a block of
 * that length can have.
 */
function announcedSize(block: Uint8Array): number {
  let size = 0;
  for (let index = 0; index < 5; index++) {
    const byte = block[index];
    if (byte === undefined) break;
    size += (byte & 0x7f) * 2 ** (index * 7);
    if (byte >= 0x80) continue;
    if (size > block.length * MAX_RATIO) break;
    return size;
  }
  throw brokenPayload("snappy", `a block of ${block.length} bytes announces no possible size`);
}

function uncompressBlock(block: Uint8Array): Uint8Array {
  try {
    return plainView(snappyLibrary().uncompressSync(block, COPY_OUTPUT) as Buffer);
  } catch (error) {
    throw brokenPayload("snappy", error instanceof Error ? error.message : String(error), error);
  }
}
