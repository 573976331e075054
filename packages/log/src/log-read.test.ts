import { readBatchHeader } from "@ottla/records";
import { expect, test } from "vitest";
import { TestLog } from "./test-log.ts";

const NO_CACHE = { tailCacheBytes: 0 };

/** Ten batches of two records each, about 200 bytes a batch. */
async function filled(config = {}, resources = NO_CACHE) {
  const fixture = new TestLog({ indexIntervalBytes: 300, ...config }, resources);
  const log = await fixture.open();
  const startMs = fixture.clock.now();
  for (let index = 0; index < 10; index += 1) {
    const texts = [`${index}a`.padEnd(60, "."), `${index}b`.padEnd(60, ".")];
    fixture.append(log, texts, { timestampMs: startMs + index * 10 });
  }
  await log.flush();
  return { fixture, log, startMs };
}

test.each([{ tailCacheBytes: 0 }, { tailCacheBytes: 1_000_000 }])(
  "whole batches within bounds, %o",
  async (resources) => {
    const { log } = await filled({}, resources);
    const read = (offset: number, maxBytes: number, endOffset = 20, atLeastOneBatch = true) =>
      log.read(offset, { maxBytes, endOffset, atLeastOneBatch });
    expect(await read(5, 1)).toMatchObject({ nextOffset: 6 });
    expect(await read(5, 1, 20, false)).toEqual({ chunks: [], nextOffset: 5, sizeBytes: 0 });
    expect(await read(0, 1e6)).toMatchObject({ nextOffset: 20, sizeBytes: log.sizeBytes });
    expect(await read(0, 1e6, 7)).toMatchObject({ nextOffset: 6 });
    expect(await read(6, 1e6, 7)).toMatchObject({ nextOffset: 6, sizeBytes: 0 });
    expect(await read(20, 100)).toMatchObject({ nextOffset: 20, sizeBytes: 0 });
    const first = readBatchHeader(Buffer.concat((await read(5, 1)).chunks));
    expect([first.baseOffset, first.lastOffset]).toEqual([4, 5]);
    await expect(read(21, 1)).rejects.toMatchObject({
      code: "OFFSET_OUT_OF_RANGE",
      metadata: { offset: "21", logStartOffset: "0", logEndOffset: "20" },
    });
    await log.deleteRecordsBefore(3);
    await expect(read(2, 1)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    expect(await read(3, 1)).toMatchObject({ nextOffset: 4 });
  },
);

test("readers at the tail never touch the disk", async () => {
  const { fixture, log } = await filled({}, { tailCacheBytes: 1_000_000 });
  const fault = fixture.disk.faults.fail({ operation: "read" });
  expect(await fixture.texts(log)).toHaveLength(20);
  expect(fault.struck).toBe(0);
});

test("batches read from the disk come as one piece of memory, which nobody needs to join", async () => {
  const { log } = await filled();
  const { chunks, sizeBytes } = await log.read(0, { maxBytes: 1e6, endOffset: 20 });
  expect(chunks.map((chunk) => chunk.byteLength)).toEqual([sizeBytes]);
});

test("a damaged batch fails with its file and position, and the others can be read", async () => {
  const { fixture, log } = await filled();
  const { sizeBytes } = await log.read(0, { maxBytes: 1, endOffset: 20 });
  const file = `${fixture.directory}/00000000000000000000.log`;
  fixture.disk.flipBit(file, { position: 4 * sizeBytes + 100 });
  expect(await log.read(0, { maxBytes: 1e6, endOffset: 20 })).toMatchObject({ nextOffset: 8 });
  for (const offset of [8, 9]) {
    await expect(log.read(offset, { maxBytes: 1e6, endOffset: 20 })).rejects.toMatchObject({
      code: "CORRUPT_MESSAGE",
      metadata: { file, position: String(4 * sizeBytes), offset: String(offset), nextOffset: "10" },
    });
  }
  expect(await log.read(10, { maxBytes: 1e6, endOffset: 20 })).toMatchObject({ nextOffset: 20 });
});

test("a wrong length, offset or epoch, which no CRC covers, is noticed too (R12)", async () => {
  for (const position of [7, 8, 11, 15]) {
    const { fixture, log } = await filled();
    const { sizeBytes } = await log.read(0, { maxBytes: 1, endOffset: 20 });
    fixture.disk.flipBit(`${fixture.directory}/00000000000000000000.log`, {
      position: 4 * sizeBytes + position,
    });
    await expect(log.read(8, { maxBytes: 1e6, endOffset: 20 })).rejects.toMatchObject({
      code: "CORRUPT_MESSAGE",
    });
    expect(await log.read(10, { maxBytes: 1e6, endOffset: 20 })).toMatchObject({ nextOffset: 20 });
  }
});

test("a garbage index of a closed segment is made anew, and reads are right all the while", async () => {
  const { fixture, log } = await filled({ segmentBytes: 1100 });
  await log.close();
  const path = `${fixture.directory}/00000000000000000000.index`;
  const good = await fixture.fileBytes(path);
  await fixture.overwrite(path, 0, new Uint8Array(good.byteLength));
  const reopened = await fixture.open({ cleanShutdown: true });
  for (let offset = 0; offset < 20; offset += 1) {
    const { chunks } = await reopened.read(offset, { maxBytes: 1, endOffset: 20 });
    expect(readBatchHeader(Buffer.concat(chunks)).baseOffset).toBe(offset - (offset % 2));
  }
  expect(await fixture.fileBytes(path)).toEqual(good);
});

test("offsets are found by time, across segments and below the bound", async () => {
  const { log, startMs } = await filled({ segmentBytes: 500 });
  const at = async (passedMs: number, endOffset = 20) =>
    (await log.offsetForTimestamp(startMs + passedMs, endOffset))?.offset;
  expect(await at(-5)).toBe(0);
  expect(await at(0)).toBe(0);
  expect(await at(1)).toBe(2);
  expect(await at(50)).toBe(10);
  expect(await at(90)).toBe(18);
  expect(await at(91)).toBeUndefined();
  expect(await at(90, 18)).toBeUndefined();
  expect(await log.maxTimestampOffset(20)).toEqual({ offset: 18, timestampMs: startMs + 90, leaderEpoch: 1 });
  expect(await log.maxTimestampOffset(9)).toMatchObject({ offset: 6 });
  await log.deleteRecordsBefore(11);
  expect(await at(0)).toBe(11);
});

test("a reader whose segment is truncated or deleted under it sees either state, never a mix", async () => {
  const { fixture, log } = await filled({ segmentBytes: 500 });
  const stall = fixture.disk.faults.stall({ operation: "read", path: /00012\.log$/, times: 1 });
  const late = log.read(12, { maxBytes: 1e6, endOffset: 20 });
  await fixture.clock.runUntilIdle();
  expect(stall.waiting).toBe(1);
  expect(await log.truncateTo(7)).toBe(6);
  stall.release();
  await expect(late).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  expect(await fixture.texts(log)).toHaveLength(6);
  await log.deleteRecordsBefore(5);
  await expect(log.read(3, { maxBytes: 1, endOffset: 20 })).rejects.toMatchObject({
    code: "OFFSET_OUT_OF_RANGE",
  });
});
