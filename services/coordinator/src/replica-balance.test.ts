import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newTopic, TestCluster, type TestCoordinator } from "./test-cluster.ts";

let cluster: TestCluster;
let coordinator: TestCoordinator;

beforeEach(async () => {
  cluster = await TestCluster.open();
  for (const nodeId of [1, 2, 3]) await cluster.registerNode(nodeId);
  coordinator = await cluster.startCoordinator();
  await coordinator.running.whenActive();
  await cluster.settle();
});

afterEach(async () => {
  await cluster.close();
});

function counts(): Record<number, number> {
  const held: Record<number, number> = {};
  for (const { replicas } of cluster.view.partitions()) {
    for (const nodeId of replicas) held[nodeId] = (held[nodeId] ?? 0) + 1;
  }
  return held;
}

function moving() {
  return [...cluster.view.partitions()].filter(({ addingReplicas }) => addingReplicas !== undefined);
}

/** As leaders do when the new replicas have caught up. */
async function catchUp(): Promise<void> {
  const epochOf = (nodeId: number) => BigInt(cluster.view.node("partition-storage", nodeId)?.nodeEpoch ?? 0);
  for (const state of moving()) {
    const { topicId, partition, leader, leaderEpoch, partitionEpoch, isr, addingReplicas = [] } = state;
    const joining = addingReplicas.filter((nodeId) => !isr.includes(nodeId));
    const added = joining.map((nodeId) => ({ nodeId, nodeEpoch: epochOf(nodeId) }));
    const wanted = [...isr, ...joining];
    const change = { topicId, partition, leaderEpoch, partitionEpoch, isr: wanted, added, lostRecords: [] };
    const asked = { nodeId: leader, nodeEpoch: epochOf(leader), changes: [change] };
    await coordinator.client.alterIsr(asked);
  }
  await cluster.settle();
}

/** Lets moves begin and end until there are none; returns how many there were at once. */
async function untilQuiet(): Promise<number> {
  let most = 0;
  for (let i = 0; i < 200; i += 1) {
    await cluster.clock.advance(1000);
    await cluster.settle();
    most = Math.max(most, moving().length);
    if (moving().length === 0 && i > 3) return most;
    await catchUp();
  }
  throw new Error("the moves do not end");
}

describe("a new storage node", () => {
  it("gets its share of replicas by itself, a few at a time", async () => {
    await coordinator.client.createTopic(newTopic("t", { partitions: 40, replicationFactor: 3 }));
    await cluster.settle();
    await cluster.registerNode(4);
    await cluster.settle();
    expect(cluster.view.storageNode(4)).toMatchObject({ filling: true });
    expect(await untilQuiet()).toBe(16);
    expect(counts()).toEqual({ 1: 30, 2: 30, 3: 30, 4: 30 });
    await cluster.clock.advance(10_000);
    await cluster.settle();
    expect(cluster.view.storageNode(4)).not.toHaveProperty("filling");
    for (const { isr, replicas } of cluster.view.partitions()) {
      expect(new Set(isr)).toEqual(new Set(replicas));
    }
  });

  it("of a cluster without topics has nothing to get", async () => {
    for (const nodeId of [1, 2, 3]) expect(cluster.view.storageNode(nodeId)).not.toHaveProperty("filling");
  });

  it("goes on being filled by another coordinator", async () => {
    await coordinator.client.createTopic(newTopic("t", { partitions: 40, replicationFactor: 3 }));
    await cluster.settle();
    await cluster.registerNode(4);
    await cluster.clock.advance(1000);
    await cluster.settle();
    expect(moving()).toHaveLength(16);
    await coordinator.running.stop();
    coordinator = await cluster.startCoordinator(2);
    await coordinator.running.whenActive();
    await untilQuiet();
    expect(counts()).toEqual({ 1: 30, 2: 30, 3: 30, 4: 30 });
  });

  it("that goes while it is filled keeps no other from its share, and can be drained", async () => {
    await coordinator.client.createTopic(newTopic("t", { partitions: 40, replicationFactor: 2 }));
    await cluster.settle();
    const gone = await cluster.registerNode(4);
    await cluster.settle();
    await cluster.clock.advance(1000);
    await cluster.settle();
    expect(moving()).toHaveLength(16);
    await gone.lease.revoke();
    await cluster.registerNode(5);
    await cluster.settle();
    await cluster.clock.advance(60_000);
    await cluster.settle();
    await untilQuiet();
    expect(counts()[4]).toBeUndefined();
    expect(counts()[5]).toBeGreaterThanOrEqual(15);
    await coordinator.client.drainNode({ nodeId: 4, drain: true });
    await cluster.settle();
    await untilQuiet();
    expect(cluster.view.storageNode(4)).toMatchObject({ drain: "drained" });
  });

  it("gets nothing while balancing is paused", async () => {
    await coordinator.client.createTopic(newTopic("t", { partitions: 8, replicationFactor: 3 }));
    await coordinator.client.alterBalancing({ paused: true });
    await cluster.settle();
    expect(cluster.view.isBalancingPaused).toBe(true);
    await cluster.registerNode(4);
    await cluster.clock.advance(60_000);
    await cluster.settle();
    expect(moving()).toEqual([]);
    await coordinator.client.alterBalancing({ paused: false });
    await cluster.clock.advance(1000);
    await cluster.settle();
    expect(moving().length).toBeGreaterThan(0);
  });
});

