import { readdir } from "node:fs/promises";
import { ConfigSource } from "@ottla/proto/ottla/v1/admin";
import { ReadFormat } from "@ottla/proto/ottla/v1/log";
import { decodeBatches, readBatchHeader } from "@ottla/records";
import { expect, test } from "vitest";
import { appendTexts, batchOf, readAll, startTestNode, text } from "./serve-support.ts";

async function partitionDirectories(dataDir: string): Promise<string[]> {
  return (await readdir(`${dataDir}/topics`)).filter((name) => !name.endsWith(".deleted"));
}

test("topics are listed page by page and described with offsets, or with an error when unknown", async () => {
  const node = await startTestNode();
  for (const name of ["b", "a", "d", "c"]) await node.admin.createTopic({ name, partitions: 2 });
  await appendTexts(node, "a", ["x", "y"], 1);
  const names: string[] = [];
  let pageToken = "";
  do {
    const page = await node.admin.listTopics({ pageSize: 3, pageToken });
    expect(page.topics.length).toBeLessThanOrEqual(3);
    names.push(...page.topics.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(names).toEqual(["a", "b", "c", "d"]);
  const { topics } = await node.admin.describeTopics({ names: ["a", "nope"], includeOffsets: true });
  expect(topics[0]?.partitions[1]).toMatchObject({
    partition: 1,
    leader: 1,
    replicas: [1],
    inSyncReplicas: [1],
    offsets: { logStartOffset: 0n, highWatermark: 2n, logEndOffset: 2n },
  });
  expect(topics[1]).toMatchObject({ name: "nope", error: { reason: "UNKNOWN_TOPIC_OR_PARTITION" } });
});

test("the cluster shows its nodes, and what storage leads and holds", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t", partitions: 3 });
  const cluster = await node.admin.describeCluster({});
  expect(cluster.clusterId).toBe(node.running.clusterId);
  expect(cluster.controllerId).toBe(1);
  expect(cluster.nodes.map(({ role }) => role).toSorted()).toEqual([
    "coordinator",
    "gateway",
    "group-coordinator",
    "partition-storage",
  ]);
  const storage = cluster.nodes.find(({ role }) => role === "partition-storage");
  expect(storage).toMatchObject({ leaderCount: 3, replicaCount: 3 });
});

test("settings show with their source, take effect at once, and go back to the default", async () => {
  const node = await startTestNode({ settings: { topicDefaults: { "retention.ms": "1000000" } } });
  await node.admin.createTopic({ name: "t" });
  const set = { "max.message.bytes": "2000", "message.timestamp.type": "LogAppendTime" };
  const altered = await node.admin.alterTopicConfig({ name: "t", set });
  const entryOf = (name: string) => altered.configs.find((entry) => entry.name === name);
  expect(entryOf("max.message.bytes")).toMatchObject({ value: "2000", source: ConfigSource.TOPIC });
  expect(entryOf("retention.ms")).toMatchObject({ value: "1000000", source: ConfigSource.STATIC });
  expect(entryOf("segment.bytes")).toMatchObject({ source: ConfigSource.DEFAULT });
  await expect(appendTexts(node, "t", ["x".repeat(3_000)])).rejects.toMatchObject({
    code: "MESSAGE_TOO_LARGE",
    metadata: { limit: "2000" },
  });
  // Nothing of the refused batch is stored.
  const { results } = await appendTexts(node, "t", ["small"]);
  expect(results[0]?.baseOffset).toBe(0n);
  expect(Number(results[0]?.logAppendTimeMs)).toBeGreaterThan(1_600_000_000_000);
  await node.admin.alterTopicConfig({ name: "t", remove: ["max.message.bytes"] });
  await appendTexts(node, "t", ["x".repeat(3_000)]);
  const dry = await node.admin.alterTopicConfig({
    name: "t",
    set: { "retention.ms": "5" },
    validateOnly: true,
  });
  expect(dry.configs.find(({ name }) => name === "retention.ms")?.value).toBe("5");
  const { topics } = await node.admin.describeTopics({ names: ["t"] });
  expect(topics[0]?.configs.find(({ name }) => name === "retention.ms")?.value).toBe("1000000");
});

test("compression.type decides how batches are stored, and they keep their producer's fields", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t", configs: { "compression.type": "lz4" } });
  const batch = batchOf(["a", "b"], {
    compression: "gzip",
    producerId: 7,
    producerEpoch: 0,
    baseSequence: 0,
  });
  await node.log.append({ topic: "t", partition: 0, payload: { case: "batch", value: batch } });
  await appendTexts(node, "t", ["c"]);
  const { batches } = await node.log.fetch({
    topic: "t",
    partition: 0,
    offset: 0n,
    format: ReadFormat.BATCHES,
  });
  const first = readBatchHeader(batches);
  expect(first).toMatchObject({ compression: "lz4", producerId: 7, baseSequence: 0 });
  expect(readBatchHeader(batches, first.sizeBytes).compression).toBe("lz4");
  expect([...decodeBatches(batches)].map(({ value }) => text(value))).toEqual(["a", "b", "c"]);
});

