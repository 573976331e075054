import { describe, expect, test } from "vitest";
import { BatchBuilder, encodeBatch } from "./batch-builder.ts";
import { validateBatch } from "./batch-header.ts";
import { decodeRecords } from "./decode-records.ts";

const RECORD = { timestampMs: 5, key: null, value: Uint8Array.of(1) };

describe("BatchBuilder", () => {
  test.each([Number.NaN, 1.5, -2, 2 ** 53, Number.POSITIVE_INFINITY])(
    "refuses timestamp %s",
    (timestampMs) => {
      const builder = new BatchBuilder();
      expect(() => builder.append({ ...RECORD, timestampMs })).toThrow(
        expect.objectContaining({ code: "INVALID_TIMESTAMP" }),
      );
      expect(builder.recordCount).toBe(0);
    },
  );

  test("refuses offset deltas that do not grow, and is as before", () => {
    const builder = new BatchBuilder();
    builder.append(RECORD, 4);
    const sizeBytes = builder.sizeBytes;
    for (const offsetDelta of [4, 3, -1, 2 ** 31, 5.5]) {
      expect(() => builder.append(RECORD, offsetDelta)).toThrow(`offset delta ${offsetDelta}`);
    }
    expect(builder.sizeBytes).toBe(sizeBytes);
    builder.append(RECORD);
    expect([...decodeRecords(builder.build())].map((record) => record.offset)).toEqual([4, 5]);
  });

  test("refuses a batch beyond the format's int32 before it takes the memory", () => {
    const builder = new BatchBuilder();
    const value = new Proxy(new Uint8Array(1), {
      get: (target, property) => (property === "length" ? 2 ** 31 : Reflect.get(target, property)),
    });
    expect(() => builder.append({ ...RECORD, value })).toThrow(
      expect.objectContaining({ code: "RECORD_LIST_TOO_LARGE" }),
    );
  });

  test("refuses an empty batch, and producer fields that do not belong together", () => {
    expect(() => encodeBatch([])).toThrow("at least one record");
    expect(() => encodeBatch([RECORD], { isTransactional: true })).toThrow("need all three");
    expect(() => encodeBatch([RECORD], { producerId: 1 })).toThrow("need all three");
    expect(() => encodeBatch([RECORD], { producerId: 1, producerEpoch: 0 })).toThrow("need all three");
  });

  test("takes the producer's fields when it builds, because they may come late", () => {
    const builder = new BatchBuilder({ compression: "lz4" });
    builder.append(RECORD);
    const producer = { producerId: 3, producerEpoch: 1, baseSequence: 9 };
    expect(validateBatch(builder.build(producer))).toMatchObject(producer);
    expect(validateBatch(builder.build())).toMatchObject({ producerId: -1 });
  });

  test("hands out bytes that later appends do not change", () => {
    const builder = new BatchBuilder();
    builder.append(RECORD);
    const first = builder.build();
    const copy = first.slice();
    builder.append(RECORD);
    builder.reset();
    builder.append({ ...RECORD, value: Uint8Array.of(9, 9, 9) });
    expect(first).toEqual(copy);
    expect(first.buffer.byteLength).toBe(first.length);
  });
});

describe("decodeRecords", () => {
  test("reads nothing before the first record is asked for", () => {
    const broken = encodeBatch([RECORD, RECORD], { compression: "zstd" }).fill(0, 61);
    const records = decodeRecords(broken);
    expect(() => [...records]).toThrow("zstd data cannot be decompressed");
    expect(() => decodeRecords(new Uint8Array())).not.toThrow();
  });

  test("can be walked twice and left early", () => {
    const records = decodeRecords(encodeBatch([RECORD, RECORD, RECORD]));
    for (const record of records) {
      expect(record.offset).toBe(0);
      break;
    }
    expect([...records]).toHaveLength(3);
    const walk = records[Symbol.iterator]();
    walk.next();
    walk.return?.();
    expect(walk.next()).toEqual({ done: true, value: undefined });
  });

  test("gives views of the batch, as plain arrays even when the batch is a Buffer", () => {
    const value = new Uint8Array(100).fill(7);
    const batch = Buffer.from(encodeBatch([{ timestampMs: 1, key: Uint8Array.of(1), value }]));
    const [record] = decodeRecords(batch);
    expect(record?.value?.buffer).toBe(batch.buffer);
    expect(record?.value?.constructor).toBe(Uint8Array);
    expect(record?.value).toEqual(value);
  });
});
