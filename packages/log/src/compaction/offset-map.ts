import type { KeyHash } from "./key-hash.ts";

/** Of each slot: 128 bits of the key's hash, and an offset. */
const HASH_WORDS = 4;
export const OFFSET_MAP_SLOT_BYTES = 24;
/** Beyond it a lookup would go past too many other keys. */
const MAX_LOAD = 0.75;

/**
 * The last offset of each key, in memory of a fixed size: of a key only its hash is kept. When the map is
 * full, compaction takes several passes.
 */
export class OffsetMap {
  readonly #slots: number;
  readonly #hash: KeyHash;
  readonly #hashes: Uint32Array;
  /** One more than the offset; 0 in a free slot. */
  readonly #offsets: Float64Array;
  #size = 0;

  constructor(maxBytes: number, hash: KeyHash) {
    this.#slots = Math.max(Math.floor(maxBytes / OFFSET_MAP_SLOT_BYTES), 2);
    this.#hash = hash;
    this.#hashes = new Uint32Array(this.#slots * HASH_WORDS);
    this.#offsets = new Float64Array(this.#slots);
  }

  /** How many bytes hold so many keys. */
  static bytesFor(keyCount: number): number {
    return (Math.ceil(keyCount / MAX_LOAD) + 1) * OFFSET_MAP_SLOT_BYTES;
  }

  get size(): number {
    return this.#size;
  }

  /** The offset noted last for the key that lies between two places in `bytes`; -1 when there is none. */
  get(bytes: Uint8Array, start: number, end: number): number {
    return (this.#offsets[this.#find(bytes, start, end)] ?? 0) - 1;
  }

  /** Notes the key's offset; false, and nothing is noted, when the key is new and the map full. */
  put(bytes: Uint8Array, start: number, end: number, offset: number): boolean {
    const slot = this.#find(bytes, start, end);
    if (this.#offsets[slot] === 0) {
      if (this.#size >= Math.floor(this.#slots * MAX_LOAD)) return false;
      this.#size += 1;
      this.#hashes.set(this.#hash.words, slot * HASH_WORDS);
    }
    this.#offsets[slot] = offset + 1;
    return true;
  }

  /** The key's slot, or the free one where it would go. Its hash is in `#hash` afterwards. */
  #find(bytes: Uint8Array, start: number, end: number): number {
    this.#hash.update(bytes, start, end);
    let slot = (this.#hash.words[0] ?? 0) % this.#slots;
    while (this.#offsets[slot] !== 0 && !this.#isAt(slot)) slot = slot + 1 === this.#slots ? 0 : slot + 1;
    return slot;
  }

  #isAt(slot: number): boolean {
    const at = slot * HASH_WORDS;
    const { words } = this.#hash;
    return (
      this.#hashes[at] === words[0] &&
      this.#hashes[at + 1] === words[1] &&
      this.#hashes[at + 2] === words[2] &&
      this.#hashes[at + 3] === words[3]
    );
  }
}
