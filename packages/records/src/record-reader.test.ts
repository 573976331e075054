import { describe, expect, test } from "vitest";
import { encodeBatch } from "./batch-builder.ts";
import { readBatchHeader } from "./batch-header.ts";
import { RecordReader } from "./record-reader.ts";

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

/** Reads a payload under the header of a batch with that many records and offsets. */
function read(payload: string, recordCount = 1, lastOffsetDelta = recordCount - 1): unknown[] {
  const batch = encodeBatch([{ timestampMs: 1000, key: null, value: null }]);
  return [...new RecordReader(hex(payload), { ...readBatchHeader(batch), recordCount, lastOffsetDelta })];
}

describe("RecordReader", () => {
  // Length 6 (0x0c), attributes, timestamp delta, offset delta, null key, null value, no headers.
  test("reads the smallest record there is", () => {
    expect(read("0c 00 00 00 01 01 00")).toEqual([
      { offset: 0, timestampMs: 1000, key: null, value: null, headers: [] },
    ]);
  });

  test("takes any negative length for null, as Kafka does", () => {
    expect(read("0c 00 00 00 07 09 00")).toMatchObject([{ key: null, value: null }]);
  });

  test("keeps a byte order mark and replaces broken text in header keys", () => {
    expect(read("1c 00 00 00 01 01 04 06 efbbbf 01 02 ff 01")).toMatchObject([
      { headers: [{ key: "\uFEFF" }, { key: "\uFFFD" }] },
    ]);
  });

  test.each([
    ["more records than bytes", "0c 00 00 00 01 01 00", 2, "2 records do not fit into 7 bytes"],
    ["a count that would need gigabytes", "0c 00 00 00 01 01 00", 0x7fff_ffff, "do not fit"],
    ["bytes after the last record", "0c 00 00 00 01 01 00 00", 1, "1 bytes follow the last record"],
    ["a record longer than the batch", "0e 00 00 00 01 01 00", 1, "size 7 with 6 bytes left"],
    ["a record of negative size", "0b 00 00 00 01 01 00", 1, "size -6"],
    ["a record too small to be one", "0a 00 00 00 01 01 00", 1, "size 5"],
    ["a key longer than its record", "0c 00 00 00 08 01 00", 1, "a length of 4 with 2 bytes left"],
    ["a key of 2 GiB", "14 00 00 00 fe ff ff ff 0f 01 00", 1, "a length of 2147483647"],
    ["bytes left in a record", "0e 00 00 00 01 01 00 00", 1, "1 bytes follow its headers"],
    ["more headers than bytes", "0e 00 00 00 01 01 7e 00", 1, "63 headers with 1 bytes left"],
    ["a negative header count", "0c 00 00 00 01 01 01", 1, "-1 headers"],
    ["a header without a key", "10 00 00 00 01 01 02 01 01", 1, "header 0 has no key"],
    ["an offset outside the batch", "0c 00 00 02 01 01 00", 1, "offset delta 1 is not between 0 and 0"],
    ["a negative offset", "0c 00 00 01 01 01 00", 1, "offset delta -1"],
    ["a number cut short", "0c 00 00 00 01 01 80", 1, "cut short"],
    ["a 32-bit number of 6 bytes", "16 00 00 80 80 80 80 80 00 01 01 00", 1, "more than 5 bytes"],
    ["a 64-bit number of 11 bytes", "20 00 80 80 80 80 80 80 80 80 80 80 00 00 01 01 00", 1, "more than 10"],
    ["a timestamp beyond 2^53", "1e 00 fe ff ff ff ff ff ff ff ff 01 00 01 01 00", 1, "beyond 2^53"],
  ])("refuses %s", (_name, payload, recordCount, message) => {
    expect(() => read(payload, recordCount)).toThrow(message);
    expect(() => read(payload, recordCount)).toThrow(expect.objectContaining({ code: "INVALID_RECORD" }));
  });

  test("refuses offsets that do not grow", () => {
    const record = "0c 00 00 00 01 01 00";
    expect(() => read(record + record, 2)).toThrow("record 1: offset delta 0 is not between 1 and 1");
  });
});
