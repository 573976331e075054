import { describe, expect, test } from "vitest";
import { encodeBatch } from "./batch-builder.ts";
import {
  addToSequence,
  BATCH_PREFIX_BYTES,
  encodeBatchPrefix,
  readBatchHeader,
  setLogAppendTime,
  splitBatches,
  validateBatch,
  writeCrc,
} from "./batch-header.ts";
import { COMPRESSIONS, compressionFromId, compressionId } from "./compression.ts";
import { crc32c } from "./crc32c.ts";
import { decodeRecords } from "./decode-records.ts";
import { writeInt16, writeInt32, writeInt64 } from "./int.ts";

const RECORD = { timestampMs: 1_700_000_000_000, key: null, value: Uint8Array.of(1, 2, 3) };

/** A good batch of three records, then changed, under a right CRC. */
function batchWith(change: (batch: Uint8Array) => void): Uint8Array {
  const batch = encodeBatch([RECORD, RECORD, RECORD]);
  change(batch);
  writeCrc(batch);
  return batch;
}

describe("validateBatch", () => {
  test.each<[string, string, RegExp, (batch: Uint8Array) => void]>([
    ["more records than offsets", "INVALID_RECORD", /4 records for 3 offsets/, (b) => writeInt32(b, 57, 4)],
    ["a negative record count", "INVALID_RECORD", /-1 records/, (b) => writeInt32(b, 57, -1)],
    ["a negative last offset delta", "INVALID_RECORD", /offset delta of -1/, (b) => writeInt32(b, 23, -1)],
    ["a negative base offset", "CORRUPT_MESSAGE", /out of range/, (b) => writeInt64(b, 0, -1)],
    ["an offset beyond 2^53", "CORRUPT_MESSAGE", /out of range/, (b) => writeInt64(b, 0, 2 ** 60)],
    ["a length below a header's", "CORRUPT_MESSAGE", /batch length 48/, (b) => writeInt32(b, 8, 48)],
    ["a negative length", "CORRUPT_MESSAGE", /batch length -1/, (b) => writeInt32(b, 8, -1)],
    ["a length beyond the bytes", "CORRUPT_MESSAGE", /cut short/, (b) => writeInt32(b, 8, 0x7fff_ffff)],
    ["an unknown codec", "UNSUPPORTED_COMPRESSION_TYPE", /id 5 is unknown/, (b) => writeInt16(b, 21, 5)],
    ["a later magic", "CORRUPT_MESSAGE", /magic 3/, (b) => b.fill(3, 16, 17)],
    ["an earlier magic", "INVALID_RECORD", /message format v1/, (b) => b.fill(1, 16, 17)],
    ["time in nanoseconds", "INVALID_TIMESTAMP", /milliseconds/, (b) => writeInt64(b, 35, 1.7e18)],
    ["a producer id below -1", "INVALID_RECORD", /producer id -2/, (b) => writeInt64(b, 43, -2)],
    ["a producer without a sequence", "INVALID_RECORD", /sequence -1/, (b) => writeInt64(b, 43, 9)],
    ["a transaction of nobody", "INVALID_RECORD", /without a producer id/, (b) => writeInt16(b, 21, 0x10)],
  ])("refuses %s", (_name, code, message, change) => {
    const batch = batchWith(change);
    expect(() => validateBatch(batch)).toThrow(expect.objectContaining({ name: "OttlaError", code }));
    expect(() => validateBatch(batch)).toThrow(message);
  });

  test("accepts zeros beside no producer id, as kafkajs and sarama send them", () => {
    const batch = batchWith((b) => b.fill(0, 51, 57));
    expect(validateBatch(batch, 0, { requireDense: true })).toMatchObject({
      producerId: -1,
      baseSequence: 0,
    });
  });

  test("accepts gaps in a stored batch and refuses them, and emptiness, from a client", () => {
    const sparse = batchWith((b) => writeInt32(b, 23, 7));
    const empty = batchWith((b) => writeInt32(b, 57, 0));
    for (const batch of [sparse, empty]) {
      expect(validateBatch(batch).lastOffsetDelta).toBeGreaterThan(1);
      expect(() => validateBatch(batch, 0, { requireDense: true })).toThrow("exactly one record per offset");
    }
  });

  test("reports a damaged header as damage, not as the producer's fault", () => {
    const batch = batchWith(() => undefined);
    writeInt16(batch, 21, 7);
    expect(() => validateBatch(batch)).toThrow(expect.objectContaining({ code: "CORRUPT_MESSAGE" }));
  });

  test("finds a batch at a position, whatever lies around it", () => {
    const batch = encodeBatch([RECORD]);
    const bytes = new Uint8Array(batch.length + 20).fill(0xff);
    bytes.set(batch, 7);
    expect(validateBatch(bytes, 7)).toMatchObject({ position: 7, sizeBytes: batch.length, recordCount: 1 });
    expect(() => validateBatch(bytes, -1)).toThrow("cut short");
    expect(() => validateBatch(bytes, bytes.length + 1)).toThrow("cut short");
  });
});