describe("the system's own topics", () => {
  it("get as many replicas as others when they are older than most of the nodes", async () => {
    await cluster.close();
    cluster = await TestCluster.open();
    await cluster.registerNode(1);
    const settings = { numPartitions: 1, topicDefaults: {} };
    coordinator = await cluster.startCoordinator(1, { settings });
    await coordinator.running.whenActive();
    await cluster.settle();
    const groups = newTopic("__consumer_offsets", { partitions: 5 });
    const { topicId } = await coordinator.client.createTopic(groups);
    await coordinator.client.createTopic(newTopic("t", { partitions: 5 }));
    await cluster.settle();
    expect(cluster.view.topicById(topicId)).toMatchObject({ replicationFactor: 1 });
    for (const nodeId of [2, 3]) await cluster.registerNode(nodeId);
    await cluster.settle();
    await untilQuiet();
    expect(cluster.view.topicById(topicId)).toMatchObject({ replicationFactor: 3 });
    for (const { replicas, minInsyncReplicas } of cluster.view.partitionsOf(topicId)) {
      expect(new Set(replicas)).toEqual(new Set([1, 2, 3]));
      expect(minInsyncReplicas).toBe(2);
    }
    expect(cluster.view.topicByName("t")).toMatchObject({ replicationFactor: 1 });
  });
});

describe("a cordoned storage node", () => {
  it("keeps what it has and gets nothing more, until it is resumed", async () => {
    await coordinator.client.createTopic(newTopic("t", { partitions: 9, replicationFactor: 1 }));
    await cluster.settle();
    const before = counts();
    await coordinator.client.drainNode({ nodeId: 2, drain: false, cordon: true });
    await coordinator.client.createTopic(newTopic("u", { partitions: 8, replicationFactor: 2 }));
    await cluster.settle();
    expect(cluster.view.storageNode(2)).toMatchObject({ drain: "cordoned" });
    // What leaves another node does not come to it either.
    await cluster.registerNode(4);
    await cluster.settle();
    await coordinator.client.drainNode({ nodeId: 3, drain: true });
    await untilQuiet();
    expect(counts()[2]).toBeLessThanOrEqual(before[2] ?? 0);
    expect(counts()[3]).toBeUndefined();
    await coordinator.client.drainNode({ nodeId: 2, drain: false });
    await untilQuiet();
    expect(counts()[2]).toBeGreaterThan(before[2] ?? 0);
  });

  it("is refused while the feature level does not know the word, and with a drain at once", async () => {
    await cluster.close();
    cluster = await TestCluster.open();
    await cluster.registerNode(1);
    const settings = { numPartitions: 1, topicDefaults: {}, initialFeatureLevel: 1 };
    coordinator = await cluster.startCoordinator(1, { settings });
    await coordinator.running.whenActive();
    await cluster.settle();
    const cordon = { nodeId: 1, drain: false, cordon: true };
    await expect(coordinator.client.drainNode(cordon)).rejects.toThrow("needs feature level 2");
    await coordinator.client.raiseFeatureLevel({});
    await cluster.settle();
    await coordinator.client.drainNode(cordon);
    await expect(coordinator.client.drainNode({ ...cordon, drain: true })).rejects.toThrow(
      "given with `drain`",
    );
  });
});

describe("draining a storage node", () => {
  it("empties it, keeps new replicas off it, and is undone by filling it again", async () => {
    await cluster.registerNode(4);
    await cluster.settle();
    await coordinator.client.createTopic(newTopic("t", { partitions: 40, replicationFactor: 3 }));
    await cluster.settle();
    const { revision } = await coordinator.client.drainNode({ nodeId: 2, drain: true });
    await cluster.view.waitForRevision(Number(revision));
    expect(cluster.view.storageNode(2)).toMatchObject({ drain: "draining" });
    expect(await untilQuiet()).toBe(16);
    expect(counts()).toEqual({ 1: 40, 3: 40, 4: 40 });
    expect(cluster.view.storageNode(2)).toMatchObject({ drain: "drained" });
    await coordinator.client.createTopic(newTopic("u", { partitions: 3, replicationFactor: 3 }));
    await cluster.settle();
    expect(counts()[2]).toBeUndefined();
    await coordinator.client.drainNode({ nodeId: 2, drain: false });
    await cluster.settle();
    await untilQuiet();
    expect(counts()[2]).toBeGreaterThanOrEqual(31);
  });

  it("works for a node that is gone for good", async () => {
    const gone = await cluster.registerNode(4);
    await cluster.settle();
    await coordinator.client.createTopic(newTopic("t", { partitions: 8, replicationFactor: 3 }));
    await cluster.settle();
    await gone.lease.revoke();
    await cluster.settle();
    await coordinator.client.drainNode({ nodeId: 4, drain: true });
    await cluster.settle();
    await untilQuiet();
    expect(counts()).toEqual({ 1: 8, 2: 8, 3: 8 });
    expect(cluster.view.storageNode(4)).toMatchObject({ drain: "drained" });
  });

  it("is refused for nodes that do not exist and where too few would be left", async () => {
    await expect(coordinator.client.drainNode({ nodeId: 9, drain: true })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    await coordinator.client.createTopic(newTopic("t", { replicationFactor: 3 }));
    await cluster.settle();
    await expect(coordinator.client.drainNode({ nodeId: 1, drain: true })).rejects.toMatchObject({
      code: "INVALID_REPLICATION_FACTOR",
    });
  });
});
