import { encodeControlBatch, readBatchHeader } from "@ottla/records";
import { expect, test } from "vitest";
import { CLIENT, refusalOf, replicate, TestLog } from "../test-log.ts";
import { verifyLog } from "../verify-log.ts";
import { CLEANER_CHECKPOINT } from "./cleaner-checkpoint.ts";
import { TestCompaction } from "./test-compaction.ts";

test("of each key the last record stays, at its offset; the open segment is left alone", async () => {
  const topic = await TestCompaction.open();
  topic.append([
    ["a", "1"],
    ["b", "1"],
  ]);
  topic.append([
    ["a", "2"],
    ["c", "1"],
  ]);
  await topic.roll();
  await topic.roll();
  topic.append([["c", "2"]]);
  const report = await topic.compact();
  expect(report).toMatchObject({ passes: 1, removedRecords: 2, endOffset: 6 });
  expect(await topic.found()).toEqual(["1 b=1", "2 a=2", "3 c=1", "6 c=2"]);
  expect(topic.log.logStartOffset).toBe(0);
  expect(await topic.compact()).toMatchObject({ passes: 0 });
});

test("nothing at or above the high watermark is looked at", async () => {
  const topic = await TestCompaction.open();
  topic.append([["a", "1"]]);
  await topic.roll();
  topic.append([["a", "2"]]);
  await topic.roll();
  await topic.roll();
  // Nothing behind 1 is committed. Were that cut, a log without 1 would end in a gap that holds readers.
  expect(await topic.compact({ highWatermark: 2 })).toMatchObject({ endOffset: 1, removedRecords: 0 });
  expect(await topic.compact({ highWatermark: 3 })).toMatchObject({ endOffset: 2, removedRecords: 0 });
  await topic.compact({ highWatermark: 4 });
  expect(await topic.found()).toEqual(["2 a=2"]);
});