test("partitions are added and serve at once", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const { topic } = await node.admin.createPartitions({ name: "t", totalPartitions: 5 });
  expect(topic?.partitions.length).toBe(5);
  await appendTexts(node, "t", ["x"], 4);
  await expect(node.admin.createPartitions({ name: "t", totalPartitions: 3 })).rejects.toMatchObject({
    code: "INVALID_PARTITIONS",
  });
});

test("a deleted topic's files go, its name is free, and the new topic of that name is empty", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t", partitions: 3 });
  await node.admin.createTopic({ name: "stays" });
  await appendTexts(node, "t", ["old"]);
  expect((await partitionDirectories(node.dataDir)).length).toBe(4);
  await node.admin.deleteTopic({ name: "t" });
  await expect(appendTexts(node, "t", ["x"])).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
  await expect.poll(() => partitionDirectories(node.dataDir)).toHaveLength(1);
  await node.admin.createTopic({ name: "t" });
  expect(await readAll(node, "t")).toEqual([]);
});

test("deleted records are gone, and the log starts where it was told to after a restart too", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  for (const value of ["a", "b", "c"]) await appendTexts(node, "t", [value]);
  const deletion = { topic: "t", partition: 0 };
  expect((await node.admin.deleteRecords({ ...deletion, beforeOffset: 2n })).logStartOffset).toBe(2n);
  await expect(node.log.fetch({ ...deletion, offset: 0n })).rejects.toMatchObject({
    code: "OFFSET_OUT_OF_RANGE",
  });
  const after = await node.restart();
  const { records } = await after.log.fetch({ ...deletion, offset: 2n });
  expect(records.map(({ value }) => text(value))).toEqual(["c"]);
  expect((await after.admin.deleteRecords({ ...deletion, beforeOffset: -1n })).logStartOffset).toBe(3n);
});

test("200 partitions are created, served and served again after a restart", async () => {
  const node = await startTestNode();
  const { topic } = await node.admin.createTopic({ name: "t", partitions: 200 });
  expect(topic?.partitions.every(({ leader }) => leader === 1)).toBe(true);
  const partitions = Array.from({ length: 200 }, (_, partition) => partition);
  await Promise.all(partitions.map((partition) => appendTexts(node, "t", [`p${partition}`], partition)));
  const after = await node.restart();
  const read = await Promise.all(partitions.map((partition) => readAll(after, "t", partition)));
  expect(read.map((records) => records.map(({ value }) => text(value)))).toEqual(
    partitions.map((p) => [`p${p}`]),
  );
});

test("old segments go by retention while the newest stay", async () => {
  const node = await startTestNode({ settings: { storage: { retentionCheckIntervalMs: 100 } } });
  const configs = { "segment.bytes": "1048576", "retention.bytes": "1048576", "file.delete.delay.ms": "0" };
  await node.admin.createTopic({ name: "t", configs });
  for (let count = 0; count < 8; count += 1) await appendTexts(node, "t", ["x".repeat(600_000)]);
  const startOffset = async (): Promise<number> => {
    const { topics } = await node.admin.describeTopics({ names: ["t"], includeOffsets: true });
    return Number(topics[0]?.partitions[0]?.offsets?.logStartOffset);
  };
  await expect.poll(startOffset, { timeout: 10_000 }).toBeGreaterThan(3);
  const { records } = await node.log.fetch({ topic: "t", partition: 0, offset: 7n });
  expect(records.length).toBe(1);
});

test("a topic that is deleted while it grows ends the growing, and the server goes on", async () => {
  const node = await startTestNode();
  const codes = new Set<string>();
  for (const name of ["a", "b", "c", "d"]) {
    await node.admin.createTopic({ name });
    const growing = node.admin.createPartitions({ name, totalPartitions: 60 }).then(
      () => "grown",
      (error: { code: string }) => error.code,
    );
    const partitionCount = async (): Promise<number | undefined> =>
      (await node.admin.describeTopics({ names: [name] })).topics[0]?.partitions.length;
    await expect.poll(partitionCount, { interval: 1 }).toBe(60);
    await node.admin.deleteTopic({ name });
    codes.add(await growing);
  }
  codes.delete("grown");
  expect([...codes].filter((code) => code !== "UNKNOWN_TOPIC_OR_PARTITION")).toEqual([]);
  await node.admin.createTopic({ name: "after" });
});
