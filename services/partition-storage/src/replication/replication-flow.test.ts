import { afterEach, expect, test } from "vitest";
import { batchOf, TestCluster, type TestClusterOptions } from "./test-cluster.ts";

const KIBIBYTE = 1024;
const UNTHROTTLED = 1_000_000_000;

let cluster: TestCluster;

async function start(options: TestClusterOptions): Promise<void> {
  cluster = await TestCluster.start(options);
}

afterEach(() => cluster.close());

test("a follower whose disk hangs stops its leader at the window, and nobody else", async () => {
  const windowBytes = 100 * KIBIBYTE;
  await start({
    transport: "in-process",
    receiving: { windowBytes, catchUpBytesPerSecond: UNTHROTTLED },
    sending: { maxReadBytes: 10 * KIBIBYTE },
  });
  const stall = cluster.node(1).disk.faults.stall({ operation: "write" });
  for (let round = 0; round < 100; round += 1) cluster.replica(0).append(batchOf(10, 1_000));
  await cluster.until(() => cluster.replica(2).log.syncedEndOffset === 1_000);
  // The leader's node has sent node 2 everything, and node 1 what its window holds, one batch beyond at most.
  const total = cluster.replica(0).log.sizeBytes;
  const received = await cluster.node(1).metric("received_bytes_total");
  expect(received).toBeGreaterThan(windowBytes / 2);
  expect(received).toBeLessThan(windowBytes + 2 * 10_200);
  stall.release();
  await cluster.untilReplicated();
  expect(await cluster.node(1).metric("received_bytes_total")).toBe(total);
});

test("streams that break while the disk hangs do not add up to more than one window", async () => {
  const windowBytes = 100 * KIBIBYTE;
  await start({
    transport: "in-process",
    nodes: 2,
    receiving: { windowBytes, catchUpBytesPerSecond: UNTHROTTLED, maxReconnectDelayMs: 5 },
    sending: { maxReadBytes: 10 * KIBIBYTE },
  });
  const stall = cluster.node(1).disk.faults.stall({ operation: "write" });
  for (let round = 0; round < 100; round += 1) cluster.replica(0).append(batchOf(10, 1_000));
  const follower = cluster.replica(1);
  for (let round = 1; round <= 5; round += 1) {
    await cluster.until(() => follower.unreleasedBytes > windowBytes / 2);
    await cluster.breakConnections();
    await cluster.until(() => follower.connectedCount > round);
  }
  expect(follower.unreleasedBytes).toBeLessThan(windowBytes + 2 * 10_200);
  stall.release();
  await cluster.untilReplicated();
  expect(follower.unreleasedBytes).toBe(0);
});

test("a batch larger than the whole window passes, in sync and catching up", async () => {
  const receiving = { windowBytes: 64 * KIBIBYTE, catchUpWindowBytes: 64 * KIBIBYTE };
  for (const isr of [[0, 1], [0]]) {
    await start({
      transport: "gRPC",
      nodes: 2,
      isr,
      receiving: { ...receiving, catchUpBytesPerSecond: UNTHROTTLED },
    });
    for (let round = 0; round < 5; round += 1) cluster.replica(0).append(batchOf(3, 300_000));
    await cluster.untilReplicated();
    expect(cluster.replica(1).log.syncedEndOffset).toBe(15);
    await cluster.close();
  }
});

