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

function assigned(...replicas: number[][]) {
  return replicas.map((nodeIds) => ({ replicas: nodeIds }));
}

function replicasOf(topicId: string): (readonly number[])[] {
  return [...cluster.view.partitionsOf(topicId)]
    .sort((left, right) => left.partition - right.partition)
    .map(({ replicas }) => replicas);
}

async function create(assignments: ReturnType<typeof assigned>, more = {}) {
  const created = await coordinator.client.createTopic({ ...newTopic("t", more), assignments });
  await cluster.settle();
  return created;
}

async function refusal(assignments: ReturnType<typeof assigned>, more = {}): Promise<unknown> {
  return await create(assignments, more).catch((thrown: unknown) => thrown);
}

describe("replicas that are placed by hand", () => {
  it("are where the request says, and the counts follow from it", async () => {
    const { topicId, partitions, replicationFactor } = await create(assigned([2, 1], [3, 2], [2, 3]));
    expect({ partitions, replicationFactor }).toEqual({ partitions: 3, replicationFactor: 2 });
    expect(replicasOf(topicId)).toEqual([
      [2, 1],
      [3, 2],
      [2, 3],
    ]);
    expect([...cluster.view.partitionsOf(topicId)].map(({ leader }) => leader)).toEqual([2, 3, 2]);
    const assignments = assigned([1, 3]);
    await coordinator.client.createPartitions({ name: "t", totalPartitions: 4, assignments });
    await coordinator.client.createPartitions({ name: "t", totalPartitions: 5 });
    await cluster.settle();
    expect(replicasOf(topicId)[3]).toEqual([1, 3]);
    expect(replicasOf(topicId)[4]).toHaveLength(2);
    expect(cluster.view.topicByName("t")).not.toHaveProperty("plannedReplicas");
  });

  it("stay where they were asked for when another coordinator finishes the work", async () => {
    const wanted = Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? [3, 1] : [2, 3]));
    coordinator.store.faults.latencyMs = 10;
    const created = coordinator.client
      .createTopic({ ...newTopic("t"), assignments: assigned(...wanted) })
      .catch(() => "failed");
    await cluster.clock.advance(25);
    coordinator.store.faults.unavailable = true;
    await cluster.settle();
    expect([...cluster.view.topics()]).toMatchObject([{ phase: "creating" }]);
    await cluster.startCoordinator(2);
    await cluster.clock.advance(20_000);
    expect(await created).toBe("failed");
    const topic = cluster.view.topicByName("t");
    expect(replicasOf(topic?.topicId ?? "")).toEqual(wanted);
    expect(topic).not.toHaveProperty("plannedReplicas");
  });

  it("may be on a node that is away: it is not in sync then", async () => {
    const node = await cluster.registerNode(4);
    await cluster.settle();
    await node.lease.revoke();
    await cluster.settle();
    const { topicId } = await create(assigned([4, 1]));
    expect(cluster.view.partition(topicId, 0)).toMatchObject({ replicas: [4, 1], leader: 1, isr: [1] });
  });

  it("are refused by name of the partition when they cannot be", async () => {
    for (const [assignments, reason] of [
      [assigned([1, 2], [1]), "partition 1 has 1 replicas"],
      [assigned([1, 1]), "twice"],
      [assigned([1, 9]), "storage node 9"],
      [assigned([]), "no replicas"],
    ] as const) {
      expect(await refusal([...assignments])).toMatchObject({
        code: "INVALID_REPLICA_ASSIGNMENT",
        message: expect.stringContaining(reason) as unknown,
      });
    }
    expect(await refusal(assigned([1]), { partitions: 2 })).toMatchObject({ code: "INVALID_REQUEST" });
    expect(await refusal(assigned([1]), { replicationFactor: 2 })).toMatchObject({ code: "INVALID_REQUEST" });
    await create(assigned([1, 2]));
    const added = { name: "t", totalPartitions: 3, assignments: assigned([1, 2]) };
    await expect(coordinator.client.createPartitions(added)).rejects.toMatchObject({
      code: "INVALID_REPLICA_ASSIGNMENT",
    });
  });
});
