import { encodeBatch, encodeControlBatch } from "@ottla/records";
import { VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { joinChunks, type RecordSlice, sliceRecords } from "./record-slices.ts";

function batchAt(baseOffset: number, values: readonly string[]): Uint8Array {
  const records = values.map((value) => ({
    timestampMs: 1,
    key: null,
    value: new TextEncoder().encode(value),
  }));
  return encodeBatch(records, { baseOffset, compression: "gzip" });
}

async function slicesOf(bytes: Uint8Array, fromOffset: number, nextOffset: number, maxBytes: number) {
  const { signal } = new AbortController();
  const slices: RecordSlice[] = [];
  const options = { fromOffset, nextOffset, maxBytes, clock: new VirtualClock(), signal };
  for await (const slice of sliceRecords(bytes, options)) slices.push(slice);
  return slices.map((slice) => [slice.records.map(({ offset }) => Number(offset)), slice.nextOffset]);
}

test("records before the offset asked for are left out, and slices say where to go on", async () => {
  const bytes = Buffer.concat([batchAt(10, ["a", "b", "c"]), batchAt(13, ["d"])]);
  expect(await slicesOf(bytes, 11, 14, 1_000)).toEqual([[[11, 12, 13], 14]]);
  expect(await slicesOf(bytes, 11, 14, 1)).toEqual([
    [[11], 12],
    [[12], 13],
    [[13], 14],
    [[], 14],
  ]);
});

test("control batches are skipped, and the reader goes on behind them", async () => {
  const control = encodeControlBatch(
    { type: "abort", coordinatorEpoch: 0 },
    { timestampMs: 1, baseOffset: 5, producerId: 1, producerEpoch: 0 },
  );
  expect(await slicesOf(control, 5, 6, 1_000)).toEqual([[[], 6]]);
});

test("a reader that leaves ends the decoding", async () => {
  const bytes = batchAt(0, ["a", "b", "c"]);
  const iterator = sliceRecords(bytes, {
    fromOffset: 0,
    nextOffset: 3,
    maxBytes: 1,
    clock: new VirtualClock(),
    signal: new AbortController().signal,
  });
  expect((await iterator.next()).done).toBe(false);
  expect(await iterator.return(undefined)).toMatchObject({ done: true });
});

test("chunks are joined, and a single one is not copied", () => {
  const one = new Uint8Array([1, 2]);
  expect(joinChunks([one], 2)).toBe(one);
  expect([...joinChunks([one, new Uint8Array([3])], 3)]).toEqual([1, 2, 3]);
  expect(joinChunks([], 0).length).toBe(0);
});
