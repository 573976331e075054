import { OttlaError } from "@ottla/errors";
import type { Compression } from "../compression.ts";

/** Compresses the records of a batch. */
export function compress(compression: Compression, _bytes: Uint8Array): Uint8Array {
  throw new OttlaError("UNSUPPORTED_COMPRESSION_TYPE", `compression ${compression} is not served`);
}

/** Decompresses the records of a batch into at most `maxOutputBytes`. */
export function decompress(compression: Compression, bytes: Uint8Array, _maxOutputBytes: number): Uint8Array {
  if (compression === "none") return bytes;
  throw new OttlaError("UNSUPPORTED_COMPRESSION_TYPE", `compression ${compression} is not served`);
}
