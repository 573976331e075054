import { encodeBatch, encodeControlBatch } from "@ottla/records";
import { expect, test } from "vitest";
import { encodeOwnerEpochs, parseOwnerEpochs } from "./owner-epoch-cache.ts";
import type { SegmentedLog } from "./segmented-log.ts";
import { CLIENT, refusalOf, replicate, TestLog } from "./test-log.ts";

const OWNER = { leaderEpoch: 1, validated: false, origin: "coordinator" } as const;

function fenceOf(fixture: TestLog, ownerEpoch: number): Uint8Array {
  return encodeControlBatch({ type: "owner", ownerEpoch }, { timestampMs: fixture.clock.now() });
}

function fence(fixture: TestLog, log: SegmentedLog, ownerEpoch: number) {
  return log.append(fenceOf(fixture, ownerEpoch), { ...OWNER, ownerEpoch, beginsOwnership: true });
}

function write(fixture: TestLog, log: SegmentedLog, ownerEpoch: number, text = "x") {
  return log.append(fixture.batch([text]), { ...OWNER, ownerEpoch });
}

test("only the newest owner may append, and only after its control batch (R13)", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  expect(log.ownerEpoch).toBe(-1);
  expect(refusalOf(() => write(fixture, log, 3))).toBe("INVALID_REQUEST");
  expect(fence(fixture, log, 3)).toMatchObject({ baseOffset: 0, recordCount: 1 });
  expect(write(fixture, log, 3)).toMatchObject({ baseOffset: 1 });
  fence(fixture, log, 5);
  expect(refusalOf(() => write(fixture, log, 3))).toBe("PRODUCER_FENCED");
  expect(refusalOf(() => fence(fixture, log, 4))).toBe("PRODUCER_FENCED");
  expect(refusalOf(() => fixture.append(log, ["from a client"]))).toBe("INVALID_REQUEST");
  // After an unknown outcome the owner fences again.
  fence(fixture, log, 5);
  expect([log.ownerEpoch, log.logEndOffset]).toEqual([5, 4]);
});

test("what begins an ownership is one control batch of that owner, and nothing else is one", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const begins = { ...OWNER, ownerEpoch: 3, beginsOwnership: true };
  expect(refusalOf(() => log.append(fixture.batch(["x"]), begins))).toBe("INVALID_REQUEST");
  expect(refusalOf(() => log.append(fenceOf(fixture, 4), begins))).toBe("INVALID_REQUEST");
  const two = Buffer.concat([fenceOf(fixture, 3), fixture.batch(["x"])]);
  expect(refusalOf(() => log.append(two, begins))).toBe("INVALID_REQUEST");
  log.append(fenceOf(fixture, 3), begins);
  expect(refusalOf(() => log.append(fenceOf(fixture, 3), { ...OWNER, ownerEpoch: 3 }))).toBe(
    "INVALID_REQUEST",
  );
  expect(log.logEndOffset).toBe(1);
});

test("a retry of a stored batch is recognised before owner and end offset are looked at", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  fence(fixture, log, 3);
  const batch = fixture.batch(["x"], { producerId: 9, producerEpoch: 0, baseSequence: 0 });
  const first = log.append(batch, { ...OWNER, ownerEpoch: 3, expectedEndOffset: 1 });
  fence(fixture, log, 4);
  const again = log.append(batch, { ...OWNER, ownerEpoch: 3, expectedEndOffset: 1 });
  expect(again).toMatchObject({ duplicate: true, baseOffset: first.baseOffset });
  expect(
    refusalOf(() => log.append(fixture.batch(["y"]), { ...OWNER, ownerEpoch: 4, expectedEndOffset: 1 })),
  ).toBe("END_OFFSET_MISMATCH");
});

