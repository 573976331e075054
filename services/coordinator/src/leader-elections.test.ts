import { errorFromMessage } from "@ottla/rpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newTopic, TestCluster, type TestCoordinator, type TestNode } from "./test-cluster.ts";

let cluster: TestCluster;
let coordinator: TestCoordinator;
let nodes: Map<number, TestNode>;

beforeEach(async () => {
  cluster = await TestCluster.open();
  nodes = new Map();
  for (const nodeId of [1, 2, 3]) nodes.set(nodeId, await cluster.registerNode(nodeId));
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

async function lose(nodeId: number): Promise<void> {
  await nodes.get(nodeId)?.lease.revoke();
  await cluster.settle();
}

async function comeBack(nodeId: number): Promise<void> {
  nodes.set(nodeId, await cluster.registerNode(nodeId));
  await cluster.settle();
}

function state(topicId: string, partition = 0) {
  return cluster.view.partition(topicId, partition);
}

function epochOf(nodeId: number): bigint {
  return BigInt(cluster.view.node("partition-storage", nodeId)?.nodeEpoch ?? 0);
}

/** As the leader of the partition does when the node has caught up. */
async function join(topicId: string, partition: number, nodeId: number): Promise<void> {
  const { leader = -1, leaderEpoch = 0, partitionEpoch = 0, isr = [] } = state(topicId, partition) ?? {};
  const added = [{ nodeId, nodeEpoch: epochOf(nodeId) }];
  const change = { topicId, partition, leaderEpoch, partitionEpoch, isr: [...isr, nodeId], added };
  const changes = [{ ...change, lostRecords: [] }];
  await coordinator.client.alterIsr({ nodeId: leader, nodeEpoch: epochOf(leader), changes });
  await cluster.settle();
}

async function elect(partitions: { topicId: string; partition: number }[], unclean = false) {
  const { answers } = await coordinator.client.electLeaders({ partitions, unclean });
  await cluster.settle();
  return answers.map(({ partition, error }) => [
    partition?.partition,
    error === undefined ? "elected" : errorFromMessage(error).code,
  ]);
}

describe("electing preferred leaders", () => {
  it("gives the lead back in a new epoch, and says of each partition why not", async () => {
    const topicId = await createTopic([
      [1, 2],
      [1, 3],
      [2, 3],
    ]);
    await lose(1);
    await comeBack(1);
    await join(topicId, 0, 1);
    const partitions = [0, 1, 2, 9].map((partition) => ({ topicId, partition }));
    expect(state(topicId)).toMatchObject({ leader: 2, leaderEpoch: 1 });
    expect(await elect(partitions)).toEqual([
      [0, "elected"],
      [1, "PREFERRED_LEADER_NOT_AVAILABLE"],
      [2, "ELECTION_NOT_NEEDED"],
      [9, "UNKNOWN_TOPIC_OR_PARTITION"],
    ]);
    expect(state(topicId)).toMatchObject({
      leader: 1,
      leaderNodeEpoch: Number(epochOf(1)),
      leaderEpoch: 2,
      isr: [1, 2],
    });
  });

  it("of all partitions, answers only with those that needed one", async () => {
    await createTopic([
      [1, 2],
      [2, 3],
    ]);
    expect(await elect([])).toEqual([]);
    await lose(2);
    expect(await elect([])).toEqual([[1, "PREFERRED_LEADER_NOT_AVAILABLE"]]);
  });

  it("happens by itself, later and a few at a time", async () => {
    const topicId = await createTopic(Array.from({ length: 120 }, () => [1, 2]));
    await lose(1);
    await comeBack(1);
    const led = (): number =>
      [...cluster.view.partitionsOf(topicId)].filter(({ leader }) => leader === 1).length;
    for (let partition = 0; partition < 120; partition += 1) await join(topicId, partition, 1);
    await cluster.clock.advance(29_000);
    expect(led()).toBe(0);
    const counts = new Set<number>();
    for (let i = 0; i < 12; i += 1) {
      await cluster.clock.advance(500);
      counts.add(led());
    }
    expect([...counts]).toEqual([0, 50, 100, 120]);
  });
});

describe("unclean elections", () => {
  it("happen when they are asked for, and only where there is no leader", async () => {
    const topicId = await createTopic([[1, 2]]);
    await lose(2);
    await lose(1);
    await comeBack(2);
    expect(state(topicId)).toMatchObject({ leader: -1, isr: [1] });
    expect(await elect([{ topicId, partition: 0 }])).toEqual([[0, "PREFERRED_LEADER_NOT_AVAILABLE"]]);
    expect(await elect([{ topicId, partition: 0 }], true)).toEqual([[0, "elected"]]);
    expect(state(topicId)).toMatchObject({ leader: 2, isr: [2] });
    expect(await elect([{ topicId, partition: 0 }], true)).toEqual([[0, "ELECTION_NOT_NEEDED"]]);
    await lose(2);
    expect(await elect([{ topicId, partition: 0 }], true)).toEqual([[0, "ELIGIBLE_LEADERS_NOT_AVAILABLE"]]);
  });

  it("give up what was on a lost disk, when they are asked for", async () => {
    const topicId = await createTopic([[1]]);
    await lose(1);
    nodes.set(1, await cluster.registerNode(1, { directoryId: "new" }));
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: -1, isr: [], awaitedNodeId: 1 });
    expect(await elect([{ topicId, partition: 0 }], true)).toEqual([[0, "elected"]]);
    expect(state(topicId)).toMatchObject({ leader: 1, isr: [1] });
    expect(state(topicId)).not.toHaveProperty("awaitedNodeId");
  });

  it("never take a replica that is damaged", async () => {
    const topicId = await createTopic([[1]], { "unclean.leader.election.enable": "true" });
    const report = { topicId, partition: 0, what: { case: "damagedFrom", value: 1n } } as const;
    await coordinator.client.reportReplicas({ nodeId: 1, nodeEpoch: epochOf(1), reports: [report] });
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: -1, isr: [] });
    expect(await elect([{ topicId, partition: 0 }], true)).toEqual([[0, "ELIGIBLE_LEADERS_NOT_AVAILABLE"]]);
    await comeBack(1);
    expect(state(topicId)).toMatchObject({ leader: 1 });
  });

  it("happen at once when the topic comes to allow them", async () => {
    const topicId = await createTopic([[1, 2]]);
    await lose(2);
    await lose(1);
    await comeBack(2);
    expect(state(topicId)).toMatchObject({ leader: -1, isr: [1] });
    await coordinator.client.alterTopicConfig({
      name: "t",
      set: { "unclean.leader.election.enable": "true" },
    });
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: 2, isr: [2] });
  });

  it("happen by themselves where the topic allows it", async () => {
    const topicId = await createTopic([[1, 2]], { "unclean.leader.election.enable": "true" });
    await lose(2);
    await lose(1);
    await comeBack(2);
    expect(state(topicId)).toMatchObject({ leader: 2, isr: [2] });
    const elections = await coordinator.metrics.getSingleMetric("ottla_coordinator_elections_total")?.get();
    expect(elections?.values).toContainEqual(
      expect.objectContaining({ labels: { kind: "unclean" }, value: 1 }) as unknown,
    );
  });

  it("wait for those who have everything while a new coordinator still expects them", async () => {
    const topicId = await createTopic([[1, 2]], { "unclean.leader.election.enable": "true" });
    await lose(2);
    await coordinator.running.stop();
    await lose(1);
    await comeBack(2);
    coordinator = await cluster.startCoordinator(2);
    await coordinator.running.whenActive();
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: 1, isr: [1] });
    await cluster.clock.advance(2000);
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: 2, isr: [2] });
  });
});
