import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newTopic, TestCluster, type TestCoordinator } from "./test-cluster.ts";

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.open();
});

afterEach(async () => {
  await cluster.close();
});

async function startActive(nodeId = 1): Promise<TestCoordinator> {
  const coordinator = await cluster.startCoordinator(nodeId);
  await coordinator.running.whenActive();
  await cluster.settle();
  return coordinator;
}

async function createTopic(
  coordinator: TestCoordinator,
  partitions = 3,
  replicationFactor = 1,
  configs = {},
) {
  const request = newTopic("t", { partitions, replicationFactor, configs });
  const { topicId } = await coordinator.client.createTopic(request);
  await cluster.settle();
  return topicId;
}

function partitions() {
  return [...cluster.view.partitions()].sort((left, right) => left.partition - right.partition);
}

async function metric(coordinator: TestCoordinator, name: string): Promise<number | undefined> {
  return (await coordinator.metrics.getSingleMetric(name)?.get())?.values[0]?.value;
}

describe("election", () => {
  it("leaves one active; standbys name it and refuse requests", async () => {
    const first = await startActive(1);
    const second = await cluster.startCoordinator(2);
    await cluster.clock.advance(10_000);
    expect(first.running.isActive).toBe(true);
    expect(second.running.isActive).toBe(false);
    expect(cluster.view.controller).toMatchObject({ nodeId: 1, address: "coordinator-1:50051" });
    expect(cluster.view.nodes("coordinator").map(({ nodeId }) => nodeId)).toEqual([1, 2]);
    await expect(second.client.createTopic(newTopic("t"))).rejects.toMatchObject({
      code: "NOT_CONTROLLER",
      metadata: { controllerId: "1" },
    });
    expect(await metric(first, "ottla_coordinator_active_state")).toBe(1);
    expect(await metric(second, "ottla_coordinator_active_state")).toBe(0);
  });

  it("hands the office on at once when the active one stops, within its lease when it crashes", async () => {
    const first = await startActive(1);
    const second = await cluster.startCoordinator(2);
    await cluster.clock.runUntilIdle();
    await first.running.stop();
    await cluster.clock.runUntilIdle();
    expect(second.running.isActive).toBe(true);
    const third = await cluster.startCoordinator(3);
    second.store.faults.unavailable = true;
    await cluster.clock.advance(3000);
    expect(second.running.isActive).toBe(false);
    await cluster.clock.advance(1500);
    expect(third.running.isActive).toBe(true);
  });

  it("changes nothing after it was deposed, even while it believes to be elected (R1)", async () => {
    await cluster.registerNode(1);
    const first = await startActive(1);
    const second = await cluster.startCoordinator(2);
    await cluster.clock.runUntilIdle();
    // Its lease is revoked too early: the next keep-alive would tell it.
    const held = await cluster.store.get(cluster.view.keys.controller);
    cluster.server.endLease(held?.leaseId ?? "");
    await cluster.clock.runUntilIdle();
    expect(second.running.isActive).toBe(true);
    expect(first.running.isActive).toBe(true);
    await expect(first.client.createTopic(newTopic("t"))).rejects.toMatchObject({ code: "NOT_CONTROLLER" });
    await cluster.settle();
    expect(first.running.isActive).toBe(false);
    expect(cluster.view.topicNames()).toEqual([]);
    await second.client.createTopic(newTopic("t"));
  });

  it("waits while the metadata store is away and goes on afterwards", async () => {
    await cluster.registerNode(1);
    const coordinator = await startActive();
    coordinator.store.faults.unavailable = true;
    await cluster.clock.advance(30_000);
    expect(coordinator.running.isActive).toBe(false);
    coordinator.store.faults.unavailable = false;
    await cluster.clock.advance(30_000);
    expect(coordinator.running.isActive).toBe(true);
    await coordinator.client.createTopic(newTopic("t"));
  });
});

