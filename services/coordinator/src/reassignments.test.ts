import { errorFromMessage } from "@ottla/rpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newTopic, TestCluster, type TestCoordinator, type TestNode } from "./test-cluster.ts";

let cluster: TestCluster;
let coordinator: TestCoordinator;
let nodes: Map<number, TestNode>;

beforeEach(async () => {
  cluster = await TestCluster.open();
  nodes = new Map();
  for (const nodeId of [1, 2, 3, 4]) nodes.set(nodeId, await cluster.registerNode(nodeId));
  coordinator = await cluster.startCoordinator();
  await coordinator.running.whenActive();
  await cluster.settle();
});

afterEach(async () => {
  await cluster.close();
});

async function createTopic(replicas: readonly number[][], configs = {}): Promise<string> {
  const assignments = replicas.map((nodeIds) => ({ replicas: nodeIds }));
  const { topicId } = await coordinator.client.createTopic({ ...newTopic("t", { configs }), assignments });
  await cluster.settle();
  return topicId;
}

function state(topicId: string, partition = 0) {
  const found = cluster.view.partition(topicId, partition);
  if (found === undefined) throw new Error("there is no such partition");
  return found;
}

async function setIsr(topicId: string, isr: readonly number[], partition = 0): Promise<void> {
  const { leader, leaderEpoch, partitionEpoch, isr: before } = state(topicId, partition);
  const epochOf = (nodeId: number) => BigInt(cluster.view.node("partition-storage", nodeId)?.nodeEpoch ?? 0);
  const joining = isr.filter((nodeId) => !before.includes(nodeId));
  const added = joining.map((nodeId) => ({ nodeId, nodeEpoch: epochOf(nodeId) }));
  const change = { topicId, partition, leaderEpoch, partitionEpoch, isr: [...isr], added, lostRecords: [] };
  const asked = { nodeId: leader, nodeEpoch: epochOf(leader), changes: [change] };
  const { answers } = await coordinator.client.alterIsr(asked);
  expect(answers).toMatchObject([{ refusal: 0 }]);
  await cluster.settle();
  await cluster.clock.advance(1000);
}

async function move(topicId: string, replicas: readonly number[], more = {}) {
  const partition = { topicId, partition: 0 };
  const { answers } = await coordinator.client.alterReassignments({
    reassignments: [{ partition, replicas: [...replicas], cancel: false, ...more }],
    allowReplicationFactorChange: true,
  });
  await cluster.settle();
  const [answer] = answers;
  return answer?.error === undefined ? "ok" : errorFromMessage(answer.error).code;
}

const cancel = { replicas: [], cancel: true };

