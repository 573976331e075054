import { expect, test } from "vitest";
import { KEY_HASH_SECRET_BYTES, KeyHash } from "./key-hash.ts";

/** 64 bits of the bytes 0, 1, 2, ... under the secret 0, 1, ..., 7, by their number. */
const VECTORS: readonly (readonly [number, string])[] = [
  [0, "218d1f59b9b83cc8"],
  [1, "be552412f8387315"],
  [2, "064f39ef7c50eb57"],
  [3, "ce0f1a45f7060679"],
  [4, "d5e78a175be52ea1"],
  [8, "edfee820bce4858c"],
];

test("each half is HalfSipHash-2-4, wherever in the bytes the key lies", () => {
  const hash = new KeyHash(Uint8Array.from({ length: KEY_HASH_SECRET_BYTES }, (_, at) => at % 8));
  for (const [length, expected] of VECTORS) {
    hash.update(
      Uint8Array.from({ length: length + 7 }, (_, at) => at - 3),
      3,
      3 + length,
    );
    const halves = Buffer.alloc(16);
    for (const [at, word] of hash.words.entries()) halves.writeUInt32LE(word, at * 4);
    expect(halves.toString("hex")).toBe(expected + expected);
  }
});

test("the two halves differ under two secrets, and so do two keys", () => {
  const hash = new KeyHash(Uint8Array.from({ length: KEY_HASH_SECRET_BYTES }, (_, at) => at));
  const seen = new Set<string>();
  for (let key = 0; key < 1000; key += 1) {
    const bytes = Buffer.from(`key ${key}`);
    hash.update(bytes, 0, bytes.length);
    seen.add(hash.words.join());
    expect(hash.words[0]).not.toBe(hash.words[2]);
  }
  expect(seen.size).toBe(1000);
});