describe("unfinished work", () => {
  it("of a coordinator that was lost is finished by the next one", async () => {
    await cluster.registerNode(1);
    const first = await startActive(1);
    // The first transaction gets through; then the coordinator is cut off.
    first.store.faults.latencyMs = 10;
    const created = first.client.createTopic(newTopic("t", { partitions: 500 })).catch(() => "failed");
    await cluster.clock.advance(15);
    await cluster.clock.advance(10);
    first.store.faults.unavailable = true;
    await cluster.settle();
    expect(cluster.view.topicByName("t")).toBeUndefined();
    const creating = [...cluster.view.topics()];
    expect(creating).toMatchObject([{ name: "t", phase: "creating" }]);
    const second = await cluster.startCoordinator(2);
    await cluster.clock.advance(20_000);
    expect(await created).toBe("failed");
    expect(second.running.isActive).toBe(true);
    expect(cluster.view.topicByName("t")).toMatchObject({ phase: "live", partitionCount: 500 });
    expect(partitions()).toHaveLength(500);
  });

  it("waits for nodes that a half-created topic needs, without holding up others", async () => {
    const node = await cluster.registerNode(1);
    const first = await startActive(1);
    first.store.faults.latencyMs = 10;
    const created = first.client.createTopic(newTopic("t", { partitions: 1200 })).catch(() => "failed");
    await cluster.clock.advance(25);
    await node.lease.revoke();
    await first.store.close();
    const second = await cluster.startCoordinator(2);
    await cluster.clock.advance(20_000);
    expect(await created).toBe("failed");
    expect(second.running.isActive).toBe(true);
    expect(cluster.view.topicByName("t")).toBeUndefined();
    await cluster.registerNode(1);
    await cluster.clock.advance(10_000);
    expect(cluster.view.topicByName("t")).toMatchObject({ phase: "live" });
  });
});

