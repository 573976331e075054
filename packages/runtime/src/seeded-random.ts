import type { Random } from "./random.ts";

/**
 * A stream of numbers that follows from its seed alone: xoshiro128** by Blackman and Vigna, its state filled
 * by splitmix32. Streams of different seeds or names are independent for all purposes of a simulation.
 */
export class SeededRandom implements Random {
  readonly #seed: number;
  readonly #state: Uint32Array;

  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`seed ${seed} is not a safe integer`);
    this.#seed = seed;
    const low = splitmix32(seed >>> 0);
    const high = splitmix32((Math.floor(seed / 2 ** 32) ^ 0x9e37_79b9) >>> 0);
    // Each word depends on all of the seed: the first number drawn follows from one word alone.
    this.#state = Uint32Array.of(low() ^ high(), low() ^ high(), low() ^ high(), low() ^ high());
    // The state may not be all zero: the stream would stay there.
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1;
  }

  /** A stream of its own for a part of the program, so that one part's draws do not shift another's. */
  fork(name: string): SeededRandom {
    return new SeededRandom(this.#seed ^ hash(name, this.#seed));
  }

  float(): number {
    return ((this.#next() >>> 5) * 2 ** 26 + (this.#next() >>> 6)) / 2 ** 53;
  }

  integer(limit: number): number {
    if (!(limit >= 1 && limit <= 2 ** 53)) throw new RangeError(`limit ${limit} is not in [1, 2^53]`);
    return Math.floor(this.float() * limit);
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let position = 0; position < length; position += 4) {
      let word = this.#next();
      for (let index = position; index < Math.min(position + 4, length); index += 1) {
        bytes[index] = word & 0xff;
        word >>>= 8;
      }
    }
    return bytes;
  }

  uuid(): string {
    const bytes = this.bytes(16);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    return Buffer.from(bytes)
      .toString("hex")
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  #next(): number {
    const state = this.#state;
    const [a = 0, b = 0, c = 0, d = 0] = state;
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const e = c ^ a;
    const f = d ^ b;
    state[0] = a ^ f;
    state[1] = b ^ e;
    state[2] = e ^ (b << 9);
    state[3] = rotateLeft(f, 11);
    return result;
  }
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function splitmix32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e37_79b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

/** FNV-1a over UTF-16 code units, from a start value. */
function hash(text: string, start: number): number {
  let value = (0x811c_9dc5 ^ start) >>> 0;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x0100_0193) >>> 0;
  }
  return value;
}
