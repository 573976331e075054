import { afterEach, expect, test } from "vitest";
import { batchOf, logBytes, TestCluster, type TestClusterOptions } from "./test-cluster.ts";

let cluster: TestCluster;

async function start(options: TestClusterOptions): Promise<TestCluster> {
  cluster = await TestCluster.start(options);
  return cluster;
}

afterEach(() => cluster.close());

/** The nodes whose logs are not the same as that of node 0, byte for byte. */
async function unequalLogs(partition = 0): Promise<number[]> {
  const unequal: number[] = [];
  const leader = await logBytes(cluster.replica(0, partition));
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
