import { expect, test } from "vitest";
import { encodeBatch } from "./batch-builder.ts";
import { readBatchHeader } from "./batch-header.ts";
import { COMPRESSIONS } from "./compression.ts";
import { checkRecordLengths, validateRecords } from "./validate-records.ts";

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

test("the number of records and their lengths are checked without decoding them", () => {
  const records = [1, 63, 64, 8191, 8192, 100_000].map((size) => ({
    timestampMs: 1,
    key: null,
    value: new Uint8Array(size),
  }));
  const batch = encodeBatch(records);
  const header = readBatchHeader(batch);
  checkRecordLengths(batch, header);
  const broken = expect.objectContaining({ code: "INVALID_RECORD" });
  for (const recordCount of [5, 7]) {
    expect(() => checkRecordLengths(batch, { ...header, recordCount })).toThrow(broken);
  }
  // Negative, too small, beyond the end, and a varint that does not end.
  for (const length of [0x01, 0x02, 0x7e, 0xff]) {
    const changed = Uint8Array.from(batch, (byte, index) => (index === 61 ? length : byte));
    expect(() => checkRecordLengths(changed, header)).toThrow(broken);
  }
  const endless = Uint8Array.from(batch, (byte, index) => (index >= 61 ? 0xff : byte));
  expect(() => checkRecordLengths(endless, header)).toThrow(broken);
  for (const compression of COMPRESSIONS) {
    const other = encodeBatch(records, { compression });
    checkRecordLengths(other, readBatchHeader(other));
  }
});
