import { describe, expect, test } from "vitest";
import batches from "../fixtures/kafka-batches.json" with { type: "json" };
import frames from "../fixtures/lz4-frames.json" with { type: "json" };
import { BatchBuilder, type BatchOptions } from "./batch-builder.ts";
import { readBatchHeader, setLogAppendTime, validateBatch } from "./batch-header.ts";
import { decompress } from "./codecs/codec.ts";
import { COMPRESSIONS } from "./compression.ts";
import { decodeControlBatch, encodeControlBatch } from "./control-batch.ts";
import { decodeRecords } from "./decode-records.ts";
import type { RecordInput } from "./record.ts";

const TIME_MS = 1_700_000_000_000;

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function fixture(name: keyof typeof batches): Uint8Array {
  return new Uint8Array(Buffer.from(batches[name], "base64"));
}

/** The records that the fixtures were made of. */
const RECORDS: readonly RecordInput[] = [
  { timestampMs: TIME_MS, key: text("key-0"), value: text("value-0") },
  { timestampMs: TIME_MS + 5, key: null, value: text("no key") },
  { timestampMs: TIME_MS - 70, key: text("tombstone"), value: null },
  {
    timestampMs: TIME_MS + 100_000,
    key: text(""),
    value: text(""),
    headers: [
      { key: "trace", value: text("abc") },
      { key: "empty", value: text("") },
      { key: "null", value: null },
      { key: "größe", value: text("ü") },
    ],
  },
  { timestampMs: TIME_MS + 3 * 2 ** 32, key: text("far"), value: text("x".repeat(300)) },
  ...Array.from({ length: 20 }, (_, index) => ({
    timestampMs: TIME_MS + index,
    key: text(`k${index}`),
    value: text(`repeated value ${index}`),
  })),
];

function encode(records: readonly RecordInput[], options: BatchOptions): Uint8Array {
  const builder = new BatchBuilder(options);
  for (const record of records) builder.append(record);
  return builder.build();
}

function expectRecords(batch: Uint8Array, baseOffset: number, timestampMs?: number): void {
  const expected = RECORDS.map((record, index) => ({
    headers: [],
    ...record,
    timestampMs: timestampMs ?? record.timestampMs,
    offset: baseOffset + index,
  }));
  expect([...decodeRecords(batch)]).toEqual(expected);
}

