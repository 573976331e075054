import { SeededRandom } from "@ottla/runtime";
import { afterEach, expect, test } from "vitest";
import { batchOf, logBytes, TestCluster, type TestClusterOptions } from "./test-cluster.ts";

let cluster: TestCluster;

async function start(options: TestClusterOptions): Promise<void> {
  cluster = await TestCluster.start(options);
}

afterEach(() => cluster.close());

/** The nodes whose logs are not the same as the leader's, byte for byte. */
async function unequalLogs(partition = 0): Promise<number[]> {
  const unequal: number[] = [];
  const leader = await logBytes(cluster.leader(partition));
  for (const { nodeId } of cluster.nodes) {
    if (!(await logBytes(cluster.replica(nodeId, partition))).equals(leader)) unequal.push(nodeId);
  }
  return unequal;
}

const TRANSPORTS = [{ transport: "gRPC" }, { transport: "in-process" }] as const;

test.each(TRANSPORTS)(
  "$transport: followers get the leader's bytes and learn what is committed",
  async (transport) => {
    await start({ ...transport, partitions: 3 });
    for (let round = 0; round < 50; round += 1) {
      for (const partition of [0, 1, 2]) cluster.replica(0, partition).append(batchOf(1 + (round % 3), 200));
    }
    await cluster.untilReplicated();
    for (const partition of [0, 1, 2]) expect(await unequalLogs(partition)).toEqual([]);
  },
);

test.each(TRANSPORTS)(
  "$transport: connections that break lose nothing and repeat nothing",
  async (transport) => {
    await start({ ...transport, partitions: 2, sending: { maxReadBytes: 10_000 } });
    const random = new SeededRandom(4);
    for (let round = 0; round < 60; round += 1) {
      for (const partition of [0, 1]) {
        cluster.replica(0, partition).append(batchOf(1 + random.integer(20), random.integer(2_000)));
      }
      const reached = cluster.replica(1 + random.integer(2), random.integer(2));
      if (random.float() < 0.3) await cluster.until(() => reached.log.logEndOffset > random.integer(100));
      if (random.float() < 0.3) await cluster.breakConnections();
    }
    await cluster.untilReplicated();
    for (const partition of [0, 1]) expect(await unequalLogs(partition)).toEqual([]);
    expect(await cluster.node(1).metric("broken_streams_total")).toBeGreaterThan(0);
  },
);

test.each(TRANSPORTS)("$transport: leaders move, and each new one is followed", async (transport) => {
  await start({ ...transport, partitions: 4 });
  for (let round = 0; round < 12; round += 1) {
    for (const partition of [0, 1, 2, 3]) {
      for (let count = 0; count < 3; count += 1) cluster.leader(partition).append(batchOf(5, 300));
      cluster.elect(partition, (round + partition) % 3);
      cluster.leader(partition).append(batchOf(1, 300));
    }
    if (round % 3 === 0) await cluster.untilReplicated();
  }
  await cluster.untilReplicated();
  for (const partition of [0, 1, 2, 3]) expect(await unequalLogs(partition)).toEqual([]);
});

test("what lies in files only is fetched from there, however small the pieces", async () => {
  await start({ transport: "in-process", tailCacheBytes: 0, nodes: 2, sending: { maxReadBytes: 5_000 } });
  cluster.node(1).client.close();
  for (let round = 0; round < 100; round += 1) cluster.replica(0).append(batchOf(10, 100));
  await cluster.replica(0).log.flush();
  cluster.restartClient(1);
  await cluster.untilReplicated();
  expect(await unequalLogs()).toEqual([]);
});

test("a follower that is new, and one that has what nobody else has, end up like the leader", async () => {
  await start({ transport: "in-process", nodes: 2 });
  cluster.replica(0).append(batchOf(5));
  await cluster.untilReplicated();
  // Node 1 writes what never reaches node 0, and node 0 leads again.
  cluster.node(0).client.close();
  cluster.elect(0, 1, { isr: [1] });
  cluster.replica(1).append(batchOf(7));
  await cluster.replica(1).log.flush();
  cluster.restartClient(0);
  cluster.elect(0, 0, { isr: [0] });
  cluster.replica(0).append(batchOf(3));
  await cluster.untilReplicated();
  expect(cluster.replica(1).log.logEndOffset).toBe(8);
  expect(await unequalLogs()).toEqual([]);
});

test("a follower behind the leader's log start begins anew there", async () => {
  await start({ transport: "in-process", nodes: 2, log: { segmentBytes: 20_000 }, isr: [0] });
  cluster.replica(0).append(batchOf(5));
  await cluster.untilReplicated();
  cluster.node(1).client.close();
  for (let round = 0; round < 40; round += 1) cluster.replica(0).append(batchOf(10, 500));
  await cluster.replica(0).log.flush();
  await cluster.replica(0).log.deleteRecordsBefore(205);
  cluster.restartClient(1);
  await cluster.untilReplicated();
  expect(cluster.replica(1).log.logStartOffset).toBe(205);
  expect(await unequalLogs()).toEqual([]);
});

test("a term that the leader hears of last is served once it has", async () => {
  await start({ transport: "in-process", nodes: 2 });
  cluster.replica(0).append(batchOf(5));
  await cluster.untilReplicated();
  cluster.elect(0, 0, {}, [1]);
  const refused = () => cluster.replica(1).refusals.includes("unknown-leader-epoch");
  await cluster.until(refused);
  cluster.tellAgain(0);
  cluster.replica(0).append(batchOf(5));
  cluster.replica(1).waitedLong();
  await cluster.untilReplicated();
  expect(refused()).toBe(true);
});
