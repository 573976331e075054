import { OttlaError } from "@ottla/errors";
import { createLogResources, DEFAULT_LOG_CONFIG, SegmentedLog } from "@ottla/log";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { encodeBatch } from "@ottla/records";
import { Deadlines, MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { type LeaderTerm, PartitionLeader } from "./partition-leader.ts";
import type { AppendAcknowledgement } from "./waiting-appends.ts";
import { FetchPurgatoryLimit, type FetchWake } from "./waiting-fetches.ts";

const ALONE: LeaderTerm = { leaderEpoch: 3, isr: [1], minInsyncReplicas: 1 };

async function setUp(term: LeaderTerm = ALONE, maxWaitingFetches = 100) {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const disk = new MemoryDisk({ clock, random });
  const resources = createLogResources({ disk, clock, random, logger: nullLogger });
  const log = await SegmentedLog.open({ directory: "/log", resources, config: DEFAULT_LOG_CONFIG });
  const deadlines = new Deadlines({ clock });
  const leader = new PartitionLeader({
    name: "t-0",
    nodeId: 1,
    log,
    term,
    deadlines,
    purgatoryLimit: new FetchPurgatoryLimit(maxWaitingFetches),
  });
  log.onProgress(() => leader.onLogProgress());
  const append = (text: string, more: { acks?: Acks; leaderEpoch?: number; timeoutMs?: number } = {}) => {
    const value = new TextEncoder().encode(text);
    const batch = encodeBatch([{ timestampMs: clock.now(), key: null, value }]);
    const { promise, resolve } = Promise.withResolvers<AppendAcknowledgement | OttlaError>();
    const command = {
      leaderEpoch: 3,
      acks: Acks.ALL,
      timeoutMs: 1_000,
      validated: true,
      batch,
      expectedEndOffset: undefined,
      ...more,
    };
    leader.append(command, resolve);
    return promise;
  };
  return { clock, disk, log, leader, append };
}

test("acks=all waits until the batch is synced, and the high watermark passes it", async () => {
  const { append, leader, clock } = await setUp();
  const acknowledged = append("a");
  expect(leader.highWatermark).toBe(0);
  expect(leader.waitingAppends).toBe(1);
  await clock.runUntilIdle();
  expect(await acknowledged).toMatchObject({ baseOffset: 0, logStartOffset: 0 });
  expect(leader.highWatermark).toBe(1);
});

test("acks=none answers at once without an offset", async () => {
  const { append, leader } = await setUp();
  const acknowledged = append("a", { acks: Acks.NONE });
  expect(leader.waitingAppends).toBe(0);
  expect(await acknowledged).toMatchObject({ baseOffset: -1 });
});

test("R2: an append of another epoch is refused before it reaches the log", async () => {
  const { append, log } = await setUp();
  expect(() => append("a", { leaderEpoch: 2 })).toThrow(
    expect.objectContaining({
      code: "FENCED_LEADER_EPOCH",
      metadata: expect.objectContaining({ not_appended: "true" }),
    }),
  );
  expect(() => append("a", { leaderEpoch: 4 })).toThrow(
    expect.objectContaining({ code: "UNKNOWN_LEADER_EPOCH" }),
  );
  expect(log.logEndOffset).toBe(0);
});

test("R4: with too few in-sync replicas acks=all is refused and nothing becomes visible", async () => {
  const { append, leader, clock } = await setUp({ ...ALONE, minInsyncReplicas: 2 });
  expect(() => append("a")).toThrow(expect.objectContaining({ code: "NOT_ENOUGH_REPLICAS" }));
  const acknowledged = append("a", { acks: Acks.LEADER });
  await clock.runUntilIdle();
  expect(await acknowledged).toMatchObject({ baseOffset: 0 });
  expect(leader.highWatermark).toBe(0);
});

test("R15: the end of a term fails all who wait, and everything after it", async () => {
  const { append, leader } = await setUp();
  const waiting = append("a");
  const woken: FetchWake[] = [];
  leader.waitForVisibleBytes(1, 60_000, (reason) => woken.push(reason));
  leader.resign(new OttlaError("NOT_LEADER_OR_FOLLOWER", "the leader epoch has changed"));
  expect(await waiting).toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER" });
  expect(woken).toMatchObject([{ code: "NOT_LEADER_OR_FOLLOWER" }]);
  expect(() => append("b")).toThrow(expect.objectContaining({ code: "NOT_LEADER_OR_FOLLOWER" }));
  leader.onLogProgress();
  expect(leader.highWatermark).toBe(0);
});

test("an append that a follower holds up times out with an unknown outcome", async () => {
  const { append, clock } = await setUp({ ...ALONE, isr: [1, 2] });
  const waiting = append("a", { timeoutMs: 200 });
  await clock.advance(500);
  const result = await waiting;
  expect(result).toMatchObject({ code: "REQUEST_TIMED_OUT" });
  expect((result as OttlaError).metadata["not_appended"]).toBeUndefined();
});

test("a waiting fetch wakes when enough bytes are visible, or when its time is up", async () => {
  const { append, leader, clock } = await setUp();
  const woken: FetchWake[] = [];
  leader.waitForVisibleBytes(leader.visibleBytes + 1, 60_000, (reason) => woken.push(reason));
  leader.waitForVisibleBytes(leader.visibleBytes + 1_000_000, 300, (reason) => woken.push(reason));
  const acknowledged = append("a");
  await clock.runUntilIdle();
  await acknowledged;
  expect(woken).toEqual(["ready"]);
  await clock.advance(400);
  expect(woken).toEqual(["ready", "expired"]);
});

test("fetches beyond the purgatory's bound are refused", async () => {
  const { leader } = await setUp(ALONE, 1);
  const cancel = leader.waitForVisibleBytes(1, 1_000, () => undefined);
  expect(() => leader.waitForVisibleBytes(1, 1_000, () => undefined)).toThrow(
    expect.objectContaining({ code: "THROTTLING_QUOTA_EXCEEDED" }),
  );
  cancel();
  leader.waitForVisibleBytes(1, 1_000, () => undefined);
});

test("offsets outside the log are out of range; the end itself is where readers wait", async () => {
  const { append, leader, clock } = await setUp();
  const acknowledged = append("a");
  await clock.runUntilIdle();
  await acknowledged;
  leader.checkFetch(1, 3);
  expect(() => leader.checkFetch(2, 3)).toThrow(expect.objectContaining({ code: "OFFSET_OUT_OF_RANGE" }));
  await expect(leader.deleteRecords(2, 3)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
});

test("R14: deleted records are gone for readers before the answer", async () => {
  const { append, leader, clock } = await setUp();
  const acknowledged = Promise.all([append("a"), append("b")]);
  await clock.runUntilIdle();
  await acknowledged;
  expect(await leader.deleteRecords(1, 3)).toBe(1);
  expect(() => leader.checkFetch(0, 3)).toThrow(expect.objectContaining({ code: "OFFSET_OUT_OF_RANGE" }));
  expect(await leader.deleteRecords(-1, 3)).toBe(2);
});
