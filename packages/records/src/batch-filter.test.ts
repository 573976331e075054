import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BatchBuilder, encodeBatch } from "./batch-builder.ts";
import { BatchFilter, emptiedBatch, type FilteredBatch } from "./batch-filter.ts";
import { readBatchHeader, setLogAppendTime, validateBatch } from "./batch-header.ts";
import { inlineCodecs, pooledCodecs } from "./codecs/codecs.ts";
import { COMPRESSIONS } from "./compression.ts";
import { decodeRecords } from "./decode-records.ts";
import type { DecodedRecord } from "./record.ts";

const HORIZON_MS = 5_000_000_000_000;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Keeps the records that `wanted` wants, and says what the walk saw. */
async function filter(batch: Uint8Array, wanted: (offset: number) => boolean, codecs = inlineCodecs) {
  const header = readBatchHeader(batch);
  const records = await BatchFilter.open(batch, header, codecs);
  const seen: { offset: number; key: string | null; hasValue: boolean }[] = [];
  while (records.next()) {
    const { offset, keyStart, keyEnd, hasValue } = records;
    const key = keyStart < 0 ? null : Buffer.from(records.bytes.subarray(keyStart, keyEnd)).toString("hex");
    seen.push({ offset, key, hasValue });
    if (wanted(offset)) records.keep();
  }
  return { seen, result: await records.finish(HORIZON_MS) };
}

const record = fc.record({
  timestampMs: fc.integer({ min: 0, max: 2_000_000_000_000 }),
  key: fc.option(fc.uint8Array({ maxLength: 20 })),
  value: fc.option(fc.uint8Array({ maxLength: 300 })),
  headers: fc.array(
    fc.record({ key: fc.string({ maxLength: 5 }), value: fc.option(fc.uint8Array({ maxLength: 5 })) }),
    {
      maxLength: 2,
    },
  ),
});

test("what is kept is as it was, at its offset, and all else of the batch stays", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.tuple(record, fc.boolean(), fc.integer({ min: 1, max: 100 })), {
      minLength: 1,
      maxLength: 40,
    }),
    fc.constantFrom(...COMPRESSIONS),
    fc.constantFrom("CreateTime" as const, "LogAppendTime" as const),
    fc.boolean(),
    fc.constantFrom(inlineCodecs, pooledCodecs),
    async (records, compression, timestampType, hasHorizon, codecs) => {
      const options = { compression, timestampType, baseOffset: 1000, partitionLeaderEpoch: 7 };
      const builder = new BatchBuilder({
        ...options,
        producerId: 5,
        producerEpoch: 1,
        baseSequence: 3,
        ...(hasHorizon && { deleteHorizonMs: 77 }),
      });
      let delta = -1;
      const wanted = new Set<number>();
      for (const [input, isWanted, gap] of records) {
        delta += gap;
        builder.append(input, delta);
        if (isWanted) wanted.add(1000 + delta);
      }
      const batch = builder.build();
      const before = [...decodeRecords(batch)];
      const { seen, result } = await filter(batch, (offset) => wanted.has(offset), codecs);
      expect(seen.map(({ offset }) => offset)).toEqual(before.map(({ offset }) => offset));
      const hex = (bytes: Uint8Array | null): string | null => bytes && Buffer.from(bytes).toString("hex");
      expect(seen.map(({ key }) => key)).toEqual(before.map(({ key }) => hex(key)));
      expect(seen.map(({ hasValue }) => hasValue)).toEqual(before.map(({ value }) => value !== null));
      const kept = before.filter(({ offset }) => wanted.has(offset));
      expectKept(batch, before, kept, result);
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

function expectKept(
  batch: Uint8Array,
  before: readonly DecodedRecord[],
  kept: readonly DecodedRecord[],
  result: FilteredBatch,
): void {
  const header = readBatchHeader(batch);
  const setsHorizon = !header.hasDeleteHorizon && kept.some(({ value }) => value === null);
  const isUnchanged = kept.length === before.length && !setsHorizon;
  expect(result.kind).toBe(kept.length === 0 ? "empty" : isUnchanged ? "unchanged" : "changed");
  if (result.kind !== "changed") return;
  const after = validateBatch(result.bytes);
  expect([...decodeRecords(result.bytes)]).toEqual(kept);
  expect(after).toMatchObject({
    baseOffset: header.baseOffset,
    lastOffset: header.lastOffset,
    partitionLeaderEpoch: header.partitionLeaderEpoch,
    compression: header.compression,
    timestampType: header.timestampType,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    lastSequence: header.lastSequence,
    recordCount: kept.length,
    hasDeleteHorizon: header.hasDeleteHorizon || setsHorizon,
    maxTimestamp: Math.max(...kept.map(({ timestampMs }) => timestampMs)),
  });
  expect(after.baseTimestamp).toBe(setsHorizon ? HORIZON_MS : header.baseTimestamp);
  expect(result.maxTimestampMs).toBe(after.maxTimestamp);
}

test("an emptied batch keeps its offsets and its producer's sequence, and clients pass over it", async () => {
  const batch = setLogAppendTime(
    encodeBatch(
      ["a", "b"].map((text) => ({ timestampMs: 5, key: bytesOf(text), value: bytesOf(text) })),
      { compression: "zstd", baseOffset: 40, producerId: 5, producerEpoch: 1, baseSequence: 3 },
    ),
    99,
  );
  const empty = emptiedBatch(batch, readBatchHeader(batch));
  expect(validateBatch(empty)).toMatchObject({
    baseOffset: 40,
    lastOffset: 41,
    lastSequence: 4,
    recordCount: 0,
    compression: "none",
    maxTimestamp: 99,
    timestampType: "LogAppendTime",
  });
  expect([...decodeRecords(empty)]).toEqual([]);
  expect((await filter(empty, () => true)).result.kind).toBe("empty");
});

test("malformed records are refused, whatever bytes are wrong", async () => {
  const batch = encodeBatch(
    ["a", "b", "c"].map((text) => ({ timestampMs: 5, key: bytesOf(text), value: bytesOf(text) })),
  );
  const where = fc.integer({ min: 61, max: batch.length - 1 });
  const property = fc.asyncProperty(where, fc.nat(255), async (at, byte) => {
    const damaged = new Uint8Array(batch);
    damaged[at] = byte;
    expect(["accepted", "INVALID_RECORD"]).toContain(await refusalOf(filter(damaged, () => true)));
  });
  await fc.assert(property, { numRuns: 500 });
});

async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return (error as { readonly code?: string }).code ?? String(error);
  }
  return "accepted";
}
