import { OttlaError } from "@ottla/errors";
import type { Compression } from "../compression.ts";

/**
 * The CRC of the batch was right, or nobody asked: the payload is the producer's fault
 * and a retry is no help.
 */
export function brokenPayload(compression: Compression, message: string, cause?: unknown): OttlaError {
  return new OttlaError("INVALID_RECORD", `${compression} data cannot be decompressed: ${message}`, {
    cause,
  });
}

export function payloadTooLarge(compression: Compression, maxOutputBytes: number): OttlaError {
  return new OttlaError(
    "INVALID_RECORD",
    `${compression} data decompresses to more than the limit of ${maxOutputBytes} bytes; send smaller batches`,
    { metadata: { limit: String(maxOutputBytes) } },
  );
}

/** Runs one of Node's zlib decoders and names what went wrong. */
export function runBounded(
  compression: Compression,
  maxOutputBytes: number,
  decode: () => Uint8Array,
): Uint8Array {
  try {
    return decode();
  } catch (error) {
    throw boundedError(compression, maxOutputBytes, error);
  }
}

/** What one of Node's zlib decoders has failed with, by name. */
export function boundedError(compression: Compression, maxOutputBytes: number, error: unknown): OttlaError {
  if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") {
    return payloadTooLarge(compression, maxOutputBytes);
  }
  return brokenPayload(compression, error instanceof Error ? error.message : String(error), error);
}
