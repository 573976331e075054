import { promisify } from "node:util";
import { gunzip, gunzipSync, gzip, gzipSync } from "node:zlib";
import { plainView } from "../int.ts";
import { boundedError, runBounded } from "./codec-error.ts";

/** Each piece of output is a turn of the event loop. */
const CHUNK_BYTES = 256 * 1024;
const compressAsync = promisify(gzip);
const decompressAsync = promisify(gunzip);

export function gzipCompress(bytes: Uint8Array): Uint8Array {
  return plainView(gzipSync(bytes));
}

/**
 * Reads several members too; the limit counts all of them together. Output grows as it
 * comes, up to the limit.
 */
export function gzipDecompress(bytes: Uint8Array, maxOutputBytes: number): Uint8Array {
  return runBounded("gzip", maxOutputBytes, () =>
    plainView(gunzipSync(bytes, { maxOutputLength: Math.max(1, maxOutputBytes) })),
  );
}

export async function gzipCompressInPool(bytes: Uint8Array): Promise<Uint8Array> {
  return plainView(await compressAsync(bytes, { chunkSize: CHUNK_BYTES }));
}

export async function gzipDecompressInPool(bytes: Uint8Array, maxOutputBytes: number): Promise<Uint8Array> {
  try {
    const options = { maxOutputLength: Math.max(1, maxOutputBytes), chunkSize: CHUNK_BYTES };
    return plainView(await decompressAsync(bytes, options));
  } catch (error) {
    throw boundedError("gzip", maxOutputBytes, error);
  }
}
