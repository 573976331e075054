import { allocate, plainView } from "../int.ts";
import { brokenPayload, payloadTooLarge } from "./codec-error.ts";
import { type Lz4Frame, measureFrame, readFrame } from "./lz4-frame.ts";
import { lz4Library } from "./native-codecs.ts";

const BLOCK_BYTES = 64 * 1024;
const LENGTH_BYTES = 4;
const STORED_BLOCK = 0x80;
const MAX_PLAIN_BLOCKS = 16;
const MIN_BLOCK_BYTES = 200;

/**
 * Magic; version 1 with independent blocks and no checksums; blocks up to 64 KiB; the header's
 * checksum. The Java client writes this header, and it cannot read blocks that depend on one another.
 */
const FRAME_HEADER = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82);
const END_MARK_BYTES = 4;

/**
 * The frame is put together here because the library always takes blocks of 4 MiB, which
 * readers must allocate.
 */
export function lz4Compress(bytes: Uint8Array): Uint8Array {
  const { compressSync } = lz4Library();
  const source = bufferOver(bytes);
  const blockCount = Math.ceil(source.length / BLOCK_BYTES);
  // Blocks that do not shrink are stored as they are, so no output is larger than this.
  const output = allocate(FRAME_HEADER.length + source.length + blockCount * LENGTH_BYTES + END_MARK_BYTES);
  output.set(FRAME_HEADER);
  let position = FRAME_HEADER.length;
  for (let start = 0; start < source.length; start += BLOCK_BYTES) {
    const block = source.subarray(start, start + BLOCK_BYTES);
    // The library puts the size of the block in front, which a frame does not have.
    const compressed = compressSync(block).subarray(LENGTH_BYTES);
    const isStored = compressed.length >= block.length;
    const body = isStored ? block : compressed;
    writeUint32LittleEndian(output, position, body.length);
    if (isStored) output[position + 3] = (output[position + 3] as number) | STORED_BLOCK;
    output.set(body, position + LENGTH_BYTES);
    position += LENGTH_BYTES + body.length;
  }
  output.fill(0, position, position + END_MARK_BYTES);
  return output.subarray(0, position + END_MARK_BYTES);
}

/**
 * Reads one frame or several, with linked or independent blocks, with or without checksums and content
 * size. The library has no limit of its own, so each frame is measured before it is decompressed.
 */
export function lz4Decompress(bytes: Uint8Array, maxOutputBytes: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let leftBytes = maxOutputBytes;
  for (let position = 0; position < bytes.length || position === 0; ) {
    const frame = readFrame(bytes, position);
    const sizeLimitBytes = measureFrame(bytes, frame, leftBytes);
    if (sizeLimitBytes > leftBytes) throw payloadTooLarge("lz4", maxOutputBytes);
    if (frame.isLinkedOrChecked || hasTinyBlocks(frame, position)) {
      checkContentSize(frame, (announced) => announced <= sizeLimitBytes);
      const part = decompressFrame(bytes.subarray(position, frame.end));
      parts.push(part);
      leftBytes -= part.length;
    } else {
      leftBytes -= decompressBlocks(bytes, frame, parts);
    }
    position = frame.end;
  }
  return concatenate(parts);
}

/**
 * A call into the library for each block only pays while there are not very many: no
 * client sends such a frame.
 */
function hasTinyBlocks(frame: Lz4Frame, position: number): boolean {
  return (
    frame.blocks.length > MAX_PLAIN_BLOCKS && frame.end - position < frame.blocks.length * MIN_BLOCK_BYTES
  );
}

function decompressFrame(frame: Uint8Array): Uint8Array {
  try {
    return plainView(lz4Library().decompressFrameSync(bufferOver(frame)));
  } catch (error) {
    throw brokenPayload("lz4", error instanceof Error ? error.message : String(error), error);
  }
}

/** What Kafka's clients send. Block by block is 2 times faster than the library's own reading of frames. */
function decompressBlocks(bytes: Uint8Array, frame: Lz4Frame, parts: Uint8Array[]): number {
  const largest = frame.blocks.reduce((size, block) => Math.max(size, block.end - block.start), 0);
  const scratch = allocate(LENGTH_BYTES + largest);
  let sizeBytes = 0;
  for (const block of frame.blocks) {
    const body = bytes.subarray(block.start, block.end);
    let part = body;
    if (!block.isStored) {
      // The library wants a size in front; the output may turn out smaller, but never larger.
      writeUint32LittleEndian(scratch, 0, block.sizeLimitBytes);
      scratch.set(body, LENGTH_BYTES);
      part = decompressBlock(scratch.subarray(0, LENGTH_BYTES + body.length));
    }
    parts.push(part);
    sizeBytes += part.length;
  }
  checkContentSize(frame, (announced) => announced === sizeBytes);
  return sizeBytes;
}

function decompressBlock(sizedBlock: Uint8Array): Uint8Array {
  try {
    return plainView(lz4Library().uncompressSync(sizedBlock));
  } catch (error) {
    throw brokenPayload("lz4", error instanceof Error ? error.message : String(error), error);
  }
}

function checkContentSize({ contentSize }: Lz4Frame, isPlausible: (announced: number) => boolean): void {
  if (contentSize === undefined || isPlausible(contentSize)) return;
  throw brokenPayload("lz4", `a frame announces ${contentSize} bytes and does not hold them`);
}

/** A single part is copied as well: the library's memory behind it may be many times as large. */
function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const output = allocate(parts.reduce((size, part) => size + part.length, 0));
  let position = 0;
  for (const part of parts) {
    output.set(part, position);
    position += part.length;
  }
  return output;
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function writeUint32LittleEndian(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value;
  bytes[position + 1] = value >>> 8;
  bytes[position + 2] = value >>> 16;
  bytes[position + 3] = value >>> 24;
}
