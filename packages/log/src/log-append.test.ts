import { decodeBatches, readBatchHeader, validateBatch } from "@ottla/records";
import { expect, test } from "vitest";
import { OpenFiles } from "./open-files.ts";
import { CLIENT, refusalOf, TestLog } from "./test-log.ts";

test("offsets follow on and an acknowledged batch is on disk", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  expect(fixture.append(log, ["a", "b"])).toMatchObject({ baseOffset: 0, lastOffset: 1, recordCount: 2 });
  expect(fixture.append(log, ["c"])).toMatchObject({ baseOffset: 2, lastOffset: 2, logAppendTimeMs: -1 });
  expect(log.logEndOffset).toBe(3);
  expect(log.syncedEndOffset).toBe(0);
  await log.flush();
  expect(log.syncedEndOffset).toBe(3);
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  expect(await fixture.texts(await fixture.open())).toEqual(["a", "b", "c"]);
});

test("the caller's bytes are never changed, large or small", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  for (const size of [10, 100_000]) {
    fixture.append(log, ["first"]);
    const batch = fixture.batch(["x".repeat(size)]);
    const before = new Uint8Array(batch);
    log.append(batch, CLIENT);
    await log.flush();
    expect(batch).toEqual(before);
  }
});

test("a Buffer that its owner uses again does not change what was appended", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const batch = Buffer.from(fixture.batch(["kept"]));
  log.append(batch, CLIENT);
  batch.fill(0);
  await log.flush();
  expect(await fixture.texts(log)).toEqual(["kept"]);
});

test("appends of one turn travel in one write and one sync", async () => {
  let writes = 0;
  let syncs = 0;
  const metrics = {
    observeWrite: () => void (writes += 1),
    observeSync: () => undefined,
    observeSyncedBatches: () => void (syncs += 1),
    countTailCacheHit: () => undefined,
    countTailCacheMiss: () => undefined,
    countCorruptRead: () => undefined,
  };
  const fixture = new TestLog({}, { metrics });
  const log = await fixture.open();
  for (let index = 0; index < 50; index += 1) fixture.append(log, [`${index}`]);
  await log.flush();
  expect([writes, syncs]).toEqual([1, 1]);
});

test("max.message.bytes and segment.bytes refuse an append whole: nothing of it is stored", async () => {
  const fixture = new TestLog({ maxMessageBytes: 1000, segmentBytes: 1500 });
  const log = await fixture.open();
  const large = fixture.batch(["x".repeat(1000)]);
  const small = fixture.batch(["y".repeat(800)]);
  expect(refusalOf(() => log.append(large, CLIENT))).toBe("MESSAGE_TOO_LARGE");
  expect(refusalOf(() => log.append(Buffer.concat([small, large]), CLIENT))).toBe("MESSAGE_TOO_LARGE");
  expect(refusalOf(() => log.append(Buffer.concat([small, small]), CLIENT))).toBe("RECORD_LIST_TOO_LARGE");
  expect(log.logEndOffset).toBe(0);
  log.append(small, CLIENT);
  expect(log.logEndOffset).toBe(1);
});

test("timestamps outside the topic's bounds are refused", async () => {
  const fixture = new TestLog({ timestampBeforeMaxMs: 1000, timestampAfterMaxMs: 500 });
  const log = await fixture.open();
  const at = (timestampMs: number) => refusalOf(() => fixture.append(log, ["a"], { timestampMs }));
  const nowMs = fixture.clock.now();
  expect([at(nowMs - 1001), at(nowMs - 1000)]).toEqual(["INVALID_TIMESTAMP", "accepted"]);
  expect([at(nowMs + 501), at(nowMs + 500)]).toEqual(["INVALID_TIMESTAMP", "accepted"]);
});

test("LogAppendTime gives all records the node's time and a valid CRC", async () => {
  const fixture = new TestLog({ messageTimestampType: "LogAppendTime" });
  const log = await fixture.open();
  const appended = fixture.append(log, ["a", "b"], { timestampMs: 5 });
  expect(appended.logAppendTimeMs).toBe(fixture.clock.now());
  await log.flush();
  const { chunks } = await log.read(0, { maxBytes: 1000, endOffset: 2 });
  const bytes = Buffer.concat(chunks);
  expect(validateBatch(bytes).timestampType).toBe("LogAppendTime");
  for (const record of decodeBatches(bytes)) expect(record.timestampMs).toBe(appended.logAppendTimeMs);
});

