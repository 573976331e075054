import { expect, test } from "vitest";
import type { SegmentedLog } from "./segmented-log.ts";
import { CLIENT, TestLog } from "./test-log.ts";

const FIRST = "/data/t-0/00000000000000000000.log";
const CHECKPOINT = "/data/t-0/log-checkpoint";
/** The last byte of a batch's leader epoch. */
const EPOCH_POSITION = 15;

async function filled(fixture: TestLog, count = 10): Promise<SegmentedLog> {
  const log = await fixture.open();
  for (let index = 0; index < count; index += 1) fixture.append(log, [`${index}`.padEnd(50, ".")]);
  await log.flush();
  return log;
}

async function reopenAfterCrash(fixture: TestLog, log: SegmentedLog): Promise<SegmentedLog> {
  fixture.disk.crash({ unsynced: "kept" });
  await log.abandon();
  return fixture.open();
}

test("a torn tail is cut, and everything before it stays", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  const { sizeBytes } = log;
  await log.abandon();
  for (const garbage of [new Uint8Array(3), new Uint8Array(5000), new Uint8Array(200).fill(255)]) {
    await fixture.overwrite(FIRST, sizeBytes, garbage);
    const reopened = await fixture.open();
    expect(reopened.recoveryReport).toMatchObject({
      kind: "recovered",
      cutBytes: garbage.byteLength,
      damagedRanges: [],
    });
    expect([reopened.logEndOffset, reopened.sizeBytes]).toEqual([10, sizeBytes]);
    await reopened.abandon();
  }
});

test("a hole in what was never proven ends the log there", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  const batchBytes = log.sizeBytes / 10;
  await log.abandon();
  await fixture.overwrite(FIRST, batchBytes * 6, new Uint8Array(batchBytes));
  await fixture.disk.remove(CHECKPOINT);
  const reopened = await fixture.open();
  expect(reopened.logEndOffset).toBe(6);
  expect(fixture.append(reopened, ["new"])).toMatchObject({ baseOffset: 6 });
});

test("damage below the recovery point is kept and reported, and reads of it fail (R12)", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  const batchBytes = log.sizeBytes / 10;
  await log.checkpoint(0);
  fixture.disk.flipBit(FIRST, { position: batchBytes * 4 + 100 });
  const reopened = await reopenAfterCrash(fixture, log);
  expect(reopened.recoveryReport.damagedRanges).toMatchObject([
    { fromOffset: 4, toOffset: 5, file: FIRST, position: batchBytes * 4 },
  ]);
  expect(reopened.logEndOffset).toBe(10);
  await expect(reopened.read(4, { maxBytes: 1, endOffset: 10 })).rejects.toMatchObject({
    code: "CORRUPT_MESSAGE",
  });
  expect(await fixture.texts(reopened, 5)).toHaveLength(5);
  expect(await reopened.read(0, { maxBytes: 1e6, endOffset: 10 })).toMatchObject({ nextOffset: 4 });
});

test("synced records that are gone leave a hole: no other record takes their offsets", async () => {
  for (const keptBatches of [7, 0]) {
    const fixture = new TestLog();
    const log = await filled(fixture);
    const batchBytes = log.sizeBytes / 10;
    await log.checkpoint(0);
    await log.abandon();
    const file = await fixture.disk.open(FIRST, "write");
    await file.truncate(batchBytes * keptBatches);
    await file.close();
    const reopened = await fixture.open();
    expect(reopened.recoveryReport.damagedRanges).toMatchObject([{ fromOffset: keptBatches, toOffset: 10 }]);
    expect(fixture.append(reopened, ["new"])).toMatchObject({ baseOffset: 10 });
    await reopened.flush();
    await expect(reopened.read(8, { maxBytes: 1, endOffset: 11 })).rejects.toMatchObject({
      code: "CORRUPT_MESSAGE",
    });
    expect(await fixture.texts(reopened, 10)).toEqual(["new"]);
    const again = await reopenAfterCrash(fixture, reopened);
    expect(again.logEndOffset).toBe(11);
    expect(await fixture.texts(again, 10)).toEqual(["new"]);
  }
});