describe("a move of replicas", () => {
  it("adds new replicas first and ends by itself when they are in sync", async () => {
    const topicId = await createTopic([[1, 2]], { "min.insync.replicas": "2" });
    expect(await move(topicId, [3, 4])).toBe("ok");
    expect(state(topicId)).toMatchObject({
      replicas: [3, 4, 1, 2],
      addingReplicas: [3, 4],
      removingReplicas: [1, 2],
      isr: [1, 2],
      leader: 1,
      leaderEpoch: 0,
      minInsyncReplicas: 2,
    });
    await setIsr(topicId, [1, 2, 3]);
    expect(state(topicId)).toMatchObject({ isr: [3, 1, 2], leader: 1 });
    await setIsr(topicId, [1, 2, 3, 4]);
    const after = state(topicId);
    expect(after).toMatchObject({ replicas: [3, 4], isr: [3, 4], leader: 3, leaderEpoch: 1 });
    expect(after).not.toHaveProperty("addingReplicas");
    expect(after).not.toHaveProperty("removingReplicas");
  });

  it("is finished by another coordinator", async () => {
    const topicId = await createTopic([[1, 2]]);
    await move(topicId, [1, 3]);
    await coordinator.running.stop();
    coordinator = await cluster.startCoordinator(2);
    await coordinator.running.whenActive();
    await cluster.settle();
    await setIsr(topicId, [1, 2, 3]);
    expect(state(topicId)).toMatchObject({ replicas: [1, 3], isr: [1, 3], leader: 1 });
  });

  it("waits while too few of those that stay are in sync (R4)", async () => {
    const topicId = await createTopic([[1, 2, 3]], { "min.insync.replicas": "2" });
    await setIsr(topicId, [1, 3]);
    await move(topicId, [1, 2]);
    expect(state(topicId)).toMatchObject({ replicas: [1, 2, 3], removingReplicas: [3], isr: [1, 3] });
    await setIsr(topicId, [1, 2, 3]);
    expect(state(topicId)).toMatchObject({ replicas: [1, 2], isr: [1, 2] });
  });

  it("can be cancelled: the replicas are where they were", async () => {
    const topicId = await createTopic([[1, 2]]);
    expect(await move(topicId, [], cancel)).toBe("NO_REASSIGNMENT_IN_PROGRESS");
    await move(topicId, [3, 4]);
    await setIsr(topicId, [1, 2, 3]);
    expect(await move(topicId, [], cancel)).toBe("ok");
    expect(state(topicId)).toMatchObject({ replicas: [1, 2], isr: [1, 2], leader: 1 });
    expect(state(topicId)).not.toHaveProperty("addingReplicas");
  });

  it("is not cancelled, nor led elsewhere, when nobody would be in sync", async () => {
    const topicId = await createTopic([[1]]);
    await move(topicId, [3, 4]);
    await setIsr(topicId, [1, 3]);
    await nodes.get(1)?.lease.revoke();
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ isr: [3], leader: 3 });
    expect(await move(topicId, [], cancel)).toBe("INVALID_REPLICA_ASSIGNMENT");
    expect(await move(topicId, [4])).toBe("INVALID_REPLICA_ASSIGNMENT");
  });

  it("can be led elsewhere: what was added for the former target goes", async () => {
    const topicId = await createTopic([[1, 2]]);
    await move(topicId, [1, 3]);
    await move(topicId, [3, 4]);
    expect(state(topicId)).toMatchObject({
      replicas: [3, 4, 1, 2],
      addingReplicas: [3, 4],
      removingReplicas: [1, 2],
    });
    await setIsr(topicId, [1, 2, 3]);
    await move(topicId, [4, 2]);
    expect(state(topicId)).toMatchObject({
      replicas: [4, 2, 1],
      addingReplicas: [4],
      removingReplicas: [1],
      isr: [1, 2],
    });
  });

  it("changes the number of replicas only where that is allowed, and the topic takes it over", async () => {
    const topicId = await createTopic([
      [1, 2],
      [2, 1],
    ]);
    const reassignments = [0, 1].map((partition) => ({
      partition: { topicId, partition },
      replicas: [1, 2, 3],
    }));
    const refused = await coordinator.client.alterReassignments({ reassignments });
    for (const { error } of refused.answers) {
      expect(error?.reason).toBe("INVALID_REPLICATION_FACTOR");
    }
    await coordinator.client.alterReassignments({ reassignments, allowReplicationFactorChange: true });
    await cluster.settle();
    await setIsr(topicId, [1, 2, 3], 0);
    expect(cluster.view.topicById(topicId)).toMatchObject({ replicationFactor: 2 });
    await setIsr(topicId, [1, 2, 3], 1);
    await cluster.settle();
    expect(cluster.view.topicById(topicId)).toMatchObject({ replicationFactor: 3 });
  });

  it("never raises min.insync.replicas while new replicas are on their way", async () => {
    await coordinator.running.stop();
    coordinator = await cluster.startCoordinator(2, { settings: { numPartitions: 1, topicDefaults: {} } });
    await coordinator.running.whenActive();
    const topicId = await createTopic([[1]]);
    await move(topicId, [2, 3]);
    expect(state(topicId)).toMatchObject({ replicas: [2, 3, 1], minInsyncReplicas: 1 });
  });

  it("that only changes the order is done at once", async () => {
    const topicId = await createTopic([[1, 2]]);
    await move(topicId, [2, 1]);
    expect(state(topicId)).toMatchObject({ replicas: [2, 1], isr: [1, 2], leader: 1 });
    const { partitionEpoch } = state(topicId);
    await move(topicId, [2, 1]);
    expect(state(topicId).partitionEpoch).toBe(partitionEpoch);
  });

  it("is refused where it cannot be", async () => {
    const topicId = await createTopic([[1, 2]]);
    expect(await move(topicId, [])).toBe("INVALID_REPLICA_ASSIGNMENT");
    expect(await move(topicId, [1, 1])).toBe("INVALID_REPLICA_ASSIGNMENT");
    expect(await move(topicId, [1, 9])).toBe("INVALID_REPLICA_ASSIGNMENT");
    expect(await move("no-such-topic", [1, 2])).toBe("UNKNOWN_TOPIC_OR_PARTITION");
    await expect(move(topicId, [1], { cancel: true })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await coordinator.client.drainNode({ nodeId: 4, drain: true });
    await cluster.settle();
    expect(await move(topicId, [1, 4])).toBe("INVALID_REPLICA_ASSIGNMENT");
  });
});
