import { expect, test } from "vitest";
import { UnwrittenRecords } from "./unwritten-records.ts";

test("records are released once, when the log has written all of them", () => {
  const released: number[] = [];
  const records = new UnwrittenRecords();
  for (const endOffset of [10, 20, 30]) records.add(endOffset, () => released.push(endOffset));

  records.written(9);
  expect(released).toEqual([]);
  records.written(20);
  records.written(20);
  expect(released).toEqual([10, 20]);
});

test("what a cut log had not written is released too", () => {
  const released: number[] = [];
  const records = new UnwrittenRecords();
  for (const endOffset of [10, 20]) records.add(endOffset, () => released.push(endOffset));
  records.clear();
  records.written(20);
  expect(released).toEqual([10, 20]);
});
