import { decodeBatches } from "@ottla/records";
import { ReadBuffers } from "@ottla/runtime";
import { expect, test } from "vitest";
import type { SegmentedLog } from "./segmented-log.ts";
import { TestLog } from "./test-log.ts";

const RECORDS = 12;
/** One batch fits, two do not. */
const MAX_BYTES = 1_000;

/** A log of batches with one record each, and what it holds ahead. Nothing is in memory but that. */
async function filled(readAheadBytes = 10 * MAX_BYTES) {
  const readBuffers = new ReadBuffers();
  const fixture = new TestLog({}, { tailCacheBytes: 0, readAheadBytes, readBuffers });
  const resources = fixture.resources();
  const log = await fixture.open({ resources });
  for (let index = 0; index < RECORDS; index += 1) fixture.append(log, [`${index}`.padEnd(600, ".")]);
  await log.flush();
  return { fixture, log, readBuffers, ahead: resources.readAhead };
}

async function textAt(log: SegmentedLog, offset: number, endOffset = RECORDS): Promise<string[]> {
  const { chunks } = await log.read(offset, { maxBytes: MAX_BYTES, endOffset });
  const records = [...decodeBatches(Buffer.concat(chunks))];
  return records.map(({ value }) => new TextDecoder().decode(value ?? undefined).replaceAll(".", ""));
}

test("who reads in order gets what was read meanwhile, and who begins anywhere costs one read", async () => {
  const { log, fixture, ahead } = await filled();
  expect(await textAt(log, 7)).toEqual(["7"]);
  expect(ahead.takenBytes).toBe(0);
  expect(await textAt(log, 0)).toEqual(["0"]);
  expect(await textAt(log, 1)).toEqual(["1"]);
  expect(ahead.takenBytes).toBe(MAX_BYTES);
  // What is read ahead from now on fails, so that only the record after is known.
  await fixture.clock.advance(10);
  const fault = fixture.disk.faults.fail({ operation: "read" });
  expect(await textAt(log, 2)).toEqual(["2"]);
  await expect(textAt(log, 3)).rejects.toThrow("EIO");
  expect(fault.struck).toBe(2);
});

test("a read ahead that failed is done again by the reader that comes for it", async () => {
  const { log, fixture } = await filled();
  for (const offset of [0, 1]) await textAt(log, offset);
  await fixture.clock.advance(10);
  const fault = fixture.disk.faults.fail({ operation: "read", times: 1 });
  expect(await textAt(log, 2)).toEqual(["2"]);
  await fixture.clock.advance(10);
  expect(fault.struck).toBe(1);
  expect(await textAt(log, 3)).toEqual(["3"]);
});

test("records that were cut off are not served from what was read before", async () => {
  const { log, fixture } = await filled();
  await textAt(log, 0);
  await textAt(log, 1);
  await log.truncateTo(2);
  fixture.append(log, ["another"]);
  await log.flush();
  expect(await textAt(log, 2, 3)).toEqual(["another"]);
});

test("what became visible since is served too", async () => {
  const { log } = await filled();
  const read = (offset: number, endOffset: number) => log.read(offset, { maxBytes: 2_000, endOffset });
  await read(0, 3);
  await read(2, 3);
  expect((await read(0, 4)).nextOffset).toBe(2);
  expect((await read(2, 4)).nextOffset).toBe(4);
  const { log: other } = await filled();
  await other.read(0, { maxBytes: 2_000, endOffset: 5 });
  await other.read(2, { maxBytes: 2_000, endOffset: 5 });
  expect((await other.read(4, { maxBytes: 2_000, endOffset: 6 })).nextOffset).toBe(6);
});

test("what nobody comes for is dropped after a second, and all of it with the log", async () => {
  const { log, fixture, ahead } = await filled();
  await textAt(log, 0);
  await textAt(log, 1);
  await fixture.clock.advance(2_500);
  expect(ahead.takenBytes).toBe(0);
  await textAt(log, 2);
  expect(ahead.takenBytes).toBe(MAX_BYTES);
  await log.close();
  expect(ahead.takenBytes).toBe(0);
});

test("with more readers than room the first keep theirs, and the others read for themselves", async () => {
  const { log, ahead } = await filled(MAX_BYTES);
  for (const offset of [0, 1, 5, 6]) expect(await textAt(log, offset)).toEqual([`${offset}`]);
  expect(ahead.takenBytes).toBe(MAX_BYTES);
  for (const offset of [2, 7, 8, 3]) expect(await textAt(log, offset)).toEqual([`${offset}`]);
  expect(ahead.takenBytes).toBe(MAX_BYTES);
});
