import type { Compression } from "../compression.ts";
import { gzipCompress, gzipDecompress } from "./gzip.ts";
import { lz4Compress, lz4Decompress } from "./lz4.ts";
import { snappyCompress, snappyDecompress } from "./snappy.ts";
import { zstdCompress, zstdDecompress } from "./zstd.ts";

interface Codec {
  readonly compress: (bytes: Uint8Array) => Uint8Array;
  readonly decompress: (bytes: Uint8Array, maxOutputBytes: number) => Uint8Array;
}

const CODECS: Readonly<Record<Compression, Codec>> = {
  none: { compress: (bytes) => bytes, decompress: (bytes) => bytes },
  gzip: { compress: gzipCompress, decompress: gzipDecompress },
  snappy: { compress: snappyCompress, decompress: snappyDecompress },
  lz4: { compress: lz4Compress, decompress: lz4Decompress },
  zstd: { compress: zstdCompress, decompress: zstdDecompress },
};

/** Compresses the records of a batch, framed as Kafka's clients expect. */
export function compress(compression: Compression, bytes: Uint8Array): Uint8Array {
  return CODECS[compression].compress(bytes);
}

/**
 * Decompresses the records of a batch. Throws INVALID_RECORD for broken input, and for
 * input that would become larger than `maxOutputBytes` before that much memory is taken.
 */
export function decompress(compression: Compression, bytes: Uint8Array, maxOutputBytes: number): Uint8Array {
  return CODECS[compression].decompress(bytes, maxOutputBytes);
}
