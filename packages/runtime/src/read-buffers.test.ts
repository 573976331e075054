import { expect, test } from "vitest";
import { ReadBuffers } from "./read-buffers.ts";

const MEBIBYTE = 1024 * 1024;

test("a buffer is used again only after it was given back, by whichever view of it", () => {
  const buffers = new ReadBuffers();
  const first = buffers.take(100_000);
  const second = buffers.take(100_000);
  expect(second.buffer).not.toBe(first.buffer);
  buffers.giveBack(first.subarray(10, 20));
  expect(buffers.take(MEBIBYTE).buffer).toBe(first.buffer);
});

test("giving back twice does not lend one buffer to two readers", () => {
  const buffers = new ReadBuffers();
  const taken = buffers.take(100_000);
  buffers.giveBack(taken.subarray(0, 10));
  buffers.giveBack(taken.subarray(10));
  expect(buffers.take(100_000).buffer).not.toBe(buffers.take(100_000).buffer);
});

test("bytes that came from elsewhere are never lent", () => {
  const buffers = new ReadBuffers();
  buffers.giveBack(new Uint8Array(MEBIBYTE));
  buffers.giveBack(new ReadBuffers().take(MEBIBYTE));
  expect(buffers.idleBytes).toBe(0);
});

test("small and large reads get memory of their own size, and no more is kept than allowed", () => {
  const buffers = new ReadBuffers(2 * MEBIBYTE);
  for (const sizeBytes of [0, 100, 2 * MEBIBYTE]) {
    const taken = buffers.take(sizeBytes);
    expect([taken.byteLength, taken.buffer.byteLength]).toEqual([sizeBytes, sizeBytes]);
    buffers.giveBack(taken);
  }
  expect(buffers.idleBytes).toBe(0);
  const taken = [1, 2, 3].map(() => buffers.take(MEBIBYTE));
  for (const one of taken) buffers.giveBack(one);
  expect(buffers.idleBytes).toBe(2 * MEBIBYTE);
});
