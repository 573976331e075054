import { expect, test } from "vitest";
import { murmur2, partitionForKey } from "./murmur2.ts";

// The vectors of Kafka's own unit tests.
test.each([
  ["21", -973_932_308],
  ["foobar", -790_332_482],
  ["a-little-bit-long-string", -985_981_536],
  ["a-little-bit-longer-string", -1_486_304_829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971],
  ["abc", 479_470_107],
])("murmur2 of %s is Kafka's", (text, hash) => {
  const key = new TextEncoder().encode(text);
  expect(murmur2(key)).toBe(hash);
  expect(partitionForKey(key, 7)).toBe((hash & 0x7fff_ffff) % 7);
  expect(partitionForKey(key, 1)).toBe(0);
});
