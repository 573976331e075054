import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { unpinned } from "./append-placement.ts";
import { type CachedBatch, TailCache } from "./tail-cache.ts";

function batch(offset: number, sizeBytes = 1000): CachedBatch {
  return { baseOffset: offset, lastOffset: offset, sizeBytes, chunks: [new Uint8Array(sizeBytes)] };
}

test("the node's budget is kept, and what came first leaves first, whoever owns it", () => {
  const cache = new TailCache(5 * 1256);
  const first = cache.openTail();
  const second = cache.openTail();
  for (let offset = 0; offset < 4; offset += 1) first.push([batch(offset)]);
  for (let offset = 0; offset < 3; offset += 1) second.push([batch(offset)]);
  expect(cache.sizeBytes).toBe(5 * 1256);
  expect([first.batchCount, second.batchCount]).toEqual([2, 3]);
  expect(first.read(1, 10, 1e6, true)).toBeUndefined();
  expect(first.read(2, 10, 1e6, true)).toMatchObject({ nextOffset: 4 });
});

test("truncation and closing give the bytes back", () => {
  const cache = new TailCache(1e6);
  const tail = cache.openTail();
  for (let offset = 0; offset < 200; offset += 1) tail.push([batch(offset, 10)]);
  tail.truncateTo(150);
  expect(tail.read(149, 1000, 1e6, true)).toMatchObject({ nextOffset: 150 });
  expect(tail.read(150, 1000, 1e6, true)).toBeUndefined();
  tail.clear();
  expect([cache.sizeBytes, tail.batchCount]).toEqual([0, 0]);
});

test("a batch that does not fit leaves no gap behind", () => {
  const cache = new TailCache(3000);
  const tail = cache.openTail();
  tail.push([batch(0), batch(1, 5000), batch(2)]);
  expect(tail.read(0, 10, 1e6, true)).toBeUndefined();
  expect(tail.read(2, 10, 1e6, true)).toMatchObject({ nextOffset: 3 });
});

test("no view keeps a much larger buffer alive, but views that fill one stay views", () => {
  const slab = new Uint8Array(1_000_000);
  const alone = { ...batch(0), chunks: [slab.subarray(0, 20_000)] };
  expect(unpinned([alone])[0]?.chunks[0]?.buffer.byteLength).toBe(20_000);
  const many = Array.from({ length: 40 }, (_, index) => ({
    ...batch(index),
    chunks: [slab.subarray(index * 20_000, (index + 1) * 20_000)],
  }));
  expect(unpinned(many)[7]?.chunks[0]?.buffer).toBe(slab.buffer);
});

test("what was dropped is free for the collector, whatever an idle log has dropped before", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const cache = new TailCache(10_000);
  const idle = cache.openTail();
  const busy = cache.openTail();
  for (let offset = 0; offset < 10; offset += 1) idle.push([batch(offset, 100)]);
  const dropped: WeakRef<CachedBatch>[] = [];
  for (let offset = 0; offset < 100; offset += 1) {
    const pushed = batch(offset);
    busy.push([pushed]);
    if (offset < 50) dropped.push(new WeakRef(pushed));
  }
  // A WeakRef lives to the end of the turn that made it.
  await new Promise((resolve) => process.nextTick(resolve));
  await Promise.resolve();
  collectGarbage();
  expect(dropped.filter((reference) => reference.deref() !== undefined)).toHaveLength(0);
});
