import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestCluster as Cluster, newTopic, type TestCluster, type TestCoordinator } from "./test-cluster.ts";

let cluster: TestCluster;
let coordinator: TestCoordinator;

beforeEach(async () => {
  cluster = await Cluster.open();
  await cluster.registerNode(1);
  await cluster.registerNode(2);
  await cluster.registerNode(3);
  coordinator = await cluster.startCoordinator();
  await coordinator.running.whenActive();
  await cluster.settle();
});

afterEach(async () => {
  await cluster.close();
});

function topic(name: string) {
  const found = cluster.view.topicByName(name);
  if (found === undefined) throw new Error(`the view shows no topic ${name}`);
  return found;
}

function partitionsOf(topicId: string) {
  return [...cluster.view.partitionsOf(topicId)].sort((left, right) => left.partition - right.partition);
}

describe("creating a topic", () => {
  it("makes it live with partitions that have leaders, in one revision", async () => {
    const { revision } = await cluster.store.range("");
    const created = await coordinator.client.createTopic(
      newTopic("orders", { partitions: 6, replicationFactor: 2, configs: { "retention.ms": "1000" } }),
    );
    expect(Number(created.revision)).toBe(revision + 1);
    expect(created).toMatchObject({ partitions: 6, replicationFactor: 2 });
    await cluster.view.waitForRevision(Number(created.revision));
    const { topicId } = topic("orders");
    expect(topicId).toBe(created.topicId);
    expect(topic("orders")).toMatchObject({
      phase: "live",
      partitionCount: 6,
      configs: { "retention.ms": "1000" },
      internal: false,
    });
    for (const partition of partitionsOf(topicId)) {
      const { leader, leaderNodeEpoch, replicas, isr } = partition;
      expect(leader).toBe(replicas[0]);
      expect(leaderNodeEpoch).toBe(cluster.view.node("partition-storage", leader)?.nodeEpoch);
      expect(new Set(replicas).size).toBe(2);
      expect(isr).toEqual(replicas);
    }
    expect(
      partitionsOf(topicId)
        .map(({ leader }) => leader)
        .sort((left, right) => left - right),
    ).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it("takes counts and settings that are not given from the cluster's defaults", async () => {
    const created = await coordinator.client.createTopic(newTopic("defaults"));
    expect(created).toMatchObject({ partitions: 1, replicationFactor: 1 });
  });

  it("gives it three replicas, two of them in sync at least, where nothing else is said", async () => {
    const settings = { numPartitions: 1, topicDefaults: {} };
    await coordinator.running.stop();
    coordinator = await cluster.startCoordinator(2, { settings });
    await coordinator.running.whenActive();
    expect(await coordinator.client.createTopic(newTopic("three"))).toMatchObject({ replicationFactor: 3 });
    await cluster.settle();
    const [partition] = partitionsOf(topic("three").topicId);
    expect(partition).toMatchObject({ minInsyncReplicas: 2 });
    await coordinator.client.createTopic(newTopic("one", { replicationFactor: 1 }));
    await cluster.settle();
    expect(partitionsOf(topic("one").topicId)).toMatchObject([{ minInsyncReplicas: 1 }]);
  });

  it("takes nodes that are away for replicas that no other node can hold", async () => {
    const away = await cluster.registerNode(4);
    await cluster.settle();
    await away.lease.revoke();
    await cluster.settle();
    const { topicId } = await coordinator.client.createTopic(
      newTopic("four", { partitions: 4, replicationFactor: 4 }),
    );
    await cluster.settle();
    for (const { replicas, isr, leader } of partitionsOf(topicId)) {
      expect(replicas).toHaveLength(4);
      expect(isr).toHaveLength(3);
      expect(isr).toContain(leader);
    }
  });

  it("writes a topic that one transaction cannot hold in phases, and shows it when it is whole", async () => {
    const seen: number[] = [];
    cluster.view.onChange(() => {
      const found = cluster.view.topicByName("large");
      if (found !== undefined) seen.push(partitionsOf(found.topicId).length);
    });
    await coordinator.client.createTopic(newTopic("large", { partitions: 1000 }));
    await cluster.settle();
    expect(partitionsOf(topic("large").topicId)).toHaveLength(1000);
    expect(new Set(seen)).toEqual(new Set([1000]));
  });

  it("creates nothing when it only validates", async () => {
    const { revision } = await cluster.store.range("");
    const request = newTopic("checked", { partitions: 3, validateOnly: true });
    expect(await coordinator.client.createTopic(request)).toMatchObject({ topicId: "", partitions: 3 });
    expect((await cluster.store.range("")).revision).toBe(revision);
  });

  it.each([
    ["a name that is not allowed", newTopic("a/b"), "INVALID_TOPIC_EXCEPTION", "name"],
    ["a negative partition count", newTopic("t", { partitions: -1 }), "INVALID_PARTITIONS", "partitions"],
    ["too many partitions", newTopic("t", { partitions: 10_001 }), "INVALID_PARTITIONS", "partitions"],
    [
      "more replicas than nodes",
      newTopic("t", { replicationFactor: 4 }),
      "INVALID_REPLICATION_FACTOR",
      "replication_factor",
    ],
    [
      "an absurd replication factor",
      newTopic("t", { replicationFactor: 99 }),
      "INVALID_REPLICATION_FACTOR",
      "replication_factor",
    ],
    ["an unknown setting", newTopic("t", { configs: { nope: "1" } }), "INVALID_CONFIG", "configs[nope]"],
    [
      "more in-sync replicas than replicas",
      newTopic("t", { replicationFactor: 2, configs: { "min.insync.replicas": "3" } }),
      "INVALID_CONFIG",
      "configs[min.insync.replicas]",
    ],
  ])("refuses %s, naming the field", async (_what, request, code, field) => {
    for (const validateOnly of [true, false]) {
      await expect(coordinator.client.createTopic({ ...request, validateOnly })).rejects.toMatchObject({
        code,
        metadata: { field },
      });
    }
    await cluster.settle();
    expect(cluster.view.topicNames()).toEqual([]);
  });

  it("refuses a topic of the same name, and one that differs only in dots and underscores", async () => {
    await coordinator.client.createTopic(newTopic("a.b"));
    await expect(coordinator.client.createTopic(newTopic("a.b"))).rejects.toMatchObject({
      code: "TOPIC_ALREADY_EXISTS",
    });
    await expect(coordinator.client.createTopic(newTopic("a_b"))).rejects.toMatchObject({
      code: "INVALID_TOPIC_EXCEPTION",
      message: expect.stringContaining('"a.b"'),
    });
  });

  it("lets one of many requests for the same name succeed", async () => {
    const attempts = Array.from({ length: 10 }, () => coordinator.client.createTopic(newTopic("wanted")));
    const outcomes = await Promise.allSettled(attempts);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("finds out that a request whose answer was lost had been applied", async () => {
    coordinator.store.faults.nextTransaction = "answer-lost";
    const created = await coordinator.client.createTopic(newTopic("lost"));
    await cluster.view.waitForRevision(Number(created.revision));
    expect(topic("lost").topicId).toBe(created.topicId);
  });

  it("says that it does not know when the request was lost, and lets the caller try again", async () => {
    coordinator.store.faults.nextTransaction = "request-lost";
    const request = newTopic("retried");
    await expect(coordinator.client.createTopic(request)).rejects.toMatchObject({
      code: "METADATA_UNAVAILABLE",
    });
    await coordinator.client.createTopic(request);
  });

  it("refuses partitions beyond the cluster's limit", async () => {
    await coordinator.running.stop();
    const limited = await cluster.startCoordinator(2, { limits: { maxPartitions: 5 } });
    await limited.running.whenActive();
    await limited.client.createTopic(newTopic("first", { partitions: 3 }));
    await expect(limited.client.createTopic(newTopic("second", { partitions: 3 }))).rejects.toMatchObject({
      code: "INVALID_PARTITIONS",
      metadata: { limit: "5" },
    });
    await expect(
      limited.client.createPartitions({ name: "first", totalPartitions: 6 }),
    ).rejects.toMatchObject({ code: "INVALID_PARTITIONS", metadata: { limit: "5" } });
    await limited.client.createTopic(newTopic("third", { partitions: 2 }));
  });
});

describe("deleting a topic", () => {
  it("frees the name, removes the partitions and leaves a tombstone", async () => {
    for (const partitions of [2, 300]) {
      const name = `topic-${partitions}`;
      const { topicId } = await coordinator.client.createTopic(newTopic(name, { partitions }));
      const { revision } = await coordinator.client.deleteTopic({ name });
      await cluster.view.waitForRevision(Number(revision));
      expect(cluster.view.topicByName(name)).toBeUndefined();
      expect(partitionsOf(topicId)).toHaveLength(0);
      expect(cluster.view.topicById(topicId)).toMatchObject({
        phase: "deleted",
        deletedAtMs: cluster.clock.now(),
      });
      const again = await coordinator.client.createTopic(newTopic(name));
      expect(again.topicId).not.toBe(topicId);
    }
  });

  it("refuses a topic that does not exist, and internal ones", async () => {
    await expect(coordinator.client.deleteTopic({ name: "none" })).rejects.toMatchObject({
      code: "UNKNOWN_TOPIC_OR_PARTITION",
    });
    await coordinator.client.createTopic(newTopic("__consumer_offsets"));
    await expect(coordinator.client.deleteTopic({ name: "__consumer_offsets" })).rejects.toMatchObject({
      code: "INVALID_TOPIC_EXCEPTION",
    });
  });

  it("leaves a topic alone that was created again since its id was looked up", async () => {
    const { topicId: old } = await coordinator.client.createTopic(newTopic("again"));
    await coordinator.client.deleteTopic({ name: "again", topicId: old });
    await expect(coordinator.client.deleteTopic({ name: "again", topicId: old })).rejects.toMatchObject({
      code: "UNKNOWN_TOPIC_ID",
    });
    const { topicId } = await coordinator.client.createTopic(newTopic("again"));
    await expect(coordinator.client.deleteTopic({ name: "again", topicId: old })).rejects.toMatchObject({
      code: "UNKNOWN_TOPIC_ID",
    });
    await coordinator.client.deleteTopic({ name: "again", topicId });
  });

  it("keeps tombstones for their retention time, and no more than a bounded number", async () => {
    await coordinator.running.stop();
    const minute = 60_000;
    const limits = { maxTombstones: 2, tombstoneRetentionMs: 60 * minute };
    const limited = await cluster.startCoordinator(2, { limits });
    await limited.running.whenActive();
    const ids: string[] = [];
    for (const name of ["a", "b", "c"]) {
      ids.push((await limited.client.createTopic(newTopic(name))).topicId);
      await limited.client.deleteTopic({ name });
      await cluster.clock.advance(11 * minute);
    }
    await cluster.settle();
    const kept = () => ids.filter((id) => cluster.view.topicById(id) !== undefined);
    expect(kept()).toEqual(ids.slice(1));
    await cluster.clock.advance(30 * minute);
    expect(kept()).toEqual(ids.slice(1));
    await cluster.clock.advance(40 * minute);
    expect(kept()).toEqual([]);
  });
});

describe("changing settings", () => {
  it("sets and removes, all or none", async () => {
    await coordinator.client.createTopic(
      newTopic("t", { configs: { "retention.ms": "1", "segment.ms": "2" } }),
    );
    const { revision } = await coordinator.client.alterTopicConfig({
      name: "t",
      set: { "retention.bytes": "5" },
      remove: ["retention.ms"],
    });
    await cluster.view.waitForRevision(Number(revision));
    expect(topic("t").configs).toEqual({ "retention.bytes": "5", "segment.ms": "2" });
    const bad = { name: "t", set: { "retention.bytes": "6", "retention.ms": "-7" }, remove: [] };
    await expect(coordinator.client.alterTopicConfig(bad)).rejects.toMatchObject({ code: "INVALID_CONFIG" });
    const both = { name: "t", set: { "retention.bytes": "6" }, remove: ["retention.bytes"] };
    await expect(coordinator.client.alterTopicConfig(both)).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    const checked = { name: "t", set: { "retention.bytes": "6" }, validateOnly: true };
    await coordinator.client.alterTopicConfig(checked);
    await cluster.settle();
    expect(topic("t").configs).toEqual({ "retention.bytes": "5", "segment.ms": "2" });
  });

  it("brings a changed min.insync.replicas to every partition before it answers (R4)", async () => {
    await coordinator.client.createTopic(newTopic("t", { partitions: 200, replicationFactor: 3 }));
    const set = { "min.insync.replicas": "2" };
    const { revision } = await coordinator.client.alterTopicConfig({ name: "t", set });
    await cluster.view.waitForRevision(Number(revision));
    for (const partition of partitionsOf(topic("t").topicId)) {
      expect(partition).toMatchObject({ minInsyncReplicas: 2, partitionEpoch: 1, leaderEpoch: 0 });
    }
    await expect(
      coordinator.client.alterTopicConfig({ name: "t", set: { "min.insync.replicas": "4" } }),
    ).rejects.toMatchObject({ code: "INVALID_CONFIG", metadata: { limit: "3" } });
  });
});

describe("adding partitions", () => {
  it("shows them when all are there, and leaves the others alone", async () => {
    const { topicId } = await coordinator.client.createTopic(
      newTopic("t", { partitions: 2, replicationFactor: 2 }),
    );
    await cluster.settle();
    const before = partitionsOf(topicId);
    const counts = new Set<number>();
    cluster.view.onChange(() => counts.add(topic("t").partitionCount));
    const { revision } = await coordinator.client.createPartitions({ name: "t", totalPartitions: 400 });
    await cluster.view.waitForRevision(Number(revision));
    expect(counts).toEqual(new Set([2, 400]));
    expect(topic("t").targetPartitionCount).toBeUndefined();
    const after = partitionsOf(topicId);
    expect(after).toHaveLength(400);
    expect(after.slice(0, 2)).toEqual(before);
  });

  it("refuses what is not an increase, and writes nothing when it only validates", async () => {
    await coordinator.client.createTopic(newTopic("t", { partitions: 2 }));
    for (const totalPartitions of [-1, 0, 2]) {
      await expect(coordinator.client.createPartitions({ name: "t", totalPartitions })).rejects.toMatchObject(
        { code: "INVALID_PARTITIONS", metadata: { field: "total_partitions" } },
      );
    }
    const { revision } = await cluster.store.range("");
    await coordinator.client.createPartitions({ name: "t", totalPartitions: 5, validateOnly: true });
    expect((await cluster.store.range("")).revision).toBe(revision);
  });
});
