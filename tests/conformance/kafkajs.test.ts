import { type Admin, CompressionTypes, ConfigResourceTypes, Kafka, logLevel, Partitioners } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { readOverGrpc, textOf } from "./support/read-over-grpc.ts";

describe("kafkajs", () => {
  let server: OttlaServer;
  let kafka: Kafka;
  let admin: Admin;

  beforeAll(async () => {
    server = await OttlaServer.start();
    kafka = new Kafka({ clientId: "kafkajs", brokers: [server.kafkaAddress], logLevel: logLevel.NOTHING });
    admin = kafka.admin();
    await admin.connect();
  });

  afterAll(async () => {
    await admin.disconnect();
    await server.stop();
  });

  test.each([
    ["none", CompressionTypes.None, false],
    ["gzip", CompressionTypes.GZIP, false],
    ["none, idempotent", CompressionTypes.None, true],
  ])("produces with codec %s", async (name, compression, idempotent) => {
    const topic = `codec-${name.replaceAll(/\W+/g, "-")}`;
    await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] });
    const createPartitioner = Partitioners.DefaultPartitioner;
    const producer = kafka.producer({ idempotent, maxInFlightRequests: 1, createPartitioner });
    await producer.connect();
    for (let first = 0; first < 300; first += 100) {
      const messages = Array.from({ length: 100 }, (_, index) => ({
        partition: 1,
        key: index % 2 === 0 ? `key ${first + index}` : null,
        value: index % 3 === 0 ? null : `value ${first + index}`,
        headers: { number: String(first + index) },
        timestamp: String(1_700_000_000_000 + first + index),
      }));
      const [sent] = await producer.send({ topic, acks: -1, compression, messages });
      expect(sent).toMatchObject({ topicName: topic, partition: 1, errorCode: 0, baseOffset: String(first) });
    }
    await producer.disconnect();
    const records = await readOverGrpc(server, topic, 1);
    expect(records).toHaveLength(300);
    for (const [index, record] of records.entries()) {
      const inRequest = index % 100;
      expect(textOf(record.key)).toBe(inRequest % 2 === 0 ? `key ${index}` : null);
      expect(textOf(record.value)).toBe(inRequest % 3 === 0 ? null : `value ${index}`);
      expect(record.timestampMs).toBe(1_700_000_000_000 + index);
      expect(record.headers.map(({ key, value }) => [key, textOf(value)])).toEqual([
        ["number", String(index)],
      ]);
    }
  });

  test("administers topics", async () => {
    const config = {
      topic: "topics",
      numPartitions: 2,
      configEntries: [{ name: "retention.ms", value: "60000" }],
    };
    expect(await admin.createTopics({ topics: [config], waitForLeaders: true })).toBe(true);
    expect(await admin.createTopics({ topics: [config] })).toBe(false);
    expect(await admin.listTopics()).toContain("topics");
    await admin.createPartitions({ topicPartitions: [{ topic: "topics", count: 4 }] });
    const { topics } = await admin.fetchTopicMetadata({ topics: ["topics"] });
    expect(topics[0]?.partitions.map(({ partitionId }) => partitionId).sort()).toEqual([0, 1, 2, 3]);
    await admin.deleteTopics({ topics: ["topics"] });
    expect(await admin.listTopics()).not.toContain("topics");
  });

  test("describes and alters settings", async () => {
    await admin.createTopics({ topics: [{ topic: "configs" }] });
    const resource = { type: ConfigResourceTypes.TOPIC, name: "configs" };
    const configEntries = [{ name: "retention.ms", value: "12345" }];
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] });
    const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: false });
    const entries = resources[0]?.configEntries ?? [];
    expect(entries.find(({ configName }) => configName === "retention.ms")?.configValue).toBe("12345");
  });

  test("queries offsets and deletes records", async () => {
    await admin.createTopics({ topics: [{ topic: "offsets" }] });
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    for (const timestamp of ["5000", "9000", "7000", "8000"]) {
      await producer.send({ topic: "offsets", messages: [{ value: "x", timestamp }] });
    }
    await producer.disconnect();
    expect(await admin.fetchTopicOffsets("offsets")).toEqual([
      { partition: 0, offset: "4", high: "4", low: "0" },
    ]);
    expect(await admin.fetchTopicOffsetsByTimestamp("offsets", 6_000)).toEqual([
      { partition: 0, offset: "1" },
    ]);
    await admin.deleteTopicRecords({ topic: "offsets", partitions: [{ partition: 0, offset: "3" }] });
    expect(await admin.fetchTopicOffsets("offsets")).toEqual([
      { partition: 0, offset: "4", high: "4", low: "3" },
    ]);
  });

  test("describes the cluster", async () => {
    const { brokers, controller, clusterId } = await admin.describeCluster();
    expect(brokers).toHaveLength(1);
    expect(controller).toBe(brokers[0]?.nodeId);
    expect(clusterId).not.toBe("");
  });
});
