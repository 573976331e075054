import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { plainView } from "../int.ts";
import { runBounded } from "./codec-error.ts";

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
