/** Two keys of 64 bits. */
export const KEY_HASH_SECRET_BYTES = 16;

/**
 * 128 bits of a key, by HalfSipHash-2-4 with a 64-bit result (Aumasson, Bernstein), under two secrets.
 * Whoever does not know the secrets, which are new for each pass, cannot make one key take another's
 * place; and it needs nothing but 32-bit arithmetic, so that short keys cost less than a call into OpenSSL.
 */
export class KeyHash {
  /** The result of the last `update`. */
  readonly words = new Uint32Array(4);
  readonly #secret: Uint32Array;

  constructor(secret: Uint8Array) {
    const view = new DataView(secret.buffer, secret.byteOffset, KEY_HASH_SECRET_BYTES);
    this.#secret = Uint32Array.from([0, 4, 8, 12], (at) => view.getUint32(at, true));
  }

  update(bytes: Uint8Array, start: number, end: number): void {
    const secret = this.#secret;
    this.#half(bytes, start, end, secret[0] ?? 0, secret[1] ?? 0, 0);
    this.#half(bytes, start, end, secret[2] ?? 0, secret[3] ?? 0, 2);
  }

  #half(bytes: Uint8Array, start: number, end: number, key0: number, key1: number, at: number): void {
    let v0 = key0 | 0;
    let v1 = key1 ^ 0xee;
    let v2 = key0 ^ 0x6c796765;
    let v3 = key1 ^ 0x74656462;
    const length = end - start;
    const wholeEnd = end - (length & 3);
    // The words of the key, a last one of what is left and the length, then three more for the results.
    for (let position = start; ; position += 4) {
      const isLast = position >= wholeEnd;
      const word = isLast ? lastWord(bytes, wholeEnd, end, length) : wordAt(bytes, position);
      v3 ^= word;
      for (let round = 0; round < 2; round += 1) {
        v0 = (v0 + v1) | 0;
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
        v0 = (v0 << 16) | (v0 >>> 16);
        v2 = (v2 + v3) | 0;
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
        v0 = (v0 + v3) | 0;
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
        v2 = (v2 + v1) | 0;
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
        v2 = (v2 << 16) | (v2 >>> 16);
      }
      v0 ^= word;
      if (isLast) break;
    }
    v2 ^= 0xee;
    for (let round = 0; round < 8; round += 1) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      if (round === 3) {
        this.words[at] = v1 ^ v3;
        v1 ^= 0xdd;
      }
    }
    this.words[at + 1] = v1 ^ v3;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

function lastWord(bytes: Uint8Array, from: number, end: number, length: number): number {
  let word = length << 24;
  for (let at = from; at < end; at += 1) word |= (bytes[at] ?? 0) << (8 * (at - from));
  return word;
}
