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

test("a follower answers readers with what it knows to be committed, nothing else (KIP-392)", async () => {
  const led = { leader: 2, leaderNodeEpoch: 11, replicas: [1, 2], isr: [1, 2] };
  const { clock, replica } = createTestReplica({ state: partitionState(led) });
  void replica.openLog();
  await clock.runUntilIdle();
  const { follower, open } = replica;
  const head = { leaderEpoch: 3, positionVersion: 1, logStartOffset: 0, logEndOffset: 1 };
  open?.onPositionAnswer({ ...head, highWatermark: 0, outcome: { kind: "accepted" } });
  const woken: unknown[] = [];
  follower?.waitForVisibleBytes(1, 60_000, (reason) => woken.push(reason));
  let released = 0;
  const batch = leaderBatch(3);
  const release = (): void => {
    released += 1;
  };
  // Cut in two, as the network may do.
  const chunks = [batch.subarray(0, 20), batch.subarray(20)];
  open?.onRecords({ ...head, highWatermark: 0, baseOffset: 0, nextOffset: 1 }, chunks, release);
  await clock.runUntilIdle();
  expect({ released, end: replica.log?.syncedEndOffset }).toEqual({ released: 1, end: 1 });
  expect(woken).toEqual([]);
  expect(() => follower?.checkFetch(1, 3)).toThrow(
    expect.objectContaining({ code: "NOT_LEADER_OR_FOLLOWER" }),
  );
  open?.onRecords({ ...head, highWatermark: 1, baseOffset: 1, nextOffset: 1 }, [], () => undefined);
  expect(woken).toEqual(["ready"]);
  follower?.checkFetch(0, 3);
  const read = follower?.read(0, 1_000);
  await clock.runUntilIdle();
  expect(await read).toMatchObject({ nextOffset: 1 });
  expect(() => follower?.checkFetch(0, 2)).toThrow(
    expect.objectContaining({ code: "NOT_LEADER_OR_FOLLOWER" }),
  );
});

test("a follower that cannot append drops what comes, frees its memory, and asks again later", async () => {
  const led = { leader: 2, leaderNodeEpoch: 11, replicas: [1, 2], isr: [1, 2] };
  let full: OttlaError | undefined = new OttlaError("KAFKA_STORAGE_ERROR", "the disk is full");
  const { clock, replica } = createTestReplica({
    state: partitionState(led),
    log: { refuseAppends: () => full },
  });
  void replica.openLog();
  await clock.runUntilIdle();
  const head = { leaderEpoch: 3, logStartOffset: 0, logEndOffset: 1, highWatermark: 0 };
  const answer = (positionVersion: number): void => {
    const accepted = { kind: "accepted" } as const;
    replica.open?.onPositionAnswer({ ...head, positionVersion, outcome: accepted });
  };
  let released = 0;
  const send = (positionVersion: number): void => {
    const records = { ...head, positionVersion, baseOffset: 0, nextOffset: 1 };
    replica.open?.onRecords(records, [leaderBatch(3)], () => {
      released += 1;
    });
  };
  answer(1);
  send(1);
  send(1);
  expect({ released, end: replica.log?.logEndOffset }).toEqual({ released: 2, end: 0 });
  full = undefined;
  await clock.advance(1_000);
  answer(2);
  send(2);
  await clock.runUntilIdle();
  expect({ released, end: replica.log?.logEndOffset }).toEqual({ released: 3, end: 1 });
});

/** A batch as a leader has stored it at the log's start. */
function leaderBatch(leaderEpoch: number): Uint8Array {
  const batch = encodeBatch([{ timestampMs: 0, key: null, value: null }]);
  new DataView(batch.buffer, batch.byteOffset).setInt32(12, leaderEpoch);
  return batch;
}

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

test("R12: a partition whose directory is removed under it reports its loss and does not lead", async () => {
  const replicas = { replicas: [1, 2], isr: [1, 2] };
  const { clock, disk, node, replica, assign } = createTestReplica({ state: partitionState(replicas) });
  void replica.openLog();
  await clock.runUntilIdle();
  replica.leader?.append(produced(), () => undefined);
  await clock.advance(100);
  const { log } = replica;
  expect(log?.flushedEndOffset).toBe(1);
  await Promise.all([disk.removeDirectory("/log"), clock.advance(100)]);
  const checkpoint = log?.checkpoint(0).catch(() => undefined);
  await clock.advance(100);
  await checkpoint;
  expect(replica.leader).toBeUndefined();
  await clock.advance(40_000);
  expect(replica.log?.damagedFrom).toBe(0);
  assign({ ...replicas, leaderEpoch: 4, partitionEpoch: 2 });
  await clock.advance(1_000);
  expect(replica.leader).toBeUndefined();
  expect(node.reports).toContainEqual(expect.objectContaining({ kind: "damaged" }));
});
