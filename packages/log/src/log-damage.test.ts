import { expect, test } from "vitest";
import type { SegmentedLog } from "./segmented-log.ts";
import { replicate, TestLog } from "./test-log.ts";

async function filled(fixture: TestLog, count = 10): Promise<SegmentedLog> {
  const log = await fixture.open();
  for (let index = 0; index < count; index += 1) fixture.append(log, [`${index}`.repeat(40)]);
  await log.flush();
  return log;
}

test("a mark of damage is durable, takes the lowest offset, and goes when it is cleared", async () => {
  const fixture = new TestLog();
  let log = await filled(fixture);
  expect(log.damagedFrom).toBeUndefined();
  await log.markDamaged(6);
  await log.markDamaged(8);
  expect(log.damagedFrom).toBe(6);
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  log = await fixture.open();
  expect(log.damagedFrom).toBe(6);
  await log.checkpoint(10);
  await log.close();
  log = await fixture.open({ cleanShutdown: true });
  expect([log.recoveryReport.kind, log.damagedFrom]).toEqual(["clean", 6]);
  await log.clearDamage();
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  expect((await fixture.open()).damagedFrom).toBeUndefined();
});

test("the mark stays while the log is cut and filled again, until that is done", async () => {
  const fixture = new TestLog();
  const source = await filled(new TestLog());
  const log = await filled(fixture);
  await log.markDamaged(6);
  await log.truncateTo(6);
  await replicate(source, log);
  expect([log.logEndOffset, log.damagedFrom]).toEqual([10, 6]);
  await log.truncateFullyAndStartAt(20);
  expect(log.damagedFrom).toBe(6);
});

test("a log that recovers to less than it knew to be committed is damaged from there (R12)", async () => {
  // Relaxed: the high watermark is beyond what is on disk.
  const fixture = new TestLog({ flushMessages: 1000 });
  const log = await filled(fixture, 4);
  for (let index = 0; index < 4; index += 1) fixture.append(log, ["unsynced"]);
  await expect.poll(() => log.writtenEndOffset).toBe(8);
  await log.checkpoint(7);
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  const reopened = await fixture.open();
  expect([reopened.logEndOffset, reopened.damagedFrom]).toEqual([4, 4]);
  expect(reopened.checkpointedHighWatermark).toBe(4);
  fixture.disk.crash({ unsynced: "lost" });
  await reopened.abandon();
  expect((await fixture.open()).damagedFrom).toBe(4);
});

test("bit rot that recovery finds marks the log, from the first record of it", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  await log.checkpoint(10);
  await log.abandon();
  const path = `${fixture.directory}/00000000000000000000.log`;
  const bytes = await fixture.fileBytes(path);
  await fixture.overwrite(path, Math.floor(bytes.byteLength / 2) + 40, Uint8Array.of(1, 2, 3));
  const reopened = await fixture.open();
  const [range] = reopened.recoveryReport.damagedRanges;
  expect(range?.fromOffset).toBeGreaterThan(0);
  expect(reopened.damagedFrom).toBe(range?.fromOffset);
  // It is cut there, filled again, and whole.
  const source = await filled(new TestLog());
  expect(await reopened.truncateTo(reopened.damagedFrom ?? 0)).toBe(range?.fromOffset);
  await replicate(source, reopened);
  await reopened.clearDamage();
  expect(await fixture.texts(reopened)).toEqual(
    Array.from({ length: 10 }, (_, index) => `${index}`.repeat(40)),
  );
});

test("a truncation cuts at a boundary before the damage, whatever the index says", async () => {
  const fixture = new TestLog({ indexIntervalBytes: 1 });
  const log = await filled(fixture);
  const path = `${fixture.directory}/00000000000000000000.log`;
  const bytes = await fixture.fileBytes(path);
  const batchBytes = bytes.byteLength / 10;
  await fixture.overwrite(path, batchBytes * 5 + 70, Uint8Array.of(1, 2, 3));
  expect(await log.truncateTo(6)).toBe(5);
  const source = await filled(new TestLog());
  await replicate(source, log);
  expect(await fixture.texts(log)).toHaveLength(10);
});

test("a log whose files are gone with committed records is damaged from its start", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  await log.deleteRecordsBefore(2);
  await log.checkpoint(9);
  await log.abandon();
  await fixture.disk.remove(`${fixture.directory}/00000000000000000000.log`);
  const reopened = await fixture.open();
  expect([reopened.recoveryReport.kind, reopened.damagedFrom]).toEqual(["created", 2]);
});

test("a log that was there and has lost its checkpoint is damaged from its end on (R9)", async () => {
  for (const cleanShutdown of [false, true]) {
    const fixture = new TestLog();
    await (await filled(fixture)).close();
    await fixture.disk.removeDirectory(fixture.directory);
    let log = await fixture.open({ cleanShutdown, wasThere: true });
    expect([log.logEndOffset, log.damagedFrom]).toEqual([0, 0]);
    await replicate(await filled(new TestLog()), log);
    await log.clearDamage();
    await log.close();
    await fixture.disk.remove(`${fixture.directory}/log-checkpoint`);
    log = await fixture.open({ cleanShutdown, wasThere: true });
    expect([log.logEndOffset, log.damagedFrom]).toEqual([10, 10]);
  }
});

test("a new log is whole, and stays so with its checkpoint", async () => {
  const fixture = new TestLog();
  expect((await fixture.open()).damagedFrom).toBeUndefined();
  fixture.disk.crash({ unsynced: "lost" });
  expect((await fixture.open({ wasThere: true })).damagedFrom).toBeUndefined();
});