test("damaged bytes, empty appends and control batches of clients are refused", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const batch = fixture.batch(["a"]);
  batch[batch.byteLength - 1] = 99;
  expect(refusalOf(() => log.append(batch, CLIENT))).toBe("CORRUPT_MESSAGE");
  expect(refusalOf(() => log.append(new Uint8Array(0), CLIENT))).toBe("INVALID_RECORD");
  expect(refusalOf(() => log.append(new Uint8Array(40), CLIENT))).not.toBe("accepted");
  expect(
    refusalOf(() => log.append(fixture.batch(["a"]).subarray(0, 65), { ...CLIENT, validated: true })),
  ).toBe("CORRUPT_MESSAGE");
  expect(log.logEndOffset).toBe(0);
});

test("a retry is recognised before expectedEndOffset is checked; another append is not", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const producer = { producerId: 9, producerEpoch: 0, baseSequence: 0 };
  const batch = fixture.batch(["a"], producer);
  const options = { ...CLIENT, expectedEndOffset: 0 };
  const first = log.append(batch, options);
  expect(log.append(batch, options)).toEqual({ ...first, duplicate: true });
  expect(refusalOf(() => log.append(fixture.batch(["b"]), options))).toBe("END_OFFSET_MISMATCH");
  expect(log.logEndOffset).toBe(1);
});

test("a leader of an older epoch is fenced; batches carry the epoch they were written in", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  log.append(fixture.batch(["a"]), { ...CLIENT, leaderEpoch: 4 });
  expect(refusalOf(() => log.append(fixture.batch(["b"]), { ...CLIENT, leaderEpoch: 3 }))).toBe(
    "FENCED_LEADER_EPOCH",
  );
  log.beginLeaderEpoch(6);
  log.append(fixture.batch(["c"]), { ...CLIENT, leaderEpoch: 6 });
  await log.flush();
  const { chunks } = await log.read(1, { maxBytes: 1000, endOffset: 2 });
  expect(readBatchHeader(Buffer.concat(chunks)).partitionLeaderEpoch).toBe(6);
  expect(log.leaderEpochAt(0)).toBe(4);
  expect(log.endOffsetForEpoch(5)).toEqual({ epoch: 4, endOffset: 1 });
  expect(log.endOffsetForEpoch(6)).toEqual({ epoch: 6, endOffset: 2 });
  expect(log.endOffsetForEpoch(3)).toBeUndefined();
});

test("a follower keeps offsets and epochs, and takes no gap", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const replica = { leaderEpoch: -1, validated: false, origin: "replica" } as const;
  const batch = (baseOffset: number, partitionLeaderEpoch: number) =>
    fixture.batch(["a", "b"], { baseOffset, partitionLeaderEpoch });
  expect(log.append(Buffer.concat([batch(0, 3), batch(2, 5)]), replica)).toMatchObject({
    baseOffset: 0,
    lastOffset: 3,
  });
  expect(refusalOf(() => log.append(batch(5, 5), replica))).toBe("CORRUPT_MESSAGE");
  expect(refusalOf(() => log.append(batch(4, 4), replica))).toBe("FENCED_LEADER_EPOCH");
  await log.flush();
  expect(log.leaderEpochAt(2)).toBe(5);
});

test("a full disk fails the appends that found no place, and the log goes on", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  fixture.append(log, ["a"], { producerId: 1, producerEpoch: 0, baseSequence: 0 });
  await log.flush();
  const failures: number[] = [];
  log.onAppendsFailed((fromOffset, error) => {
    failures.push(fromOffset);
    expect(error.code).toBe("KAFKA_STORAGE_ERROR");
  });
  fixture.disk.faults.fail({ operation: "write", path: /\.log$/, times: 1 }, "ENOSPC");
  const retried = fixture.batch(["b"], { producerId: 1, producerEpoch: 0, baseSequence: 1 });
  log.append(retried, { ...CLIENT, leaderEpoch: 2 });
  const next = fixture.batch(["c"], { producerId: 1, producerEpoch: 0, baseSequence: 2 });
  log.append(next, { ...CLIENT, leaderEpoch: 2 });
  await log.flush();
  expect(failures).toEqual([1]);
  expect([log.logEndOffset, log.latestLeaderEpoch, log.failure]).toEqual([1, 1, undefined]);
  expect(log.append(retried, CLIENT)).toMatchObject({ baseOffset: 1, duplicate: false });
  await log.flush();
  expect(await fixture.texts(log)).toEqual(["a", "b"]);
});

