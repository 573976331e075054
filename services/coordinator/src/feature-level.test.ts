import { afterEach, beforeEach, expect, it } from "vitest";
import { newTopic, TestCluster, type TestCoordinator } from "./test-cluster.ts";

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.open();
});

afterEach(async () => {
  await cluster.close();
});

const BOTH = { min: 1, max: 2 };
const FIRST = { numPartitions: 1, topicDefaults: { "min.insync.replicas": "1" }, initialFeatureLevel: 1 };

async function startActive(levels = BOTH, settings = FIRST): Promise<TestCoordinator> {
  const coordinator = await cluster.startCoordinator(1, { levels, settings });
  await coordinator.running.whenActive();
  await cluster.settle();
  return coordinator;
}

const raise = (coordinator: TestCoordinator, level: number, dryRun = false) =>
  coordinator.client.raiseFeatureLevel({ level, dryRun });

it("lets a new cluster begin at its coordinator's highest level, or at the configured one", async () => {
  const { initialFeatureLevel: _, ...settings } = FIRST;
  const coordinator = await cluster.startCoordinator(1, { levels: { min: 1, max: 7 }, settings });
  await coordinator.running.whenActive();
  await cluster.settle();
  expect(cluster.view.featureLevel).toBe(7);
});

it("raises the level when all nodes can work at it, and says before what it would do", async () => {
  const coordinator = await startActive();
  await cluster.registerNode(1, { maxFeatureLevel: 2, version: "2.0" });
  await cluster.settle();
  expect(cluster.view.featureLevel).toBe(1);
  const planned = await raise(coordinator, 0, true);
  expect(planned).toMatchObject({ formerLevel: 1, targetLevel: 2, refusal: "", maxSupportedLevel: 2 });
  expect(planned.nodes).toMatchObject([
    { role: "coordinator", nodeId: 1, minLevel: 1, maxLevel: 2 },
    { role: "partition-storage", nodeId: 1, version: "2.0", minLevel: 1, maxLevel: 2 },
  ]);
  await cluster.settle();
  expect(cluster.view.featureLevel).toBe(1);
  await raise(coordinator, 2);
  await cluster.settle();
  expect(cluster.view.featureLevel).toBe(2);
  await expect(raise(coordinator, 1)).rejects.toThrow("never lowered");
  await expect(raise(coordinator, 3)).rejects.toMatchObject({ code: "FEATURE_UPDATE_FAILED" });
});

it("refuses a level at which a node, or a coordinator that stands by, cannot work", async () => {
  const coordinator = await startActive();
  const old = await cluster.registerNode(4, { maxFeatureLevel: 1 });
  await cluster.settle();
  const { refusal } = await raise(coordinator, 0, true);
  expect(refusal).toBe(
    "feature level 2 is not supported by all nodes; upgrade first: partition-storage 4: feature level 1",
  );
  await expect(raise(coordinator, 0)).rejects.toThrow(refusal);
  await old.lease.revoke();
  const standby = await cluster.startCoordinator(2, { levels: { min: 1, max: 1 } });
  await cluster.settle();
  await expect(raise(coordinator, 2)).rejects.toThrow("upgrade first: coordinator 2: feature level 1");
  await standby.running.stop();
  // A storage node that is away keeps nothing from being raised, and is named.
  await cluster.settle();
  const { nodes } = await raise(coordinator, 2);
  expect(nodes.at(-1)).toMatchObject({ role: "partition-storage", nodeId: 4, maxLevel: 0 });
});

it("takes a node of the wrong level for not there: it leads nothing and gets no replicas", async () => {
  const coordinator = await startActive();
  await cluster.registerNode(1, { maxFeatureLevel: 2 });
  await cluster.settle();
  await raise(coordinator, 2);
  await cluster.registerNode(2, { maxFeatureLevel: 1 });
  await cluster.settle();
  await coordinator.client.createTopic(newTopic("t", { partitions: 4, replicationFactor: 1 }));
  await cluster.settle();
  expect([...cluster.view.partitions()].map(({ leader }) => leader)).toEqual([1, 1, 1, 1]);
  expect(cluster.view.nodes("partition-storage").map(({ nodeId }) => nodeId)).toEqual([1]);
  expect(cluster.view.refusedNodes()).toMatchObject([{ role: "partition-storage", nodeId: 2 }]);
});

it("does not coordinate a cluster of a level that it does not know", async () => {
  const first = await startActive();
  await raise(first, 2);
  await first.running.stop();
  const old = await cluster.startCoordinator(2, { levels: { min: 1, max: 1 } });
  await cluster.clock.advance(20_000);
  expect(old.running.isActive).toBe(false);
  const next = await cluster.startCoordinator(3, { levels: BOTH });
  await cluster.clock.advance(20_000);
  expect(next.running.isActive).toBe(true);
});
