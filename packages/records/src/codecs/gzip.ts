import { gunzipSync, gzipSync } from "node:zlib";
import { plainView } from "../int.ts";
import { runBounded } from "./codec-error.ts";

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
