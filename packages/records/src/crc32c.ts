import { crc32c as nativeCrc32c } from "@node-rs/crc32";

/** CRC-32C (Castagnoli) as an unsigned integer; pass an earlier result as `initial` to go on from there. */
export function crc32c(bytes: Uint8Array, initial = 0): number {
  return nativeCrc32c(bytes, initial);
}