test("the owner is known after a clean close, a crash, and on a follower", async () => {
  const fixture = new TestLog({ segmentBytes: 300 });
  let log = await fixture.open();
  for (const ownerEpoch of [1, 2, 7]) {
    fence(fixture, log, ownerEpoch);
    for (let count = 0; count < 5; count += 1) write(fixture, log, ownerEpoch, "x".repeat(50));
  }
  const other = new TestLog();
  await log.flush();
  const follower = await other.open();
  await replicate(log, follower);
  expect([log.segmentCount > 3, log.ownerEpoch, follower.ownerEpoch]).toEqual([true, 7, 7]);
  for (const how of ["close", "power cut", "close"]) {
    if (how === "close") await log.close();
    else {
      fixture.disk.crash({ unsynced: "lost" });
      await log.abandon();
    }
    log = await fixture.open({ cleanShutdown: how === "close" });
    expect([how, log.ownerEpoch]).toEqual([how, 7]);
  }
  expect(refusalOf(() => write(fixture, log, 2))).toBe("PRODUCER_FENCED");
});

test("a damaged file of owners is made anew from the log", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  fence(fixture, log, 7);
  write(fixture, log, 7);
  await log.close();
  fixture.disk.flipBit(`${fixture.directory}/owner-epoch-checkpoint`);
  const reopened = await fixture.open({ cleanShutdown: true });
  expect([reopened.recoveryReport.kind, reopened.ownerEpoch]).toEqual(["recovered", 7]);
});

test("a truncated or failed control batch gives the log back to the owner before", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  fence(fixture, log, 3);
  write(fixture, log, 3);
  fence(fixture, log, 5);
  expect(await log.truncateTo(2)).toBe(2);
  expect(log.ownerEpoch).toBe(3);
  fixture.disk.faults.fail({ operation: "write", path: /\.log$/, times: 1 }, "ENOSPC");
  fence(fixture, log, 6);
  await log.flush();
  expect([log.ownerEpoch, refusalOf(() => write(fixture, log, 3))]).toEqual([3, "accepted"]);
});

test("retention keeps the newest owner's control batch, and its owner outlives it", async () => {
  const fixture = new TestLog({ segmentBytes: 300, retentionBytes: 1 });
  const log = await fixture.open();
  fence(fixture, log, 3);
  for (let count = 0; count < 6; count += 1) write(fixture, log, 3, "x".repeat(80));
  fence(fixture, log, 4);
  for (let count = 0; count < 6; count += 1) write(fixture, log, 4, "x".repeat(80));
  await log.flush();
  await log.runRetention(fixture.clock.now(), log.logEndOffset);
  expect(log.logStartOffset).toBeGreaterThan(0);
  expect(log.logStartOffset).toBeLessThanOrEqual(7);
  await log.deleteRecordsBefore(14);
  await log.checkpoint(14);
  fixture.disk.crash({ unsynced: "lost" });
  await log.abandon();
  const reopened = await fixture.open();
  expect([reopened.logStartOffset, reopened.ownerEpoch]).toEqual([14, 4]);
  await reopened.truncateFullyAndStartAt(100);
  expect([reopened.logEndOffset, reopened.ownerEpoch]).toEqual([100, 4]);
});

test("producers' and clients' control batches of other kinds begin no owner", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  const odd = encodeBatch([{ timestampMs: 1, key: Uint8Array.of(0, 0, 79, 84), value: null }], {
    isControl: true,
  });
  log.append(odd, OWNER);
  expect(log.ownerEpoch).toBe(-1);
  expect(refusalOf(() => log.append(odd, CLIENT))).toBe("INVALID_RECORD");
});

test("the file of owners is read back, and damaged text is told from good", () => {
  const starts = [
    { ownerEpoch: 3, offset: 0 },
    { ownerEpoch: 9_007_199_254_740_000, offset: 12 },
  ];
  const text = encodeOwnerEpochs(starts);
  expect(parseOwnerEpochs(text)).toEqual(starts);
  expect(parseOwnerEpochs(encodeOwnerEpochs([]))).toEqual([]);
  for (const damaged of ["", "0\n", text.replace("12", "13"), text.slice(0, -3), `${text}x`]) {
    expect(parseOwnerEpochs(damaged)).toBe("damaged");
  }
});
