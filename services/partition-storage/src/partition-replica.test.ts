import { OttlaError } from "@ottla/errors";
import { createLogResources, DEFAULT_LOG_CONFIG, SegmentedLog } from "@ottla/log";
import { encodeBatch } from "@ottla/records";
import { Deadlines, MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { PartitionReplica, type ReplicaAssignment } from "./partition-replica.ts";
import { FetchPurgatoryLimit } from "./waiting-fetches.ts";

const TERM = { leaderEpoch: 3, isr: [1], minInsyncReplicas: 1 };
const LEADS: ReplicaAssignment = { term: TERM, config: DEFAULT_LOG_CONFIG };

function setUp(options: { refuseAppends?: () => OttlaError | undefined } = {}) {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const disk = new MemoryDisk({ clock, random });
  const resources = createLogResources({ disk, clock, random, logger: nullLogger });
  const openLog = (): Promise<SegmentedLog> =>
    SegmentedLog.open({ directory: "/log", resources, config: DEFAULT_LOG_CONFIG, topicId: "t", ...options });
  const errors: unknown[] = [];
  const logger = { ...nullLogger, error: (facts: unknown) => errors.push(facts) };
  const replica = new PartitionReplica({
    topicId: "t",
    partition: 0,
    name: "t-0",
    nodeId: 1,
    assignment: LEADS,
    openLog,
    clock,
    deadlines: new Deadlines({ clock }),
    purgatoryLimit: new FetchPurgatoryLimit(100),
    logger: Object.assign(Object.create(nullLogger), logger),
    onLeaderChange: () => undefined,
    onRetentionChange: () => undefined,
  });
  return { clock, disk, replica, openLog, errors };
}

test("a partition is led, and so can be read, although the disk is too full for appends", async () => {
  const full = new OttlaError("KAFKA_STORAGE_ERROR", "the disk is full");
  const { clock, replica } = setUp({ refuseAppends: () => full });
  void replica.open();
  await clock.runUntilIdle();
  expect(replica.failure).toBeUndefined();
  expect(replica.leader?.offsets()).toMatchObject({ highWatermark: 0, leaderEpoch: 3 });
});

test("a term that cannot begin is tried again, and begins when the log may be led", async () => {
  const { clock, replica, openLog } = setUp();
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
  void replica.open();
  await clock.advance(10_000);
  expect(replica.leader).toBeUndefined();
  expect(replica.failure?.code).toBe("FENCED_LEADER_EPOCH");
  replica.assign({ ...LEADS, term: { ...TERM, leaderEpoch: 6 } });
  expect(replica.leader?.leaderEpoch).toBe(6);
  expect(replica.failure).toBeUndefined();
});

test("a log that finds no room to begin is opened by itself when there is some", async () => {
  const { clock, disk, replica } = setUp();
  const fault = disk.faults.fail({ operation: "write" }, "ENOSPC");
  void replica.open();
  await clock.advance(5_000);
  expect(replica.log).toBeUndefined();
  expect(replica.failure).toBeDefined();
  fault.remove();
  await clock.advance(40_000);
  expect(replica.leader?.leaderEpoch).toBe(3);
  expect(replica.failure).toBeUndefined();
});

test("an open that the deletion of the topic overtakes ends without an error in the log", async () => {
  const { clock, disk, replica, errors } = setUp();
  const stall = disk.faults.stall({ operation: "write", path: /partition\.metadata/ });
  void replica.open();
  await clock.advance(1_000);
  expect(stall.waiting).toBe(1);
  disk.faults.fail({ operation: "rename" }, "ENOENT");
  const discarded = replica.discard();
  stall.release();
  await clock.runUntilIdle();
  await discarded;
  expect(errors).toEqual([]);
  expect(replica.log).toBeUndefined();
});