test("a failed sync is never tried again: the log fails, and what it had not synced is cut", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  fixture.append(log, ["a"]);
  await log.flush();
  const fault = fixture.disk.faults.fail({ operation: "sync" });
  fixture.append(log, ["b"]);
  const failed = new Promise((resolve) => log.onFailed(resolve));
  await expect(log.flush()).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  expect(await failed).toBe(log.failure);
  expect(fault.struck).toBe(1);
  expect(refusalOf(() => fixture.append(log, ["c"]))).toBe("KAFKA_STORAGE_ERROR");
  expect([log.syncedEndOffset, log.flushedEndOffset]).toEqual([1, 1]);
  await log.abandon();
  fault.remove();
  const reopened = await fixture.open({ cutFrom: log.flushedEndOffset });
  expect(await fixture.texts(reopened)).toEqual(["a"]);
});

test("relaxed flush policies acknowledge at once and sync by count and by time", async () => {
  const fixture = new TestLog({ flushMessages: 3, flushMs: 100 });
  const log = await fixture.open();
  const settle = () => fixture.clock.runUntilIdle();
  fixture.append(log, ["a", "b"]);
  await settle();
  expect([log.syncedEndOffset, log.flushedEndOffset]).toEqual([2, 0]);
  fixture.append(log, ["c"]);
  await settle();
  expect(log.flushedEndOffset).toBe(3);
  fixture.append(log, ["d"]);
  await fixture.clock.advance(99);
  expect(log.flushedEndOffset).toBe(3);
  await fixture.clock.advance(1);
  expect(log.flushedEndOffset).toBe(4);
});

test("a sync covers only what was written before it began", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const stall = fixture.disk.faults.stall({ operation: "sync", path: /\.log$/, times: 1 });
  fixture.append(log, ["a"]);
  await fixture.clock.runUntilIdle();
  fixture.append(log, ["b"]);
  await fixture.clock.runUntilIdle();
  expect([log.writtenEndOffset, log.syncedEndOffset]).toEqual([2, 0]);
  const seen: number[] = [];
  log.onProgress(() => seen.push(log.syncedEndOffset));
  stall.release();
  await log.flush();
  expect(seen).toEqual([1, 2]);
});

test("segments roll by size, by time and by a full index", async () => {
  const bySize = new TestLog({ segmentBytes: 300 });
  let log = await bySize.open();
  for (let index = 0; index < 4; index += 1) bySize.append(log, ["x".repeat(100)]);
  await log.flush();
  expect(log.segmentCount).toBe(4);

  const byTime = new TestLog({ segmentMs: 1000, timestampAfterMaxMs: 1e9 });
  log = await byTime.open();
  const startMs = byTime.clock.now();
  for (const passedMs of [0, 1000, 1001, 1500, 2002])
    byTime.append(log, ["x"], { timestampMs: startMs + passedMs });
  await log.flush();
  expect(log.segmentCount).toBe(3);

  const byIndex = new TestLog({ segmentIndexBytes: 48, indexIntervalBytes: 1 });
  log = await byIndex.open();
  for (let index = 0; index < 20; index += 1) {
    byIndex.append(log, ["x"]);
    await log.flush();
  }
  expect(log.segmentCount).toBeGreaterThan(2);
  const names = await byIndex.names();
  expect(names.filter((name) => name.endsWith(".snapshot"))).toHaveLength(log.segmentCount - 1);
});

test("too many queued bytes and a full-disk guard refuse appends", async () => {
  const fixture = new TestLog();
  const log = await fixture.open({ maxQueuedBytes: 1000 });
  fixture.append(log, ["x".repeat(2000)]);
  expect(refusalOf(() => fixture.append(log, ["y"]))).toBe("THROTTLING_QUOTA_EXCEEDED");
  await log.flush();
  expect(refusalOf(() => fixture.append(log, ["y"]))).toBe("accepted");
  await log.close();
  expect(refusalOf(() => fixture.append(log, ["z"]))).toBe("KAFKA_STORAGE_ERROR");
});

test("a log that rests holds no file open; one with unsynced bytes does", async () => {
  const fixture = new TestLog();
  const openFiles = new OpenFiles(fixture.disk, 0);
  const log = await fixture.open({ resources: { ...fixture.resources(), openFiles } });
  fixture.append(log, ["a"]);
  await log.flush();
  await fixture.clock.runUntilIdle();
  expect(openFiles.openCount).toBe(0);
  const stall = fixture.disk.faults.stall({ operation: "sync", times: 1 });
  fixture.append(log, ["b"]);
  await fixture.clock.runUntilIdle();
  expect([log.writtenEndOffset, log.syncedEndOffset, openFiles.openCount]).toEqual([2, 1, 1]);
  stall.release();
  await log.flush();
  expect(await fixture.texts(log)).toEqual(["a", "b"]);
});
