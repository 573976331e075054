import { hash } from "node:crypto";

/** Of each slot: 128 bits of the key's hash, and an offset. */
const HASH_WORDS = 4;
export const OFFSET_MAP_SLOT_BYTES = 24;
/** Beyond it a lookup would go past too many other keys. */
const MAX_LOAD = 0.75;

/**
 * The last offset of each key, in memory of a fixed size: keys are known by 128 bits of their SHA-256, so
 * that nobody can make one key take another's place. When it is full, compaction takes several passes.
 */
export class OffsetMap {
  readonly #slots: number;
  readonly #hashes: Uint32Array;
  /** One more than the offset; 0 in a free slot. */
  readonly #offsets: Float64Array;
  #size = 0;

  constructor(maxBytes: number) {
    this.#slots = Math.max(Math.floor(maxBytes / OFFSET_MAP_SLOT_BYTES), 2);
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

  /** The offset noted last for the key; -1 when there is none. */
  get(key: Uint8Array): number {
    return (this.#offsets[this.#find(key)] ?? 0) - 1;
  }

  /** Notes the key's offset; false, and nothing is noted, when the key is new and the map full. */
  put(key: Uint8Array, offset: number): boolean {
    const slot = this.#find(key);
    if (this.#offsets[slot] === 0) {
      if (this.#size >= Math.floor(this.#slots * MAX_LOAD)) return false;
      this.#size += 1;
      for (let word = 0; word < HASH_WORDS; word += 1) {
        this.#hashes[slot * HASH_WORDS + word] = this.#wanted[word] ?? 0;
      }
    }
    this.#offsets[slot] = offset + 1;
    return true;
  }

  clear(): void {
    this.#offsets.fill(0);
    this.#size = 0;
  }

  readonly #wanted = new Uint32Array(HASH_WORDS);

  /** The key's slot, or the free one where it would go. Its hash is in `#wanted` afterwards. */
  #find(key: Uint8Array): number {
    const text = hash("sha256", key, "latin1");
    const wanted = this.#wanted;
    for (let word = 0; word < HASH_WORDS; word += 1) {
      const at = word * 4;
      wanted[word] =
        (text.charCodeAt(at) << 24) |
        (text.charCodeAt(at + 1) << 16) |
        (text.charCodeAt(at + 2) << 8) |
        text.charCodeAt(at + 3);
    }
    let slot = (wanted[0] ?? 0) % this.#slots;
    while (this.#offsets[slot] !== 0 && !this.#isAt(slot)) slot = slot + 1 === this.#slots ? 0 : slot + 1;
    return slot;
  }

  #isAt(slot: number): boolean {
    const at = slot * HASH_WORDS;
    const wanted = this.#wanted;
    return (
      this.#hashes[at] === wanted[0] &&
      this.#hashes[at + 1] === wanted[1] &&
      this.#hashes[at + 2] === wanted[2] &&
      this.#hashes[at + 3] === wanted[3]
    );
  }
}