describe("batches written by Kafka's Java client", () => {
  test.each(COMPRESSIONS)("%s is read", (compression) => {
    const batch = fixture(compression);
    const header = validateBatch(batch, 0, { requireDense: true });
    expect(header.compression).toBe(compression);
    expectRecords(batch, 0);
  });

  test.each(["large-gzip", "large-snappy", "large-lz4", "large-zstd"] as const)("%s is read", (name) => {
    const batch = fixture(name);
    validateBatch(batch);
    const [record] = decodeRecords(batch);
    expect(record?.value).toEqual(new Uint8Array(70_000));
  });

  test("an uncompressed batch is encoded to the same bytes", () => {
    expect(encode(RECORDS, {})).toEqual(fixture("none"));
  });

  test("a transactional batch is encoded to the same bytes and its sequence wraps", () => {
    const options = {
      baseOffset: 123_456_789_012,
      producerId: 4_000_000_000_001,
      producerEpoch: 7,
      baseSequence: 2_147_483_645,
      isTransactional: true,
      partitionLeaderEpoch: 9,
    };
    const batch = fixture("transactional");
    expect(encode(RECORDS, options)).toEqual(batch);
    const { baseSequence, lastSequence } = validateBatch(batch);
    expect({ baseSequence, lastSequence }).toEqual({ baseSequence: 2_147_483_645, lastSequence: 21 });
  });

  test("LogAppendTime gives all records the batch's time, and can be set later", () => {
    const batch = fixture("log-append-time");
    const logAppendTimeMs = 1_700_000_099_999;
    const options = { baseOffset: 5, partitionLeaderEpoch: 3 };
    expect(encode(RECORDS, { ...options, timestampType: "LogAppendTime", logAppendTimeMs })).toEqual(batch);
    expect(setLogAppendTime(encode(RECORDS, options), logAppendTimeMs)).toEqual(batch);
    expectRecords(batch, 5, logAppendTimeMs);
  });

  test("offsets with the widest gaps are read and written", () => {
    const batch = fixture("sparse");
    validateBatch(batch);
    const records = [...decodeRecords(batch)];
    expect(records.map((record) => record.offset)).toEqual([1000, 1007, 2_147_484_646]);
    const builder = new BatchBuilder({ baseOffset: 1000, partitionLeaderEpoch: 2 });
    for (const record of records) builder.append(record, record.offset - 1000);
    expect(builder.build()).toEqual(batch);
    expect(() => validateBatch(batch, 0, { requireDense: true })).toThrow("one record per offset");
  });

  test("a delete horizon is read and written", () => {
    const batch = fixture("delete-horizon");
    expect(validateBatch(batch)).toMatchObject({ hasDeleteHorizon: true, baseTimestamp: 1_700_000_500_000 });
    const records = [...decodeRecords(batch)];
    expect(records).toMatchObject([{ offset: 40, timestampMs: TIME_MS, value: null }]);
    const options = { baseOffset: 40, partitionLeaderEpoch: 1, deleteHorizonMs: 1_700_000_500_000 };
    expect(encode(records, options)).toEqual(batch);
  });

  test.each([
    ["commit", 77, TIME_MS + 123],
    ["abort", 78, TIME_MS + 124],
  ] as const)("a %s marker is read and written", (type, baseOffset, timestampMs) => {
    const batch = fixture(`${type}-marker`);
    validateBatch(batch, 0, { requireDense: true });
    expect(decodeControlBatch(batch)).toEqual({ type, coordinatorEpoch: 12 });
    const options = {
      baseOffset,
      timestampMs,
      partitionLeaderEpoch: 4,
      producerId: 4_000_000_000_001,
      producerEpoch: 7,
    };
    expect(encodeControlBatch({ type, coordinatorEpoch: 12 }, options)).toEqual(batch);
  });

  test("a batch emptied by compaction is valid and has no records", () => {
    const batch = fixture("emptied");
    expect(validateBatch(batch)).toMatchObject({ baseOffset: 500, lastOffset: 509, recordCount: 0 });
    expect([...decodeRecords(batch)]).toEqual([]);
  });

  test.each(["magic-0", "magic-1"] as const)("%s is refused with what to do about it", (name) => {
    expect(() => readBatchHeader(fixture(name))).toThrow(/message format v[01] is not served; use a client/);
    expect(() => validateBatch(fixture(name))).toThrow(expect.objectContaining({ code: "INVALID_RECORD" }));
  });

  test("snappy without xerial's framing, as librdkafka sends it, is read", () => {
    const output = decompress("snappy", fixture("raw-snappy-payload"), 1000);
    expect(Buffer.from(output).toString()).toBe("raw snappy raw snappy raw snappy");
  });
});

describe("LZ4 frames written by the reference library", () => {
  const line = Buffer.from("linked blocks refer to one another, ".repeat(6000)).subarray(0, 200_000);

  test.each([
    "lz4-linked",
    "lz4-linked-checksums-size",
    "lz4-independent-checksums",
    "lz4-size-4mb",
  ] as const)("%s is read, up to an exact limit", (name) => {
    const frame = new Uint8Array(Buffer.from(frames[name], "base64"));
    expect(line.equals(decompress("lz4", frame, line.length))).toBe(true);
    expect(() => decompress("lz4", frame, line.length - 1)).toThrow("more than the limit");
  });

  test("two frames in a row are read as one", () => {
    const two = new Uint8Array(Buffer.from(frames["lz4-two-frames"], "base64"));
    expect(line.subarray(0, 300).equals(decompress("lz4", two, 300))).toBe(true);
    expect(() => decompress("lz4", two, 299)).toThrow("more than the limit");
  });
});