describe("the leader's prefix", () => {
  test("places a batch in the log without touching what the CRC covers", () => {
    const batch = encodeBatch([RECORD, RECORD]);
    const prefix = encodeBatchPrefix(2 ** 52 + 3, batch.length - 12, 17);
    expect(prefix).toHaveLength(BATCH_PREFIX_BYTES);
    const placed = new Uint8Array([...prefix, ...batch.subarray(BATCH_PREFIX_BYTES)]);
    expect(validateBatch(placed)).toMatchObject({ baseOffset: 2 ** 52 + 3, partitionLeaderEpoch: 17 });
    const offsets = [...decodeRecords(placed)].map((record) => record.offset);
    expect(offsets).toEqual([2 ** 52 + 3, 2 ** 52 + 4]);
  });

  test("setLogAppendTime leaves the client's bytes alone", () => {
    const batch = encodeBatch([RECORD, RECORD]);
    const before = batch.slice();
    const stamped = setLogAppendTime(batch, 1_800_000_000_000);
    expect(batch).toEqual(before);
    expect(validateBatch(stamped)).toMatchObject({ timestampType: "LogAppendTime" });
    const times = [...decodeRecords(stamped)].map((record) => record.timestampMs);
    expect(times).toEqual([1_800_000_000_000, 1_800_000_000_000]);
    expect(() => setLogAppendTime(batch.subarray(0, 62), 1)).toThrow("cut short");
  });
});

test("splitBatches refuses bytes after the last batch", () => {
  const batch = encodeBatch([RECORD]);
  expect(() => splitBatches(new Uint8Array([...batch, ...batch, 0, 0]))).toThrow(
    `batch at ${2 * batch.length} is cut short`,
  );
  expect(splitBatches(new Uint8Array())).toEqual([]);
});

test("readBatchHeader needs no more than the header", () => {
  const batch = encodeBatch([RECORD]);
  expect(readBatchHeader(batch.subarray(0, 61)).sizeBytes).toBe(batch.length);
  expect(() => readBatchHeader(batch.subarray(0, 60))).toThrow("60 of 61 header bytes");
  expect(() => readBatchHeader(new Uint8Array())).toThrow("cut short");
});

test("sequences go on at 0 after 2^31 - 1", () => {
  expect(addToSequence(5, 3)).toBe(8);
  expect(addToSequence(2 ** 31 - 2, 1)).toBe(2 ** 31 - 1);
  expect(addToSequence(2 ** 31 - 1, 1)).toBe(0);
  expect(addToSequence(2 ** 31 - 1, 2 ** 31 - 1)).toBe(2 ** 31 - 2);
});

test("crc32c gives the checksum of the iSCSI standard, whole or in parts", () => {
  const digits = new TextEncoder().encode("123456789");
  expect(crc32c(digits)).toBe(0xe306_9283);
  expect(crc32c(digits.subarray(4), crc32c(digits.subarray(0, 4)))).toBe(0xe306_9283);
});

test("codec ids are Kafka's", () => {
  expect(COMPRESSIONS.map(compressionId)).toEqual([0, 1, 2, 3, 4]);
  expect([0, 1, 2, 3, 4].map(compressionFromId)).toEqual(["none", "gzip", "snappy", "lz4", "zstd"]);
});
