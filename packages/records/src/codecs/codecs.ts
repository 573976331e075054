import type { Compression } from "../compression.ts";
import { compress, decompress } from "./codec.ts";
import { gzipCompressInPool, gzipDecompressInPool } from "./gzip.ts";
import { zstdCompressInPool, zstdDecompressInPool } from "./zstd.ts";

/** Where codecs work. Both throw, or reject, as `compress` and `decompress` do. */
export interface Codecs {
  compress(compression: Compression, bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
  decompress(
    compression: Compression,
    bytes: Uint8Array,
    maxOutputBytes: number,
  ): Uint8Array | Promise<Uint8Array>;
}

/** At once, on the thread that asks: for what must come out the same whatever other threads do. */
export const inlineCodecs: Codecs = { compress, decompress };

/** Fewer bytes are done before a thread would have begun. */
const POOL_BYTES_MIN = 4 * 1024;

/**
 * On threads of libuv's pool where it would take long: gzip compresses some tens of megabytes in a second and
 * zstd a hundred or more, so that one batch may take a tenth of a second. Snappy and LZ4 stay where they are.
 */
export const pooledCodecs: Codecs = {
  compress(compression, bytes) {
    if (bytes.length < POOL_BYTES_MIN) return compress(compression, bytes);
    if (compression === "gzip") return gzipCompressInPool(bytes);
    return compression === "zstd" ? zstdCompressInPool(bytes) : compress(compression, bytes);
  },
  decompress(compression, bytes, maxOutputBytes) {
    // Few bytes may become very many: only what is not compressed at all is known to be done at once.
    if (compression === "gzip") return gzipDecompressInPool(bytes, maxOutputBytes);
    if (compression === "zstd") return zstdDecompressInPool(bytes, maxOutputBytes);
    return decompress(compression, bytes, maxOutputBytes);
  },
};
