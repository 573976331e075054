import { expect, test } from "vitest";
import { encodeBatch } from "./batch-builder.ts";
import { COMPRESSIONS } from "./compression.ts";
import { validateRecords } from "./validate-records.ts";

const VALUE = Uint8Array.of(1);

test.each(COMPRESSIONS)("a record without a key is refused in a compacted topic (%s)", (compression) => {
  const records = [
    { timestampMs: 1, key: VALUE, value: VALUE },
    { timestampMs: 1, key: null, value: VALUE },
  ];
  const batch = encodeBatch(records, { compression });
  expect(validateRecords(batch)).toMatchObject({ recordCount: 2 });
  expect(() => validateRecords(batch, { requireKeys: true })).toThrow(
    expect.objectContaining({ code: "INVALID_RECORD", metadata: { recordIndexes: "1" } }),
  );
});

test("timestamps outside the topic's bounds are refused, and no timestamp passes", () => {
  const batch = encodeBatch([-1, 100, 200].map((timestampMs) => ({ timestampMs, key: null, value: VALUE })));
  expect(validateRecords(batch, { minTimestampMs: 100, maxTimestampMs: 200 })).toEqual({
    recordCount: 3,
    maxTimestampMs: 200,
    offsetOfMaxTimestamp: 2,
  });
  for (const [bounds, recordIndexes] of [
    [{ minTimestampMs: 101 }, "1"],
    [{ maxTimestampMs: 99 }, "1,2"],
  ] as const) {
    expect(() => validateRecords(batch, bounds)).toThrow(
      expect.objectContaining({ code: "INVALID_TIMESTAMP", metadata: { recordIndexes } }),
    );
  }
});