test("a tombstone goes delete.retention.ms after compaction has come to it", async () => {
  const topic = await TestCompaction.open({ deleteRetentionMs: 1000 });
  topic.append([["a", "1"]]);
  topic.append([
    ["a", null],
    ["b", "1"],
  ]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  expect(await topic.found()).toEqual(["1 a=null", "2 b=1"]);
  await topic.fixture.clock.advance(999);
  expect((await topic.backlog()).isDue).toBe(false);
  await topic.fixture.clock.advance(1);
  expect((await topic.backlog()).isDue).toBe(true);
  await topic.compact();
  expect(await topic.found()).toEqual(["2 b=1"]);
  expect((await topic.backlog()).isDue).toBe(false);
});

test("records without a key, from before the topic was compacted, go", async () => {
  const topic = await TestCompaction.open();
  topic.append([
    [null, "1"],
    ["a", "1"],
  ]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  expect(await topic.found()).toEqual(["1 a=1"]);
});

test("what waits is counted, with min and max compaction lag and the dirty ratio", async () => {
  const topic = await TestCompaction.open({ minCompactionLagMs: 100, maxCompactionLagMs: 5000 });
  expect(await topic.backlog()).toMatchObject({ dirtyBytes: 0, cleanBytes: 0, dirtyRatio: 0, isDue: false });
  topic.append([["a", "1"]]);
  await topic.roll();
  await topic.roll();
  expect(await topic.backlog()).toMatchObject({ dirtyBytes: 0 });
  await topic.fixture.clock.advance(100);
  expect(await topic.backlog()).toMatchObject({ dirtyRatio: 1, isDue: true });
  await topic.compact();
  const { cleanBytes } = await topic.backlog();
  expect(cleanBytes).toBeGreaterThan(0);
  topic.append([["a", "2"]]);
  await topic.roll();
  await topic.fixture.clock.advance(100);
  const backlog = await topic.backlog();
  expect(backlog.dirtyRatio).toBeCloseTo(backlog.dirtyBytes / (backlog.dirtyBytes + backlog.cleanBytes));
  topic.log.updateConfig({ ...topic.fixture.config, minCleanableDirtyRatio: 0.9 });
  expect((await topic.backlog()).isDue).toBe(false);
  await topic.fixture.clock.advance(5000);
  expect((await topic.backlog()).isDue).toBe(true);
});

test("with more keys than the map holds, several passes do the same", async () => {
  const topic = await TestCompaction.open();
  for (let round = 0; round < 3; round += 1)
    for (let key = 0; key < 10; key += 1) topic.append([[`${key}`, `${round}`]]);
  await topic.roll();
  await topic.roll();
  const { passes } = await topic.compact({ maxMapBytes: 24 * 6 });
  expect(passes).toBeGreaterThan(3);
  expect(await topic.found()).toEqual(Array.from({ length: 10 }, (_, key) => `${20 + key} ${key}=2`));
});

test("a producer's last batches stay, emptied, so that its retries are recognised (R11)", async () => {
  const topic = await TestCompaction.open();
  const options = { producerId: 5, producerEpoch: 0, baseSequence: 0 };
  const batch = topic.batch(
    [
      ["a", "1"],
      ["b", "1"],
    ],
    options,
  );
  topic.log.append(batch, CLIENT);
  await topic.roll();
  topic.append([
    ["a", "2"],
    ["b", "2"],
  ]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  expect(await topic.found()).toEqual(["3 a=2", "4 b=2"]);
  expect(readBatchHeader(await topic.bytes())).toMatchObject({
    baseOffset: 0,
    lastOffset: 1,
    recordCount: 0,
    lastSequence: 1,
  });
  const follower = await new TestLog({ cleanupPolicy: ["compact"] }).open();
  await replicate(topic.log, follower);
  for (const log of [topic.log, follower]) {
    expect(log.append(batch, CLIENT)).toMatchObject({ duplicate: true, baseOffset: 0, lastOffset: 1 });
  }
  await topic.compact();
  expect(readBatchHeader(await topic.bytes()).baseOffset).toBe(0);
});

test("a batch that compaction has emptied is not found by time", async () => {
  const topic = await TestCompaction.open();
  const options = { producerId: 5, producerEpoch: 0, baseSequence: 0 };
  await topic.fixture.clock.advance(1000);
  topic.append([["a", "late"]], options);
  await topic.roll();
  topic.append([["a", "last"]]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  const { log } = topic;
  expect(readBatchHeader(await topic.bytes())).toMatchObject({ baseOffset: 0, recordCount: 0 });
  for (const open of [log, undefined]) {
    if (open === undefined) await topic.crash();
    const first = await topic.log.offsetForTimestamp(0, topic.log.logEndOffset);
    expect(first?.offset).toBe(2);
    expect(await topic.log.maxTimestampOffset(2)).toBeUndefined();
  }
});

test("of the owners' control batches the newest stays; other control batches all do (R13)", async () => {
  const topic = await TestCompaction.open();
  const { log, fixture } = topic;
  const owner = { leaderEpoch: 1, validated: false, origin: "coordinator" } as const;
  const timestampMs = fixture.clock.now();
  for (const ownerEpoch of [1, 2]) {
    const batch = encodeControlBatch({ type: "owner", ownerEpoch }, { timestampMs });
    log.append(batch, { ...owner, ownerEpoch, beginsOwnership: true });
  }
  log.append(encodeControlBatch({ type: "other", typeId: 9, value: null }, { timestampMs }), owner);
  const filler = topic.batch([["filler", "x".repeat(320)]]);
  for (let count = 0; count < 2; count += 1) log.append(filler, { ...owner, ownerEpoch: 2 });
  await topic.compact();
  const follower = await new TestLog({ cleanupPolicy: ["compact"] }).open();
  await replicate(log, follower);
  expect([follower.ownerEpoch, follower.leaderEpochAt(1)]).toEqual([2, 1]);
  expect(readBatchHeader(await topic.bytes())).toMatchObject({ baseOffset: 1, isControl: true });
});

test("appends and reads go on meanwhile, and small segments become one", async () => {
  const topic = await TestCompaction.open();
  for (let count = 0; count < 30; count += 1) topic.append([[`${count % 5}`, `${count} ${"x".repeat(60)}`]]);
  await topic.log.flush();
  const before = topic.log.segmentCount;
  const compaction = topic.compact();
  const reading = topic.found();
  topic.append([["0", "meanwhile"]]);
  await compaction;
  expect((await reading).length).toBeGreaterThan(5);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  expect(topic.log.segmentCount).toBeLessThan(before);
  const found = await topic.found();
  expect(found.at(-1)).toBe("30 0=meanwhile");
  expect(new Set(found.map((line) => line.split(" ")[1]?.split("=")[0])).size).toBe(5);
});

test("damage ends the compaction with its place, and nothing changes (R12)", async () => {
  const topic = await TestCompaction.open();
  topic.append([["a", "1"]]);
  topic.append([["a", "2"]]);
  await topic.roll();
  await topic.roll();
  const path = `${topic.fixture.directory}/00000000000000000000.log`;
  await topic.fixture.overwrite(path, 75, Uint8Array.of(1, 2, 3));
  const before = await topic.fixture.fileBytes(path);
  await expect(topic.compact()).rejects.toMatchObject({ code: "CORRUPT_MESSAGE", metadata: { offset: "1" } });
  expect(await topic.fixture.fileBytes(path)).toEqual(before);
  expect((await topic.fixture.names()).filter((name) => name.includes("cleaned"))).toEqual([]);
});

test("a full disk ends the compaction, and another one does it later", async () => {
  const topic = await TestCompaction.open();
  topic.append([["a", "1"]]);
  topic.append([["a", "2"]]);
  await topic.roll();
  await topic.roll();
  topic.fixture.disk.faults.fail({ operation: "write", path: /cleaned$/, times: 1 }, "ENOSPC");
  await expect(topic.compact()).rejects.toMatchObject({ code: "ENOSPC" });
  expect([
    topic.log.failure,
    (await topic.fixture.names()).filter((name) => /cleaned|swap/.test(name)),
  ]).toEqual([undefined, []]);
  await topic.compact();
  expect(await topic.found()).toEqual(["1 a=2"]);
});

test("a log that is no longer compacted may have gaps, after a restart and on a new replica", async () => {
  const topic = await TestCompaction.open();
  for (const value of ["1", "2", "3"]) topic.append([["a", value]]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  await topic.log.close();
  const config = { ...topic.fixture.config, cleanupPolicy: ["delete"] } as const;
  for (const cleanShutdown of [true, false]) {
    topic.log = await topic.fixture.open({ config, cleanShutdown });
    expect(await topic.found()).toEqual(["2 a=3"]);
    const follower = await new TestLog().open();
    const { chunks } = await topic.log.read(0, { maxBytes: 1e6, endOffset: 5, forReplica: true });
    const bytes = Buffer.concat(chunks);
    const replica = { leaderEpoch: -1, validated: false, origin: "replica" } as const;
    expect(refusalOf(() => follower.append(bytes, replica))).toBe("CORRUPT_MESSAGE");
    follower.append(bytes, { ...replica, allowsGaps: true });
    expect(follower.logEndOffset).toBe(3);
    await topic.log.abandon();
  }
  expect((await verifyLog(topic.fixture.directory, topic.fixture.disk)).errorCount).toBe(0);
});

test("a truncation below what was compacted makes what follows dirty again", async () => {
  const topic = await TestCompaction.open();
  for (const value of ["1", "2"]) topic.append([["a", value]]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  await topic.log.truncateTo(1);
  expect(topic.log.logEndOffset).toBe(1);
  topic.append([["a", "3"]]);
  topic.append([["a", "4"]]);
  await topic.roll();
  await topic.roll();
  await topic.crash();
  await topic.compact();
  expect(await topic.found()).toEqual(["2 a=4"]);
});

test("compact,delete both keeps the last of each key and deletes by age", async () => {
  const topic = await TestCompaction.open({ cleanupPolicy: ["compact", "delete"], retentionMs: 1000 });
  topic.append([["a", "1"]]);
  topic.append([["a", "2"]]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  expect(await topic.found()).toEqual(["1 a=2"]);
  await topic.fixture.clock.advance(2000);
  await topic.log.runRetention(topic.fixture.clock.now(), topic.log.logEndOffset);
  expect(await topic.found()).toEqual([]);
});

test("where compaction has come to is remembered, in Kafka's form", async () => {
  const topic = await TestCompaction.open();
  topic.append([["a", "1"]]);
  await topic.roll();
  await topic.roll();
  await topic.compact();
  const path = `${topic.fixture.directory}/${CLEANER_CHECKPOINT}`;
  expect(new TextDecoder().decode(await topic.fixture.fileBytes(path))).toBe("0\n1\nt 0 2\n");
  await topic.crash();
  expect(await topic.compact()).toMatchObject({ passes: 0, endOffset: 2 });
});

test("a crash at any moment of a compaction loses nothing, and the next one goes on", async () => {
  const left = new Set<string>();
  for (const unsynced of ["lost", "kept", "random"] as const) {
    for (let turns = 0; ; turns += 1) {
      const topic = await TestCompaction.open({ segmentBytes: 500 });
      for (let count = 0; count < 14; count += 1)
        topic.append([[`${count % 3}`, `${count} ${"x".repeat(40)}`]]);
      await topic.log.flush();
      let hasEnded = false;
      const compaction = topic.compact().then(
        () => (hasEnded = true),
        () => undefined,
      );
      for (let turn = 0; turn < turns; turn += 1)
        await new Promise<void>((go) => topic.fixture.clock.nextTurn(go));
      await topic.fixture.crash(topic.log, unsynced);
      await compaction;
      for (const name of await topic.fixture.names()) left.add(name.replace(/^\d+/, ""));
      topic.log = await topic.fixture.open();
      expect(topic.log.recoveryReport.damagedRanges).toEqual([]);
      const found = await topic.found();
      expect(found.slice(-3)).toEqual([11, 12, 13].map((at) => `${at} ${at % 3}=${at} ${"x".repeat(40)}`));
      await topic.compact();
      expect((await topic.found()).slice(-3)).toEqual(found.slice(-3));
      if (hasEnded) break;
    }
  }
  for (const name of [".log.cleaned", ".log.swap", ".log.deleted"]) expect(left).toContain(name);
});