test("a partition that catches up behind the throttle takes nothing from those in sync", async () => {
  await start({
    transport: "in-process",
    nodes: 2,
    partitions: 2,
    receiving: { catchUpWindowBytes: 128 * KIBIBYTE, catchUpBytesPerSecond: 64 * KIBIBYTE },
  });
  // Partition 1 of node 1 is outside the ISR and has a long way to go.
  cluster.node(1).client.close();
  cluster.elect(1, 0, { isr: [0] });
  for (let round = 0; round < 50; round += 1) cluster.replica(0, 1).append(batchOf(10, 10_000));
  await cluster.replica(0, 1).log.flush();
  cluster.restartClient(1);
  await cluster.until(() => cluster.replica(1, 1).log.logEndOffset > 0);
  for (let round = 0; round < 100; round += 1) cluster.replica(0, 0).append(batchOf(10, 10_000));
  await cluster.until(() => cluster.replica(0, 0).state.highWatermark === 1_000);
  expect(cluster.replica(1, 0).log.syncedEndOffset).toBe(1_000);
  expect(cluster.replica(1, 1).log.logEndOffset).toBeLessThan(200);
  expect(await cluster.node(1).metric("catch_up_received_bytes_total")).toBeGreaterThan(0);
});

test("a replica that has joined the ISR is not throttled any more", async () => {
  await start({
    transport: "in-process",
    nodes: 2,
    isr: [0],
    receiving: { catchUpWindowBytes: 128 * KIBIBYTE, catchUpBytesPerSecond: 64 * KIBIBYTE },
  });
  cluster.replica(0).append(batchOf(10, 100));
  await cluster.until(() => cluster.terms.get(0)?.isr.length === 2);
  // With the throttle this would take minutes.
  for (let round = 0; round < 100; round += 1) cluster.replica(0).append(batchOf(10, 10_000));
  await cluster.untilReplicated();
  expect(await cluster.node(1).metric("catch_up_received_bytes_total")).toBeLessThan(1_000_000);
});

test("partitions of one stream are served in turn: a long one keeps no short one waiting", async () => {
  await start({
    transport: "in-process",
    nodes: 2,
    partitions: 2,
    sending: { maxReadBytes: 10 * KIBIBYTE, maxConcurrentReads: 1, maxMessageBytes: 10 * KIBIBYTE },
    receiving: { windowBytes: 64 * KIBIBYTE, catchUpBytesPerSecond: UNTHROTTLED },
  });
  for (let round = 0; round < 1_000; round += 1) cluster.replica(0, 0).append(batchOf(10, 1_000));
  await cluster.until(() => cluster.replica(1, 0).log.logEndOffset > 0);
  cluster.replica(0, 1).append(batchOf(1, 1_000));
  await cluster.until(() => cluster.replica(1, 1).log.logEndOffset === 1);
  expect(cluster.replica(1, 0).log.logEndOffset).toBeLessThan(9_000);
  await cluster.untilReplicated();
});

test("more partitions than a session holds wait for their turn", async () => {
  await start({ transport: "in-process", nodes: 2, partitions: 3, sending: { maxPartitions: 2 } });
  for (const partition of [0, 1, 2]) cluster.replica(0, partition).append(batchOf(5));
  await cluster.until(() =>
    [0, 1].every((partition) => cluster.replica(1, partition).state.highWatermark === 5),
  );
  expect(cluster.replica(1, 2).connectedCount).toBe(0);
  cluster.node(1).client.unfollow(cluster.replica(1, 0));
  await cluster.untilReplicated();
});

test("a log that cannot be read is reported, and the others of the stream go on", async () => {
  await start({ transport: "in-process", nodes: 2, partitions: 2, tailCacheBytes: 0 });
  cluster.node(1).client.close();
  for (const partition of [0, 1]) cluster.replica(0, partition).append(batchOf(50));
  await cluster.replica(0, 0).log.flush();
  await cluster.replica(0, 1).log.flush();
  cluster.node(0).disk.flipBit("/data/t-0/00000000000000000000.log");
  cluster.restartClient(1);
  await cluster.until(() => cluster.replica(0, 1).state.highWatermark === 50);
  await cluster.until(() => cluster.replica(0, 0).failures.length > 0);
  expect(cluster.replica(0, 0).failures[0]?.code).toBe("CORRUPT_MESSAGE");
  await cluster.until(() => cluster.replica(1, 0).refusals.includes("storage-error"));
  expect(await cluster.node(0).metric("refusals_total")).toBeGreaterThan(0);
});
