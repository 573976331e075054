import { SeededRandom } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { Partitioner } from "./partitioner.ts";

describe("Partitioner", () => {
  test("keys go where Kafka's Java client sends them", () => {
    const partitioner = new Partitioner(10, new SeededRandom(1));
    // Partition of Utils.toPositive(Utils.murmur2(key)) % 10 for vectors of Kafka's own UtilsTest.
    const expected = [
      ["21", -973_932_308],
      ["foobar", -790_332_482],
      ["a-little-bit-long-string", -985_981_536],
    ] as const;
    for (const [key, hash] of expected) {
      expect(partitioner.partitionFor(Buffer.from(key))).toBe((hash & 0x7fff_ffff) % 10);
    }
  });

  test("records without a key stay together until the batch closes, then go elsewhere", () => {
    const partitioner = new Partitioner(4, new SeededRandom(7));
    const first = partitioner.partitionFor(null);
    expect(partitioner.partitionFor(null)).toBe(first);
    partitioner.batchClosed((first + 1) % 4);
    expect(partitioner.partitionFor(null)).toBe(first);
    partitioner.batchClosed(first);
    expect(partitioner.partitionFor(null)).not.toBe(first);
  });

  test("records without a key reach every partition in the long run", () => {
    const partitioner = new Partitioner(3, new SeededRandom(3));
    const seen = new Set<number>();
    for (let batch = 0; batch < 50; batch++) {
      seen.add(partitioner.partitionFor(null));
      partitioner.batchClosed(partitioner.partitionFor(null));
    }
    expect(seen).toEqual(new Set([0, 1, 2]));
  });

  test("one partition only: nothing to switch to", () => {
    const partitioner = new Partitioner(1, new SeededRandom(3));
    partitioner.batchClosed(0);
    expect(partitioner.partitionFor(null)).toBe(0);
  });
});
