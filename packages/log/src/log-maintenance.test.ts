import { expect, test } from "vitest";
import { CLIENT, refusalOf, TestLog } from "./test-log.ts";

/** Ten batches of one record each; about three to a segment. */
async function filled(config = {}) {
  const fixture = new TestLog({ segmentBytes: 400, indexIntervalBytes: 100, ...config });
  const log = await fixture.open();
  for (let index = 0; index < 10; index += 1) {
    const producer = { producerId: 3, producerEpoch: 0, baseSequence: index };
    log.append(fixture.batch([`${index}`.padEnd(50, ".")], producer), {
      ...CLIENT,
      leaderEpoch: 1 + (index >> 2),
    });
  }
  await log.flush();
  expect(log.segmentCount).toBeGreaterThan(3);
  return { fixture, log };
}

test("truncation cuts at a batch boundary, and records, epochs and producers follow (R6)", async () => {
  const { fixture, log } = await filled();
  expect(await log.truncateTo(6)).toBe(6);
  expect([log.logEndOffset, log.syncedEndOffset, log.latestLeaderEpoch]).toEqual([6, 6, 2]);
  expect(await fixture.texts(log)).toHaveLength(6);
  const producer = { producerId: 3, producerEpoch: 0 };
  const repeated = fixture.batch(["5".padEnd(50, ".")], { ...producer, baseSequence: 5 });
  expect(log.append(repeated, { ...CLIENT, leaderEpoch: 5 })).toMatchObject({
    baseOffset: 5,
    duplicate: true,
  });
  const skipping = fixture.batch(["x"], { ...producer, baseSequence: 7 });
  expect(refusalOf(() => log.append(skipping, { ...CLIENT, leaderEpoch: 5 }))).toBe(
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
  );
  const next = fixture.batch(["new"], { ...producer, baseSequence: 6 });
  expect(log.append(next, { ...CLIENT, leaderEpoch: 5 })).toMatchObject({ baseOffset: 6, duplicate: false });
  await log.flush();
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  const reopened = await fixture.open();
  expect((await fixture.texts(reopened)).slice(5)).toEqual(["5".padEnd(50, "."), "new"]);
  expect(reopened.endOffsetForEpoch(4)).toEqual({ epoch: 2, endOffset: 6 });
});

test("truncation inside a batch takes the whole batch; beyond the end nothing", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  fixture.append(log, ["a", "b", "c"]);
  fixture.append(log, ["d", "e", "f"]);
  expect(await log.truncateTo(99)).toBe(6);
  expect(await log.truncateTo(4)).toBe(3);
  expect(await fixture.texts(log)).toEqual(["a", "b", "c"]);
  expect(await log.truncateTo(0)).toBe(0);
  expect(fixture.append(log, ["new"])).toMatchObject({ baseOffset: 0 });
});

test("appends are refused while a truncation runs", async () => {
  const { fixture, log } = await filled();
  const truncation = log.truncateTo(3);
  await Promise.resolve();
  await Promise.resolve();
  expect(refusalOf(() => fixture.append(log, ["x"]))).toBe("KAFKA_STORAGE_ERROR");
  await truncation;
  expect(refusalOf(() => log.append(fixture.batch(["x"]), { ...CLIENT, leaderEpoch: 9 }))).toBe("accepted");
});

test("a log that begins anew has nothing below its start, which never goes back", async () => {
  const { fixture, log } = await filled();
  await log.truncateFullyAndStartAt(100);
  expect([log.logStartOffset, log.logEndOffset, log.segmentCount, log.producerCount]).toEqual([
    100, 100, 1, 0,
  ]);
  fixture.append(log, ["x"]);
  await log.truncateFullyAndStartAt(50);
  expect([log.logStartOffset, log.logEndOffset]).toEqual([100, 50]);
  fixture.disk.crash();
  await log.abandon();
  const reopened = await fixture.open();
  expect([reopened.logStartOffset, reopened.logEndOffset]).toEqual([100, 100]);
});

