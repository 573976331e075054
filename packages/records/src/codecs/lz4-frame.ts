import { brokenPayload } from "./codec-error.ts";

/** The layout of an LZ4 frame (lz4_Frame_format.md 1.6), walked to learn its sizes before it is decompressed. */

const MAGIC = 0x184d_2204;
const FLAG = {
  versionMask: 0xc0,
  version1: 0x40,
  blockChecksum: 0x10,
  contentSize: 0x08,
  contentChecksum: 0x04,
  dictionaryId: 0x01,
} as const;
const STORED_BLOCK = 0x8000_0000;
const MIN_MATCH_BYTES = 4;
const MIN_HEADER_BYTES = 7;
/** One more byte of a length stands for 255 more bytes of output: no block grows by more. */
const MAX_RATIO = 255;
/** A first sequence of a token and an offset already makes 19 bytes. */
const RATIO_SLACK_BYTES = 32;

export interface MeasuredFrame {
  /** The position after the frame. */
  readonly end: number;
  /** No fewer bytes than the frame decompresses to; exact if a plain estimate was above the limit asked for. */
  readonly sizeLimitBytes: number;
}

/** Walks the frame at `position`. Throws INVALID_RECORD when it is cut short or is no frame that Kafka uses. */
export function measureFrame(bytes: Uint8Array, position: number, maxOutputBytes: number): MeasuredFrame {
  const header = readFrameHeader(bytes, position);
  const quick = measureBlocks(bytes, header, estimateBlock);
  const frame = quick.sizeLimitBytes > maxOutputBytes ? measureBlocks(bytes, header, measureBlock) : quick;
  // The decoder may believe an announced size, so it must not be larger than the blocks allow.
  if (header.contentSize !== undefined && header.contentSize > quick.sizeLimitBytes) {
    throw brokenPayload("lz4", `a frame announces ${header.contentSize} bytes and cannot hold them`);
  }
  return frame;
}

interface FrameHeader {
  readonly blocksStart: number;
  readonly maxBlockBytes: number;
  readonly blockChecksumBytes: number;
  readonly contentChecksumBytes: number;
  readonly contentSize: number | undefined;
}

function readFrameHeader(bytes: Uint8Array, position: number): FrameHeader {
  if (bytes.length - position < MIN_HEADER_BYTES) throw brokenPayload("lz4", "a frame's header is cut short");
  if (readUint32(bytes, position) !== MAGIC) throw brokenPayload("lz4", "no frame begins where one should");
  const flags = bytes[position + 4] as number;
  const maxBlockCode = ((bytes[position + 5] as number) >> 4) & 0x07;
  if ((flags & FLAG.versionMask) !== FLAG.version1 || (flags & FLAG.dictionaryId) !== 0 || maxBlockCode < 4) {
    throw brokenPayload("lz4", `a frame's flags 0x${flags.toString(16)} or block size are not served`);
  }
  const hasContentSize = (flags & FLAG.contentSize) !== 0;
  const blocksStart = position + MIN_HEADER_BYTES + (hasContentSize ? 8 : 0);
  if (blocksStart > bytes.length) throw brokenPayload("lz4", "a frame's header is cut short");
  return {
    blocksStart,
    maxBlockBytes: 1 << (8 + 2 * maxBlockCode),
    blockChecksumBytes: (flags & FLAG.blockChecksum) === 0 ? 0 : 4,
    contentChecksumBytes: (flags & FLAG.contentChecksum) === 0 ? 0 : 4,
    contentSize: hasContentSize
      ? readUint32(bytes, position + 6) + readUint32(bytes, position + 10) * 2 ** 32
      : undefined,
  };
}

type BlockMeasure = (bytes: Uint8Array, start: number, end: number, maxBlockBytes: number) => number;

function measureBlocks(bytes: Uint8Array, header: FrameHeader, measure: BlockMeasure): MeasuredFrame {
  let position = header.blocksStart;
  let sizeLimitBytes = 0;
  for (;;) {
    if (bytes.length - position < 4) throw brokenPayload("lz4", "a frame has no end mark");
    const word = readUint32(bytes, position);
    position += 4;
    if (word === 0) break;
    const length = word % STORED_BLOCK;
    const end = position + length;
    if (length > header.maxBlockBytes || end + header.blockChecksumBytes > bytes.length) {
      throw brokenPayload("lz4", `a block of ${length} bytes with ${bytes.length - position} left`);
    }
    sizeLimitBytes += word >= STORED_BLOCK ? length : measure(bytes, position, end, header.maxBlockBytes);
    position = end + header.blockChecksumBytes;
  }
  const end = position + header.contentChecksumBytes;
  if (end > bytes.length) throw brokenPayload("lz4", "a frame's checksum is cut short");
  return { end, sizeLimitBytes };
}

function estimateBlock(_bytes: Uint8Array, start: number, end: number, maxBlockBytes: number): number {
  return Math.min(maxBlockBytes, (end - start) * MAX_RATIO + RATIO_SLACK_BYTES);
}

/** The exact size of a block's output: the lengths of its literals and matches, without copying any. */
function measureBlock(bytes: Uint8Array, start: number, end: number, maxBlockBytes: number): number {
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
  return Math.min(size, maxBlockBytes);
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