describe("storage nodes", () => {
  it("that register again lead in new epochs, with all their partitions (R2)", async () => {
    const before = await cluster.registerNode(1);
    const coordinator = await startActive();
    await createTopic(coordinator, 300);
    // The former registration still stands: its holder is gone, since this one has the directory.
    const after = await cluster.registerNode(1);
    await cluster.settle();
    expect(after.nodeEpoch).toBeGreaterThan(before.nodeEpoch);
    for (const partition of partitions()) {
      expect(partition).toMatchObject({ leader: 1, leaderNodeEpoch: after.nodeEpoch, isr: [1] });
      expect(partition.leaderEpoch).toBeGreaterThan(0);
    }
    expect(cluster.view.storageNode(1)).toMatchObject({ lastNodeEpoch: after.nodeEpoch });
  });

  it("that are back before the coordinator is get one new epoch each, however many partitions", async () => {
    const node = await cluster.registerNode(1);
    const first = await startActive(1);
    await createTopic(first, 300);
    await first.running.stop();
    await node.lease.revoke();
    const again = await cluster.registerNode(1);
    await startActive(2);
    for (const partition of partitions()) {
      expect(partition).toMatchObject({
        leader: 1,
        leaderNodeEpoch: again.nodeEpoch,
        leaderEpoch: 1,
        partitionEpoch: 1,
      });
    }
  });

  it("that are lost leave partitions without leader until they are back", async () => {
    const node = await cluster.registerNode(1);
    const coordinator = await startActive();
    await createTopic(coordinator, 2);
    await node.lease.revoke();
    await cluster.settle();
    for (const partition of partitions()) {
      expect(partition).toMatchObject({ leader: -1, leaderNodeEpoch: -1, leaderEpoch: 1, isr: [1] });
    }
    expect(await metric(coordinator, "ottla_coordinator_offline_partitions")).toBe(2);
    await cluster.registerNode(1);
    await cluster.settle();
    expect(partitions()).toMatchObject([
      { leader: 1, leaderEpoch: 2 },
      { leader: 1, leaderEpoch: 2 },
    ]);
    expect(await metric(coordinator, "ottla_coordinator_offline_partitions")).toBe(0);
  });

  it("that are lost hand their partitions to another in-sync replica", async () => {
    const lost = await cluster.registerNode(1);
    await cluster.registerNode(2);
    const coordinator = await startActive();
    await createTopic(coordinator, 4, 2);
    await lost.lease.revoke();
    await cluster.settle();
    for (const partition of partitions()) expect(partition).toMatchObject({ leader: 2, isr: [2] });
  });

  it("that come back with another directory never lead what they had (R9) until it returns", async () => {
    const first = await cluster.registerNode(1);
    const coordinator = await startActive();
    await createTopic(coordinator, 2);
    await first.lease.revoke();
    const second = await cluster.registerNode(1, { directoryId: "new" });
    await cluster.settle();
    expect(partitions()).toMatchObject([{ leader: -1 }, { leader: -1 }]);
    // The node itself is of use for new topics.
    await coordinator.client.createTopic(newTopic("other"));
    await second.lease.revoke();
    const third = await cluster.registerNode(1, { directoryId: "new" });
    await cluster.settle();
    expect(partitions().filter(({ leader }) => leader === -1)).toHaveLength(2);
    await third.lease.revoke();
    await cluster.registerNode(1);
    await cluster.settle();
    const other = cluster.view.topicByName("other")?.topicId;
    for (const { topicId, leader } of partitions()) expect(leader).toBe(topicId === other ? -1 : 1);
  });

  it("that crash under a relaxed flush policy lead again only where they are the only replica", async () => {
    const nodes = [await cluster.registerNode(1), await cluster.registerNode(2)];
    const first = await startActive(1);
    const configs = { "flush.messages": "1000" };
    await first.client.createTopic(newTopic("alone", { configs }));
    await createTopic(first, 2, 2, configs);
    await first.running.stop();
    for (const { lease } of nodes) await lease.revoke();
    // All stop at once: node 1 crashes, node 2 stops cleanly.
    await cluster.registerNode(1);
    await cluster.registerNode(2, { cleanShutdownNodeEpoch: nodes[1]?.nodeEpoch ?? 0 });
    await startActive(2);
    const alone = cluster.view.partition(cluster.view.topicByName("alone")?.topicId ?? "", 0);
    expect(alone).toMatchObject({ leader: 1, isr: [1], leaderEpoch: 1 });
    const shared = [...cluster.view.partitionsOf(cluster.view.topicByName("t")?.topicId ?? "")];
    expect(shared).toHaveLength(2);
    for (const partition of shared) expect(partition).toMatchObject({ leader: 2, isr: [2] });
  });

  it("that ran under a relaxed flush policy count as such after a crash", async () => {
    await cluster.registerNode(1);
    let second = await cluster.registerNode(2);
    let coordinator = await startActive(1);
    await createTopic(coordinator, 2, 2, { "flush.messages": "1000" });
    await coordinator.client.alterTopicConfig({ name: "t", set: { "flush.messages": "1" } });
    await cluster.settle();
    const { relaxedUntilRevision = 0 } = cluster.view.topicByName("t") ?? {};
    expect(relaxedUntilRevision).toBeGreaterThan(second.nodeEpoch);
    expect(relaxedUntilRevision).toBeLessThanOrEqual(cluster.view.revision);
    // No coordinator sees the node go: it is judged by what it brings back alone.
    const crash = async (nextCoordinator: number): Promise<void> => {
      await coordinator.running.stop();
      second = await cluster.registerNode(2);
      coordinator = await startActive(nextCoordinator);
    };
    await crash(2);
    for (const partition of partitions()) expect(partition).toMatchObject({ leader: 1, isr: [1] });
    for (const state of partitions()) {
      const { topicId, partition, leaderEpoch, partitionEpoch, leaderNodeEpoch } = state;
      const added = [{ nodeId: 2, nodeEpoch: BigInt(second.nodeEpoch) }];
      const change = { topicId, partition, leaderEpoch, partitionEpoch, isr: [1, 2], added, lostRecords: [] };
      const asked = { nodeId: 1, nodeEpoch: BigInt(leaderNodeEpoch), changes: [change] };
      const { answers } = await coordinator.client.alterIsr(asked);
      expect(answers).toMatchObject([{ refusal: 0 }]);
    }
    // This run began under the strict policy.
    await crash(3);
    for (const { isr } of partitions()) expect(isr).toHaveLength(2);
  });

  it("that crash all at once keep their place where acknowledged records were synced", async () => {
    const nodes = [await cluster.registerNode(1), await cluster.registerNode(2)];
    const first = await startActive(1);
    await createTopic(first, 2, 2);
    await first.running.stop();
    for (const { lease } of nodes) await lease.revoke();
    await cluster.registerNode(1);
    await cluster.registerNode(2);
    await startActive(2);
    for (const partition of partitions()) {
      expect(partition.isr.toSorted((left, right) => left - right)).toEqual([1, 2]);
      expect(partition.leader).toBe(partition.replicas[0]);
    }
  });

  it("that are not there yet when everything restarts are waited for, for a moment", async () => {
    const node = await cluster.registerNode(1);
    const first = await startActive(1);
    await createTopic(first, 2);
    await first.running.stop();
    await node.lease.revoke();
    await startActive(2);
    expect(partitions()).toMatchObject([{ leader: 1 }, { leader: 1 }]);
    await cluster.clock.advance(2000);
    await cluster.settle();
    expect(partitions()).toMatchObject([{ leader: -1 }, { leader: -1 }]);
  });
});

describe("producer ids", () => {
  it("are never given twice: not at once, not after a restart, not after lost answers", async () => {
    const first = await startActive(1);
    const given: bigint[] = [];
    const take = async (coordinator: TestCoordinator): Promise<void> => {
      const { firstProducerId, count } = await coordinator.client.allocateProducerIds({ nodeId: 1 });
      expect(count).toBe(1000);
      given.push(firstProducerId);
    };
    await Promise.all(Array.from({ length: 20 }, () => take(first)));
    first.store.faults.nextTransaction = "answer-lost";
    await take(first);
    first.store.faults.nextTransaction = "request-lost";
    await expect(take(first)).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
    await take(first);
    await first.running.stop();
    const second = await startActive(2);
    await take(second);
    expect(new Set(given).size).toBe(23);
    for (const id of given) expect(id % 1000n).toBe(0n);
    await expect(second.client.allocateProducerIds({ nodeId: -1 })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
  });
});