test("the log start offset is on disk before the call returns, and segments below go (R14)", async () => {
  const { fixture, log } = await filled();
  const before = log.segmentCount;
  expect(await log.deleteRecordsBefore(7)).toBe(7);
  expect(await log.deleteRecordsBefore(5)).toBe(7);
  await expect(log.deleteRecordsBefore(11)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  expect(log.segmentCount).toBeLessThan(before);
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  const reopened = await fixture.open();
  expect(reopened.logStartOffset).toBe(7);
  expect(await fixture.texts(reopened)).toHaveLength(3);
});

test("a large active segment goes too when all its records are deleted, on followers as well", async () => {
  const fixture = new TestLog({ segmentBytes: 16 * 1024 * 1024 });
  const log = await fixture.open();
  for (let index = 0; index < 3; index += 1) fixture.append(log, ["x".repeat(400_000)]);
  await log.flush();
  await log.deleteRecordsBefore(2);
  expect(log.sizeBytes).toBeGreaterThan(1_000_000);
  await log.deleteRecordsBefore(3);
  expect([log.logStartOffset, log.logEndOffset, log.sizeBytes]).toEqual([3, 3, 0]);
  expect(fixture.append(log, ["next"])).toMatchObject({ baseOffset: 3 });
  await log.flush();
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  expect(await fixture.texts(await fixture.open())).toEqual(["next"]);
});

test("deleted segments keep their files, renamed, for file.delete.delay.ms", async () => {
  const { fixture, log } = await filled({ fileDeleteDelayMs: 1000 });
  await log.deleteRecordsBefore(7);
  const deleted = async () => (await fixture.names()).filter((name) => name.endsWith(".deleted")).length;
  expect(await deleted()).toBeGreaterThan(0);
  await fixture.clock.advance(1000);
  expect(await deleted()).toBe(0);
});

test("when space is short retention frees the files at once, those of earlier deletions too", async () => {
  const { fixture, log } = await filled({ fileDeleteDelayMs: 60_000, retentionBytes: 1 });
  await log.deleteRecordsBefore(4);
  const deleted = async () => (await fixture.names()).filter((name) => name.endsWith(".deleted")).length;
  expect(await deleted()).toBeGreaterThan(0);
  expect(await log.runRetention(0, 10, true)).toBeGreaterThan(0);
  expect(await deleted()).toBe(0);
  expect(await fixture.texts(log)).not.toHaveLength(0);
  await log.close();
  expect(await deleted()).toBe(0);
});

test("retention by size keeps the newest segments and all above the high watermark", async () => {
  const { log } = await filled({ retentionBytes: 500 });
  expect(await log.runRetention(0, 0)).toBe(0);
  expect(await log.runRetention(0, 4)).toBeGreaterThan(0);
  expect(log.logStartOffset).toBeLessThanOrEqual(4);
  await log.runRetention(0, 10);
  expect(log.sizeBytes).toBeGreaterThanOrEqual(500);
  expect(log.sizeBytes).toBeLessThan(900);
});

test("retention by time deletes by each segment's largest timestamp, the active one included", async () => {
  const fixture = new TestLog({ segmentBytes: 300, retentionMs: 1000, timestampAfterMaxMs: 1e9 });
  const log = await fixture.open();
  const startMs = fixture.clock.now();
  for (const passedMs of [0, 10, 5000, 20, 30, 40]) {
    fixture.append(log, ["x".repeat(100)], { timestampMs: startMs + passedMs });
  }
  await log.flush();
  expect(await log.runRetention(startMs + 1005, 6)).toBe(1);
  expect(await log.runRetention(startMs + 3000, 6)).toBe(1);
  expect(log.logStartOffset).toBe(2);
  expect(await log.runRetention(startMs + 6001, 6)).toBe(4);
  expect([log.logStartOffset, log.logEndOffset, log.sizeBytes]).toEqual([6, 6, 0]);
  expect(fixture.append(log, ["next"])).toMatchObject({ baseOffset: 6 });
});

test("retention.ms=-1 and retention.bytes=-1 keep everything", async () => {
  const { log } = await filled({ retentionMs: -1 });
  expect(await log.runRetention(Number.MAX_SAFE_INTEGER, 10)).toBe(0);
});

test("the high watermark that was checkpointed comes back, within the log", async () => {
  const { fixture, log } = await filled();
  await log.checkpoint(8);
  await log.abandon();
  let reopened = await fixture.open();
  expect(reopened.checkpointedHighWatermark).toBe(8);
  await reopened.truncateTo(5);
  await reopened.close();
  reopened = await fixture.open({ cleanShutdown: true });
  expect(reopened.recoveryReport.kind).toBe("clean");
  expect(reopened.checkpointedHighWatermark).toBe(5);
});
