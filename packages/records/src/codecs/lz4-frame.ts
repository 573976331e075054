import { brokenPayload } from "./codec-error.ts";

/**
 * The layout of an LZ4 frame (lz4_Frame_format.md 1.6), walked to learn its sizes before it is decompressed.
 */

const MAGIC = 0x184d_2204;
const FLAG = {
  versionMask: 0xc0,
  version1: 0x40,
  independentBlocks: 0x20,
  blockChecksum: 0x10,
  contentSize: 0x08,
  contentChecksum: 0x04,
  dictionaryId: 0x01,
} as const;
const STORED_BLOCK = 0x8000_0000;
const MIN_MATCH_BYTES = 4;
const MIN_HEADER_BYTES = 7;
const CONTENT_SIZE_BYTES = 8;
const CHECKSUM_BYTES = 4;
/** One more byte of a length stands for 255 more bytes of output: no block grows by more. */
const MAX_RATIO = 255;
/** A first sequence of a token and an offset already makes 19 bytes. */
const RATIO_SLACK_BYTES = 32;

interface FrameBlock {
  readonly start: number;
  readonly end: number;
  /** Whether the block could not be compressed and stands there as it is. */
  readonly isStored: boolean;
  /** No fewer bytes than the block decompresses to. */
  readonly sizeLimitBytes: number;
}

export interface Lz4Frame {
  /** The position after the frame. */
  readonly end: number;
  readonly blocks: readonly FrameBlock[];
  /** Whether blocks may refer to those before them, or checksums are to be verified. */
  readonly isLinkedOrChecked: boolean;
  readonly contentSize: number | undefined;
}

/**
 * Walks the frame at `position`. Throws INVALID_RECORD when it is cut short or is no frame that Kafka uses.
 */
export function readFrame(bytes: Uint8Array, position: number): Lz4Frame {
  if (bytes.length - position < MIN_HEADER_BYTES) throw brokenPayload("lz4", "a frame's header is cut short");
  if (readUint32(bytes, position) !== MAGIC) throw brokenPayload("lz4", "no frame begins where one should");
  const flags = bytes[position + 4] as number;
  const maxBlockCode = ((bytes[position + 5] as number) >> 4) & 0x07;
  if ((flags & FLAG.versionMask) !== FLAG.version1 || (flags & FLAG.dictionaryId) !== 0 || maxBlockCode < 4) {
    throw brokenPayload("lz4", `a frame's flags 0x${flags.toString(16)} or block size are not served`);
  }
  const hasContentSize = (flags & FLAG.contentSize) !== 0;
  const blocksStart = position + MIN_HEADER_BYTES + (hasContentSize ? CONTENT_SIZE_BYTES : 0);
  if (blocksStart > bytes.length) throw brokenPayload("lz4", "a frame's header is cut short");
  const checksumBytes = (flags & FLAG.blockChecksum) === 0 ? 0 : CHECKSUM_BYTES;
  const blocks = readBlocks(bytes, blocksStart, 1 << (8 + 2 * maxBlockCode), checksumBytes);
  const endMarkPosition = (blocks.at(-1)?.end ?? blocksStart - checksumBytes) + checksumBytes;
  const end = endMarkPosition + 4 + ((flags & FLAG.contentChecksum) === 0 ? 0 : CHECKSUM_BYTES);
  if (end > bytes.length) throw brokenPayload("lz4", "a frame's checksum is cut short");
  return {
    end,
    blocks,
    isLinkedOrChecked:
      (flags & FLAG.independentBlocks) === 0 || (flags & (FLAG.blockChecksum | FLAG.contentChecksum)) !== 0,
    contentSize: hasContentSize
      ? readUint32(bytes, position + 6) + readUint32(bytes, position + 10) * 2 ** 32
      : undefined,
  };
}

/** No fewer bytes than the frame decompresses to; exact where the plain estimate is above the limit given. */
export function measureFrame(bytes: Uint8Array, frame: Lz4Frame, maxOutputBytes: number): number {
  let sizeLimitBytes = 0;
  for (const block of frame.blocks) sizeLimitBytes += block.sizeLimitBytes;
  if (sizeLimitBytes > maxOutputBytes) {
    sizeLimitBytes = 0;
    for (const block of frame.blocks) sizeLimitBytes += measureBlock(bytes, block);
  }
  return sizeLimitBytes;
}

function readBlocks(
  bytes: Uint8Array,
  blocksStart: number,
  maxBlockBytes: number,
  checksumBytes: number,
): FrameBlock[] {
  const blocks: FrameBlock[] = [];
  for (let position = blocksStart; ; ) {
    if (bytes.length - position < 4) throw brokenPayload("lz4", "a frame has no end mark");
    const word = readUint32(bytes, position);
    if (word === 0) return blocks;
    const length = word % STORED_BLOCK;
    const start = position + 4;
    const end = start + length;
    if (length > maxBlockBytes || end + checksumBytes > bytes.length) {
      throw brokenPayload("lz4", `a block of ${length} bytes with ${bytes.length - start} left`);
    }
    const isStored = word >= STORED_BLOCK;
    const sizeLimitBytes = isStored
      ? length
      : Math.min(maxBlockBytes, length * MAX_RATIO + RATIO_SLACK_BYTES);
    blocks.push({ start, end, isStored, sizeLimitBytes });
    position = end + checksumBytes;
  }
}

/** The exact size of a block's output: the lengths of its literals and matches, without copying any. */
function measureBlock(bytes: Uint8Array, { start, end, isStored, sizeLimitBytes }: FrameBlock): number {
  if (isStored) return sizeLimitBytes;
  let size = 0;
  let position = start;
  while (position < end) {
    const token = bytes[position++] as number;
    let literalBytes = token >> 4;
    if (literalBytes === 15) {
      for (let byte = 255; byte === 255 && position < end; literalBytes += byte) {
        byte = bytes[position++] as number;
      }
    }
    size += literalBytes;
    position += literalBytes;
    // The last sequence is literals only.
    if (position >= end) break;
    position += 2;
    let matchBytes = (token & 0x0f) + MIN_MATCH_BYTES;
    if ((token & 0x0f) === 15) {
      for (let byte = 255; byte === 255 && position < end; matchBytes += byte) {
        byte = bytes[position++] as number;
      }
    }
    size += matchBytes;
  }
  // The decoder refuses a block that outgrows the frame's block size.
  return Math.min(size, sizeLimitBytes);
}

function readUint32(bytes: Uint8Array, position: number): number {
  return (
    ((bytes[position] as number) |
      ((bytes[position + 1] as number) << 8) |
      ((bytes[position + 2] as number) << 16) |
      ((bytes[position + 3] as number) << 24)) >>>
    0
  );
}