test("a missing segment file is a hole; what was synced around it is served", async () => {
  const fixture = new TestLog({ segmentBytes: 400 });
  const log = await filled(fixture);
  await log.close();
  const logs = (await fixture.names()).filter((name) => name.endsWith(".log"));
  const [, gone = "", after = ""] = logs;
  await fixture.disk.remove(`${fixture.directory}/${gone}`);
  const reopened = await fixture.open();
  const first = Number.parseInt(gone, 10);
  const next = Number.parseInt(after, 10);
  expect(await reopened.read(0, { maxBytes: 1e6, endOffset: 10 })).toMatchObject({ nextOffset: first });
  await expect(reopened.read(first, { maxBytes: 1, endOffset: 10 })).rejects.toMatchObject({
    code: "CORRUPT_MESSAGE",
    metadata: { nextOffset: String(next) },
  });
  expect(await fixture.texts(reopened, next)).toHaveLength(10 - next);
});

test("all segment files gone: the log says so and does not begin at 0 again", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  await log.close();
  for (const name of await fixture.names()) {
    if (name.endsWith(".log")) await fixture.disk.remove(`${fixture.directory}/${name}`);
  }
  const reopened = await fixture.open();
  expect(reopened.recoveryReport.damagedRanges).toMatchObject([{ fromOffset: 0, toOffset: 10 }]);
  expect(reopened.logEndOffset).toBe(10);
});

test.each(["log-checkpoint", "leader-epoch-checkpoint", "index", "timeindex", "snapshot"])(
  "garbage in or loss of a %s file costs no record",
  async (kind) => {
    for (const damage of ["garbage", "empty", "missing"]) {
      const fixture = new TestLog({ segmentBytes: 400, indexIntervalBytes: 100 });
      const log = await fixture.open();
      for (let index = 0; index < 10; index += 1) {
        const producer = { producerId: 1, producerEpoch: 0, baseSequence: index };
        log.append(fixture.batch([`${index}`.padEnd(50, ".")], producer), {
          ...CLIENT,
          leaderEpoch: index >> 1,
        });
      }
      await log.flush();
      await log.abandon();
      for (const name of (await fixture.names()).filter((name) => name.endsWith(kind))) {
        const path = `${fixture.directory}/${name}`;
        await fixture.disk.remove(path);
        if (damage !== "missing")
          await fixture.overwrite(path, 0, new Uint8Array(damage === "empty" ? 0 : 37).fill(65));
      }
      const reopened = await fixture.open();
      expect(await fixture.texts(reopened)).toHaveLength(10);
      expect(reopened.endOffsetForEpoch(2)).toEqual({ epoch: 2, endOffset: 6 });
      const last = fixture.batch(["9".padEnd(50, ".")], { producerId: 1, producerEpoch: 0, baseSequence: 9 });
      expect(reopened.append(last, { ...CLIENT, leaderEpoch: 9 })).toMatchObject({
        duplicate: true,
        baseOffset: 9,
      });
      expect((await reopened.offsetForTimestamp(0, 10))?.offset).toBe(0);
    }
  },
);

test("five batches of a producer are recognised from the snapshot alone (R11)", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const batches = Array.from({ length: 7 }, (_, index) =>
    fixture.batch([`${index}`], { producerId: 1, producerEpoch: 0, baseSequence: index }),
  );
  for (const batch of batches) log.append(batch, CLIENT);
  await log.close();
  const reopened = await fixture.open({ cleanShutdown: true });
  expect(reopened.recoveryReport.kind).toBe("clean");
  for (const [index, batch] of batches.slice(2).entries()) {
    expect(reopened.append(batch, CLIENT)).toMatchObject({ baseOffset: index + 2, duplicate: true });
  }
  await reopened.deleteRecordsBefore(7);
  await reopened.close();
  const again = await fixture.open({ cleanShutdown: true });
  expect(again.append(batches[6] ?? new Uint8Array(0), CLIENT)).toMatchObject({
    baseOffset: 6,
    duplicate: true,
  });
});

test("a clean-shutdown mark that the files belie is not believed", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  const { sizeBytes } = log;
  await log.close();
  await fixture.overwrite(FIRST, sizeBytes, new Uint8Array(100));
  const reopened = await fixture.open({ cleanShutdown: true });
  expect(reopened.recoveryReport).toMatchObject({ kind: "recovered", cutBytes: 100 });
  expect(await fixture.texts(reopened)).toHaveLength(10);
});

