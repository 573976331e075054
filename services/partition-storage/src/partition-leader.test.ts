import type { OttlaError } from "@ottla/errors";
import type { ClusterPartition } from "@ottla/metadata";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { encodeBatch } from "@ottla/records";
import { expect, test } from "vitest";
import { createTestReplica, partitionState } from "./test-replica.ts";
import type { AppendAcknowledgement } from "./waiting-appends.ts";
import type { FetchWake } from "./waiting-fetches.ts";

const TIMEOUT_MS = 30_000;

async function setUp(change: Partial<ClusterPartition> = {}, maxWaitingFetches = 100) {
  const parts = createTestReplica({ state: partitionState(change), maxWaitingFetches });
  const { clock, replica } = parts;
  void replica.openLog();
  await clock.runUntilIdle();
  const { leader, log } = replica;
  if (leader === undefined || log === undefined) throw new Error("the partition is not led");
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
  return { ...parts, log, leader, append };
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
  const { append, leader, clock } = await setUp({ replicas: [1, 2], minInsyncReplicas: 2 });
  expect(() => append("a")).toThrow(expect.objectContaining({ code: "NOT_ENOUGH_REPLICAS" }));
  const acknowledged = append("a", { acks: Acks.LEADER });
  await clock.runUntilIdle();
  expect(await acknowledged).toMatchObject({ baseOffset: 0 });
  expect(leader.highWatermark).toBe(0);
});

test("R15: the end of a term fails all who wait, and everything after it", async () => {
  const { append, leader, assign, clock } = await setUp();
  const waiting = append("a");
  const woken: FetchWake[] = [];
  leader.waitForVisibleBytes(1, 60_000, (reason) => woken.push(reason));
  assign({ leaderEpoch: 4, partitionEpoch: 2 });
  expect(await waiting).toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER" });
  expect(woken).toMatchObject([{ code: "NOT_LEADER_OR_FOLLOWER" }]);
  expect(() => append("b")).toThrow(expect.objectContaining({ code: "NOT_LEADER_OR_FOLLOWER" }));
  await clock.runUntilIdle();
  expect(leader.highWatermark).toBe(0);
});

test("an append that a follower holds up times out with an unknown outcome", async () => {
  const { append, clock } = await setUp({ replicas: [1, 2], isr: [1, 2] });
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
  const { leader } = await setUp({}, 1);
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
  await expect(leader.deleteRecords(2, 3, TIMEOUT_MS)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
});

test("R14: deleted records are gone for readers before the answer", async () => {
  const { append, leader, clock } = await setUp();
  const acknowledged = Promise.all([append("a"), append("b")]);
  await clock.runUntilIdle();
  await acknowledged;
  expect(await leader.deleteRecords(1, 3, TIMEOUT_MS)).toBe(1);
  expect(() => leader.checkFetch(0, 3)).toThrow(expect.objectContaining({ code: "OFFSET_OUT_OF_RANGE" }));
  expect(await leader.deleteRecords(-1, 3, TIMEOUT_MS)).toBe(2);
});

test("R14: a deletion waits for no replica that is not in sync", async () => {
  const { append, leader, clock } = await setUp({ replicas: [1, 2], isr: [1] });
  const appended = append("a");
  await clock.runUntilIdle();
  await appended;
  const deleted = leader.deleteRecords(1, 3, 500);
  await clock.advance(1_000);
  expect(await deleted).toBe(1);
});

test("R4: producers that wait learn at once that the ISR has become too small", async () => {
  const { append, clock, assign } = await setUp({ replicas: [1, 2], isr: [1, 2], minInsyncReplicas: 2 });
  const waiting = append("a");
  assign({ replicas: [1, 2], isr: [1], minInsyncReplicas: 2, partitionEpoch: 2 });
  await clock.runUntilIdle();
  const result = await waiting;
  expect(result).toMatchObject({ code: "NOT_ENOUGH_REPLICAS_AFTER_APPEND" });
  expect((result as OttlaError).metadata["not_appended"]).toBeUndefined();
});

test("R5: a leader that does not know its high watermark yet tells no latest offset", async () => {
  const { append, leader, clock, assign, replica } = await setUp({ replicas: [1, 2], isr: [1, 2] });
  expect(leader.latestOffset()).toBe(0);
  const appended = append("a", { acks: Acks.LEADER });
  await clock.runUntilIdle();
  await appended;
  assign({ replicas: [1, 2], isr: [1, 2], leaderEpoch: 4, partitionEpoch: 2 });
  expect(() => replica.leader?.latestOffset()).toThrow(
    expect.objectContaining({ code: "OFFSET_NOT_AVAILABLE" }),
  );
});

test("R10: without its lease a leader takes no weak acks", async () => {
  const { append, replica } = await setUp();
  replica.open?.onLease(false);
  expect(() => append("a", { acks: Acks.LEADER })).toThrow(
    expect.objectContaining({ code: "NOT_LEADER_OR_FOLLOWER" }),
  );
  void append("a");
});
