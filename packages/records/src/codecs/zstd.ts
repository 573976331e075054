import { promisify } from "node:util";
import {
  zstdCompressSync,
  zstdDecompressSync,
  zstdCompress as zstdStartCompress,
  zstdDecompress as zstdStartDecompress,
} from "node:zlib";
import { plainView } from "../int.ts";
import { boundedError, runBounded } from "./codec-error.ts";

/** Each piece of output is a turn of the event loop. */
const CHUNK_BYTES = 256 * 1024;
const compressAsync = promisify(zstdStartCompress);
const decompressAsync = promisify(zstdStartDecompress);

export function zstdCompress(bytes: Uint8Array): Uint8Array {
  return plainView(zstdCompressSync(bytes));
}

/**
 * Reads several frames too; the limit counts all of them together. The window stays at
 * zstd's own limit of 128 MiB, because clients at high levels announce it even for little
 * data; the memory is touched only as far as it is used.
 */
export function zstdDecompress(bytes: Uint8Array, maxOutputBytes: number): Uint8Array {
  return runBounded("zstd", maxOutputBytes, () =>
    plainView(zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, maxOutputBytes) })),
  );
}

export async function zstdCompressInPool(bytes: Uint8Array): Promise<Uint8Array> {
  return plainView(await compressAsync(bytes, { chunkSize: CHUNK_BYTES }));
}

export async function zstdDecompressInPool(bytes: Uint8Array, maxOutputBytes: number): Promise<Uint8Array> {
  try {
    const options = { maxOutputLength: Math.max(1, maxOutputBytes), chunkSize: CHUNK_BYTES };
    return plainView(await decompressAsync(bytes, options));
  } catch (error) {
    throw boundedError("zstd", maxOutputBytes, error);
  }
}
