import { OttlaError } from "@ottla/errors";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { encodeBatch } from "@ottla/records";
import { expect, test } from "vitest";
import { createTestReplica, partitionState } from "./test-replica.ts";

test("a partition is led, and so can be read, although the disk is too full for appends", async () => {
  const full = new OttlaError("KAFKA_STORAGE_ERROR", "the disk is full");
  const { clock, replica } = createTestReplica({ log: { refuseAppends: () => full } });
  void replica.openLog();
  await clock.runUntilIdle();
  expect(replica.failure).toBeUndefined();
  expect(replica.leader?.offsets()).toMatchObject({ highWatermark: 0, leaderEpoch: 3 });
});

test("a term that cannot begin is tried again, and begins when the log may be led", async () => {
  const { clock, replica, openLog, assign } = createTestReplica();
  const opened = openLog();
  await clock.runUntilIdle();
  const log = await opened;
  log.beginLeaderEpoch(5);
  log.append(encodeBatch([{ timestampMs: 0, key: null, value: null }]), {
    leaderEpoch: 5,
    validated: true,
    origin: "client",
  });
  const closed = log.close();
  await clock.runUntilIdle();
  await closed;
  void replica.openLog();
  await clock.advance(10_000);
  expect(replica.leader).toBeUndefined();
  expect(replica.failure?.code).toBe("FENCED_LEADER_EPOCH");
  assign({ leaderEpoch: 6, partitionEpoch: 2 });
  expect(replica.leader?.leaderEpoch).toBe(6);
  expect(replica.failure).toBeUndefined();
});

test("a log that finds no room to begin is opened by itself when there is some", async () => {
  const { clock, disk, replica } = createTestReplica();
  const fault = disk.faults.fail({ operation: "write" }, "ENOSPC");
  void replica.openLog();
  await clock.advance(5_000);
  expect(replica.log).toBeUndefined();
  expect(replica.failure).toBeDefined();
  fault.remove();
  await clock.advance(40_000);
  expect(replica.leader?.leaderEpoch).toBe(3);
  expect(replica.failure).toBeUndefined();
});

test("an open that the deletion of the topic overtakes ends without an error in the log", async () => {
  const { clock, disk, replica, errors } = createTestReplica();
  const stall = disk.faults.stall({ operation: "write", path: /partition\.metadata/ });
  void replica.openLog();
  await clock.advance(1_000);
  expect(stall.waiting).toBe(1);
  disk.faults.fail({ operation: "rename" }, "ENOENT");
  const discarded = replica.discard(new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", "t-0 was deleted"));
  stall.release();
  await clock.runUntilIdle();
  await discarded;
  expect(errors).toEqual([]);
  expect(replica.log).toBeUndefined();
});

test("a log that failed is led again at once where there is no other replica", async () => {
  const { clock, disk, replica } = createTestReplica();
  void replica.openLog();
  await clock.runUntilIdle();
  const fault = disk.faults.fail({ operation: "write", path: /\.log$/ }, "EIO");
  replica.leader?.append(produced(), () => undefined);
  await clock.advance(100);
  expect(replica.leader).toBeUndefined();
  fault.remove();
  await clock.advance(40_000);
  expect(replica.leader?.leaderEpoch).toBe(3);
});

test("R2: a log that failed is not led again in its epoch where others may have what it lost", async () => {
  const state = { replicas: [1, 2], isr: [1, 2] };
  const { clock, disk, node, replica, assign } = createTestReplica({ state: partitionState(state) });
  void replica.openLog();
  await clock.runUntilIdle();
  const fault = disk.faults.fail({ operation: "write", path: /\.log$/ }, "EIO");
  replica.leader?.append(produced(), () => undefined);
  await clock.advance(100);
  fault.remove();
  await clock.advance(40_000);
  expect(replica.log).toBeDefined();
  expect(replica.leader).toBeUndefined();
  expect(node.reports).toContainEqual({ kind: "resigned", leaderEpoch: 3 });
  assign({ ...state, leaderEpoch: 4, partitionEpoch: 2 });
  expect(replica.leader?.leaderEpoch).toBe(4);
});

function produced() {
  return {
    leaderEpoch: 3,
    acks: Acks.ALL,
    timeoutMs: 1_000,
    validated: true,
    batch: encodeBatch([{ timestampMs: 0, key: null, value: null }]),
    expectedEndOffset: undefined,
  };
}
