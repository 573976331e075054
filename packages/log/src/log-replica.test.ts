import { readBatchHeader } from "@ottla/records";
import type { ReplicaLog } from "@ottla/replication";
import { expect, test } from "vitest";
import type { SegmentedLog } from "./segmented-log.ts";
import { CLIENT, refusalOf, replicate, TestLog } from "./test-log.ts";

const REPLICA = { leaderEpoch: -1, validated: false, origin: "replica" } as const;

/** A log with one batch of three records of epoch 1 at offset 0, synced. */
async function led(fixture = new TestLog()): Promise<{ fixture: TestLog; log: SegmentedLog }> {
  const log = await fixture.open();
  log.beginLeaderEpoch(1);
  fixture.append(log, ["a", "b", "c"]);
  await log.flush();
  return { fixture, log };
}

test("an epoch that was led without a record yields to an older one of the next leader", async () => {
  const { fixture, log } = await led();
  log.beginLeaderEpoch(7);
  await log.checkpoint(3);
  const batch = fixture.batch(["d"], { baseOffset: 3, partitionLeaderEpoch: 5 });
  log.append(batch, REPLICA);
  await log.flush();
  expect([log.leaderEpochAt(2), log.leaderEpochAt(3), log.latestLeaderEpoch]).toEqual([1, 5, 5]);
  expect(log.endOffsetForEpoch(7)).toEqual({ epoch: 5, endOffset: 4 });
  // The file still says that epoch 7 began there, until the next checkpoint.
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  const reopened = await fixture.open();
  expect([reopened.logEndOffset, reopened.leaderEpochAt(3), reopened.latestLeaderEpoch]).toEqual([4, 5, 5]);
  await reopened.close();
  const clean = await fixture.open({ cleanShutdown: true });
  expect([clean.recoveryReport.kind, clean.latestLeaderEpoch]).toEqual(["clean", 5]);
});

test("an epoch that has records does not yield, and a refused batch changes nothing (R2)", async () => {
  const { fixture, log } = await led();
  const older = fixture.batch(["x"], { baseOffset: 3, partitionLeaderEpoch: 0 });
  expect(refusalOf(() => log.append(older, REPLICA))).toBe("FENCED_LEADER_EPOCH");
  log.beginLeaderEpoch(7);
  const gap = fixture.batch(["x"], { baseOffset: 4, partitionLeaderEpoch: 5 });
  expect(refusalOf(() => log.append(gap, REPLICA))).toBe("CORRUPT_MESSAGE");
  expect(log.latestLeaderEpoch).toBe(7);
});

test("a leader's epoch survives a full disk that takes its first records back", async () => {
  const { fixture, log } = await led();
  log.beginLeaderEpoch(4);
  fixture.disk.faults.fail({ operation: "write", path: /\.log$/, times: 1 }, "ENOSPC");
  log.append(fixture.batch(["d"]), { ...CLIENT, leaderEpoch: 4 });
  await log.flush();
  expect(log.logEndOffset).toBe(3);
  expect(refusalOf(() => log.append(fixture.batch(["d"]), { ...CLIENT, leaderEpoch: 3 }))).toBe(
    "FENCED_LEADER_EPOCH",
  );
});

test("where the log start lies inside a batch, a new replica gets the whole batch", async () => {
  const { fixture, log } = await led();
  const asReplicaLog: ReplicaLog = log;
  fixture.append(log, ["d"]);
  await log.flush();
  await log.deleteRecordsBefore(2);
  expect([asReplicaLog.firstBatchOffset, log.logStartOffset]).toEqual([0, 2]);
  await expect(log.read(0, { maxBytes: 1000, endOffset: 4 })).rejects.toThrow("offset 0 is outside");
  for (const open of ["as it is", "again"]) {
    const leader = open === "as it is" ? log : await fixture.open();
    expect(leader.firstBatchOffset).toBe(0);
    const other = new TestLog();
    const follower = await other.open();
    await follower.truncateFullyAndStartAt(leader.firstBatchOffset);
    await replicate(leader, follower);
    await follower.deleteRecordsBefore(leader.logStartOffset);
    expect(await other.texts(follower)).toEqual(["c", "d"]);
    expect(follower.firstBatchOffset).toBe(0);
    await leader.abandon();
  }
});

test("a log start at a batch's beginning or at the log's end is where a new replica begins", async () => {
  const { fixture, log } = await led();
  fixture.append(log, ["d"]);
  await log.flush();
  await log.deleteRecordsBefore(3);
  expect(log.firstBatchOffset).toBe(3);
  await log.deleteRecordsBefore(4);
  expect(log.firstBatchOffset).toBe(4);
  fixture.append(log, ["e", "f"]);
  await log.flush();
  expect(log.firstBatchOffset).toBe(4);
});

