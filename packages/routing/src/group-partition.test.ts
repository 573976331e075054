import { expect, test } from "vitest";
import { groupPartition } from "./group-partition.ts";

test("groups are where Kafka's own tools look for them", () => {
  // In Java both have the hash 2112.
  expect(groupPartition("Aa", 50)).toBe(2112 % 50);
  expect(groupPartition("BB", 50)).toBe(2112 % 50);
  expect(groupPartition("", 50)).toBe(0);
  // A negative hash: "polygenelubricants".hashCode() is -2147483648, which Kafka makes 0.
  expect(groupPartition("polygenelubricants", 50)).toBe(0);
});