test("leftovers of interrupted deletions and replacements are removed", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  await log.abandon();
  const leftovers = ["00000000000000000003.log.deleted", "x.tmp", "00000000000000000099.index"];
  for (const name of leftovers) await fixture.overwrite(`${fixture.directory}/${name}`, 0, new Uint8Array(3));
  await fixture.open();
  const names = await fixture.names();
  expect(leftovers.filter((name) => names.includes(name))).toEqual([]);
});

test("what was once reported lost stays lost and readable around, start after start", async () => {
  const fixture = new TestLog({ segmentBytes: 400 });
  const log = await filled(fixture);
  await log.close();
  const logs = (await fixture.names()).filter((name) => name.endsWith(".log"));
  const lastBase = Number.parseInt(logs.at(-1) ?? "", 10);
  const file = await fixture.disk.open(`${fixture.directory}/${logs.at(-1)}`, "write");
  await file.truncate(0);
  await file.close();
  for (let start = 0; start < 3; start += 1) {
    const reopened = await fixture.open();
    expect(reopened.logEndOffset).toBe(10);
    const lost = reopened.read(lastBase, { maxBytes: 1, endOffset: 10 });
    await expect(lost).rejects.toMatchObject({ code: "CORRUPT_MESSAGE", metadata: { nextOffset: "10" } });
    const { nextOffset } = await reopened.read(lastBase - 1, { maxBytes: 1e6, endOffset: 10 });
    expect(nextOffset).toBe(lastBase);
    await reopened.abandon();
  }
});

test("a stale empty file says nothing of where the segment before it ends", async () => {
  const fixture = new TestLog({ segmentBytes: 400 });
  const log = await filled(fixture);
  await log.deleteRecordsBefore(1);
  await log.close();
  await fixture.overwrite(`${fixture.directory}/00000000000000000001.log`, 0, new Uint8Array(0));
  const reopened = await fixture.open({ cleanShutdown: true });
  expect([reopened.logStartOffset, reopened.logEndOffset]).toEqual([1, 10]);
  expect(await fixture.texts(reopened)).toHaveLength(9);
});

test("a wrong epoch below the recovery point is damage there, not in all that follows (R12)", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  const batchBytes = log.sizeBytes / 10;
  await log.checkpoint(0);
  fixture.disk.flipBit(FIRST, { position: batchBytes * 4 + EPOCH_POSITION, bit: 5 });
  const reopened = await reopenAfterCrash(fixture, log);
  expect(reopened.recoveryReport.damagedRanges).toMatchObject([{ fromOffset: 4, toOffset: 5 }]);
  expect(reopened.logEndOffset).toBe(10);
});

test("a wrong base offset is damage, and no gap, in a log that was never compacted yet (R12)", async () => {
  const fixture = new TestLog({ cleanupPolicy: ["compact"] });
  const log = await filled(fixture);
  const batchBytes = log.sizeBytes / 10;
  await log.checkpoint(10);
  for (const batch of [0, 9]) fixture.disk.flipBit(FIRST, { position: batchBytes * batch + 5, bit: 6 });
  const reopened = await reopenAfterCrash(fixture, log);
  expect(reopened.recoveryReport.damagedRanges).toMatchObject([
    { fromOffset: 0, toOffset: 1 },
    { fromOffset: 9, toOffset: 10 },
  ]);
  expect([reopened.logEndOffset, reopened.damagedFrom]).toEqual([10, 0]);
});

test("a wrong epoch below the log start harms nothing above it (R12)", async () => {
  const fixture = new TestLog();
  const log = await filled(fixture);
  await log.deleteRecordsBefore(5);
  await log.checkpoint(0);
  fixture.disk.flipBit(FIRST, { position: EPOCH_POSITION, bit: 5 });
  const reopened = await reopenAfterCrash(fixture, log);
  expect(reopened.recoveryReport.damagedRanges).toEqual([]);
  expect(reopened.latestLeaderEpoch).toBe(log.latestLeaderEpoch);
  expect(fixture.append(reopened, ["new"])).toMatchObject({ baseOffset: 10 });
});

test("a log whose directory was not durable at the first try is there after a power cut (R4)", async () => {
  for (const skip of [0, 1, 2]) {
    const fixture = new TestLog();
    fixture.disk.faults.fail({ operation: "syncDirectory", times: 1, skip });
    await expect(fixture.open()).rejects.toThrow("EIO");
    const log = await filled(fixture);
    await fixture.crash(log, "lost");
    expect((await fixture.open()).logEndOffset).toBe(10);
  }
});