test("damage below the log start does not hide the batch that holds it", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  for (const texts of [["a"], ["b", "c", "d"], ["e"]]) fixture.append(log, texts);
  await log.flush();
  fixture.disk.flipBit(`${fixture.directory}/00000000000000000000.log`, { position: 30 });
  await log.deleteRecordsBefore(2);
  expect([log.firstBatchOffset, log.logStartOffset]).toEqual([1, 2]);
});

test("a replica whose log start lies in a batch fills it again, and shows nothing below (R14)", async () => {
  const { log: leader } = await led();
  const other = new TestLog();
  const follower = await other.open();
  await replicate(leader, follower);
  await follower.deleteRecordsBefore(1);
  expect(await follower.truncateTo(2)).toBe(0);
  expect([follower.logStartOffset, follower.logEndOffset]).toEqual([1, 0]);
  expect(await follower.read(1, { maxBytes: 1000, endOffset: 1 })).toMatchObject({ sizeBytes: 0 });
  await follower.close();
  const reopened = await other.open({ cleanShutdown: true });
  expect([reopened.logStartOffset, reopened.logEndOffset]).toEqual([1, 0]);
  await replicate(leader, reopened);
  expect([reopened.firstBatchOffset, await other.texts(reopened)]).toEqual([0, ["b", "c"]]);
});

test("a replica that leads before it is filled up to its log start goes on at its log start", async () => {
  const { log: source } = await led();
  const fixture = new TestLog();
  const log = await fixture.open();
  await replicate(source, log);
  await log.deleteRecordsBefore(2);
  await log.truncateTo(2);
  log.beginLeaderEpoch(4);
  expect([log.logEndOffset, log.endOffsetForEpoch(4)]).toEqual([2, { epoch: 4, endOffset: 2 }]);
  expect(log.append(fixture.batch(["new"]), { ...CLIENT, leaderEpoch: 4 }).baseOffset).toBe(2);
  await log.flush();
  expect(await fixture.texts(log)).toEqual(["new"]);
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  const reopened = await fixture.open();
  expect([reopened.firstBatchOffset, await fixture.texts(reopened)]).toEqual([2, ["new"]]);
});

test("a follower reads what is written and not yet committed, whole batches, from memory", async () => {
  const { fixture, log } = await led();
  log.append(fixture.batch(["d", "e"]), { ...CLIENT, leaderEpoch: 1 });
  await log.flush();
  const endOffset = Number.MAX_SAFE_INTEGER;
  const { chunks, nextOffset } = await log.read(4, { maxBytes: 1, endOffset, forReplica: true });
  expect([readBatchHeader(Buffer.concat(chunks)).baseOffset, nextOffset]).toEqual([3, 5]);
});

test("a checkpoint never says that more is committed than a truncation has left", async () => {
  const { fixture, log } = await led();
  fixture.append(log, ["d"]);
  await log.flush();
  await log.checkpoint(4);
  await log.truncateTo(3);
  expect(log.checkpointedHighWatermark).toBe(3);
  await log.checkpoint(4);
  expect(log.checkpointedHighWatermark).toBe(3);
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  const reopened = await fixture.open();
  expect([reopened.checkpointedHighWatermark, reopened.damagedFrom]).toEqual([3, undefined]);
});

test("a follower takes all that one answer of its leader holds, however many batches that is", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const count = 10_001;
  const batches = Array.from({ length: count }, (_, baseOffset) =>
    fixture.batch(["x"], { baseOffset, partitionLeaderEpoch: 1 }),
  );
  log.append(Buffer.concat(batches), REPLICA);
  await log.flush();
  expect(log.logEndOffset).toBe(count);
  expect(refusalOf(() => log.append(Buffer.concat(batches), CLIENT))).toBe("INVALID_RECORD");
});

test("a follower takes a batch that is larger than a segment may be now", async () => {
  const fixture = new TestLog({ segmentBytes: 200 });
  const log = await fixture.open();
  const large = "x".repeat(300);
  const texts = ["a", large, "b"];
  for (const [baseOffset, text] of texts.entries())
    log.append(fixture.batch([text], { baseOffset, partitionLeaderEpoch: 1 }), REPLICA);
  await log.flush();
  expect(await fixture.texts(log, 0, 1_000)).toEqual(texts);
  expect(refusalOf(() => log.append(fixture.batch([large]), CLIENT))).toBe("RECORD_LIST_TOO_LARGE");
});
