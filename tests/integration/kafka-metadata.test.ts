import { ERRORS } from "@ottla/errors";
import {
  apiVersions,
  describeCluster,
  describeTopicPartitions,
  findCoordinator,
  listOffsets,
  metadata,
  offsetForLeaderEpoch,
  ZERO_UUID,
} from "@ottla/kafka-protocol";
import { SUPPORTED_LEVELS } from "@ottla/metadata";
import { expect, test } from "vitest";
import { KafkaTestClient } from "../support/kafka-client.ts";
import { batchOf, createTopic, metadataOf, offsetOf, produceBatch, startKafkaNode } from "./kafka-support.ts";

const BROKER_ID = 1_000_001;

test("Metadata names one broker, leader of all, under the address that the client uses", async () => {
  const { kafka, port, node } = await startKafkaNode();
  const topicId = await createTopic(kafka, "t", 2);
  const { leaderEpoch } = await offsetOf(kafka, "t", -1);
  for (let version = 0; version <= 13; version++) {
    const answer = await metadataOf(kafka, ["t"], { version });
    expect(answer.brokers).toEqual([{ nodeId: BROKER_ID, host: "localhost", port, rack: null }]);
    expect(answer.clusterId).toBe(version >= 2 ? node.running.clusterId : null);
    expect(answer.controllerId).toBe(version >= 1 ? BROKER_ID : -1);
    const [topic] = answer.topics;
    expect(topic).toMatchObject({ errorCode: 0, name: "t", topicId: version >= 10 ? topicId : ZERO_UUID });
    expect(topic?.partitions.toSorted((a, b) => a.partitionIndex - b.partitionIndex)).toEqual(
      [0, 1].map((partitionIndex) => ({
        errorCode: 0,
        partitionIndex,
        leaderId: BROKER_ID,
        leaderEpoch: version >= 7 ? leaderEpoch : -1,
        replicaNodes: [1],
        isrNodes: [1],
        offlineReplicas: [],
      })),
    );
  }
});

test("behind a load balancer that says where the client went, the broker has that address", async () => {
  const { node } = await startKafkaNode({ kafka: { proxyProtocol: "v2" } });
  // From 192.0.2.7:50000 to 198.51.100.9:9092, over TCP and IPv4.
  const header = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000207c6336409c3502384", "hex");
  const kafka = await KafkaTestClient.connect(node.running.kafkaPort, "127.0.0.1", header);
  const { brokers } = await metadataOf(kafka, [], { version: 9 });
  expect(brokers).toEqual([{ nodeId: BROKER_ID, host: "198.51.100.9", port: 9092, rack: null }]);
  kafka.close();
});

test("Metadata lists all topics for null, and for an empty list in version 0 only", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "a");
  await createTopic(kafka, "b");
  const namesOf = async (names: readonly string[] | null, version: number) =>
    (await metadataOf(kafka, names, { version })).topics.map(({ name }) => name);
  expect(await namesOf(null, 13)).toEqual(["a", "b"]);
  expect(await namesOf([], 0)).toEqual(["a", "b"]);
  expect(await namesOf([], 1)).toEqual([]);
});

test("Metadata finds topics by id, and says which ids and names do not exist", async () => {
  const { kafka } = await startKafkaNode();
  const topicId = await createTopic(kafka, "t");
  const missing = "22222222-2222-4222-8222-222222222222";
  const answer = await kafka.call(metadata, 12, {
    topics: [
      { name: null, topicId },
      { name: null, topicId: missing },
      { name: "gone", topicId: ZERO_UUID },
      { name: "not/allowed", topicId: ZERO_UUID },
    ],
    allowAutoTopicCreation: false,
  });
  expect(answer.topics).toMatchObject([
    { errorCode: 0, name: "t", topicId },
    { errorCode: ERRORS.UNKNOWN_TOPIC_ID.kafka, name: null, topicId: missing },
    { errorCode: ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka, name: "gone" },
    { errorCode: ERRORS.INVALID_TOPIC_EXCEPTION.kafka, name: "not/allowed" },
  ]);
  const tooEarly = await kafka.call(metadata, 10, { topics: [{ name: null, topicId }] });
  expect(tooEarly.topics[0]?.errorCode).toBe(ERRORS.INVALID_REQUEST.kafka);
});

test("an unknown topic is created when request and cluster allow it, once however many ask", async () => {
  const { kafka } = await startKafkaNode({ numPartitions: 3 });
  const answers = await Promise.all([1, 2, 3].map(() => metadataOf(kafka, ["new"], { create: true })));
  const ids = new Set(answers.map(({ topics }) => topics[0]?.topicId));
  expect(ids.size).toBe(1);
  expect(answers[0]?.topics[0]).toMatchObject({ errorCode: 0, name: "new" });
  expect(answers[0]?.topics[0]?.partitions).toHaveLength(3);
  const internal = await metadataOf(kafka, ["__consumer_offsets"], { create: true });
  expect(internal.topics[0]).toMatchObject({
    errorCode: ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka,
    isInternal: true,
  });
});

test("no topic is created where auto.create.topics.enable is off", async () => {
  const { kafka } = await startKafkaNode({ autoCreateTopics: false });
  const answer = await metadataOf(kafka, ["new"], { create: true });
  expect(answer.topics[0]?.errorCode).toBe(ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka);
});

test("ApiVersions tells what is served, and clients must name themselves", async () => {
  const { kafka } = await startKafkaNode();
  const named = { clientSoftwareName: "test", clientSoftwareVersion: "1.0" };
  const answer = await kafka.call(apiVersions, 4, named);
  expect(answer.errorCode).toBe(0);
  expect(answer.apiKeys.find(({ apiKey }) => apiKey === 0)).toEqual({
    apiKey: 0,
    minVersion: 0,
    maxVersion: 12,
  });
  expect(answer.apiKeys.find(({ apiKey }) => apiKey === 1)).toEqual({
    apiKey: 1,
    minVersion: 4,
    maxVersion: 17,
  });
  const { min, max } = SUPPORTED_LEVELS;
  expect(answer).toMatchObject({
    supportedFeatures: [{ name: "ottla.feature.level", minVersion: min, maxVersion: max }],
    finalizedFeatures: [{ name: "ottla.feature.level", minVersionLevel: max, maxVersionLevel: max }],
  });
  expect(answer.finalizedFeaturesEpoch).toBeGreaterThan(0);
  const unnamed = await kafka.call(apiVersions, 3, { clientSoftwareName: "!", clientSoftwareVersion: "" });
  expect(unnamed).toMatchObject({ errorCode: ERRORS.INVALID_REQUEST.kafka, apiKeys: [] });
});

test("the virtual broker coordinates groups; transactions are refused for good", async () => {
  const { kafka, port } = await startKafkaNode();
  for (let version = 0; version <= 3; version++) {
    const answer = await kafka.call(findCoordinator, version, { key: "g" });
    expect(answer).toMatchObject({ errorCode: 0, nodeId: BROKER_ID, host: "localhost", port });
  }
  for (let version = 4; version <= 6; version++) {
    const groups = await kafka.call(findCoordinator, version, { keyType: 0, coordinatorKeys: ["g", "h"] });
    expect(groups.coordinators).toMatchObject([
      { key: "g", nodeId: BROKER_ID, errorCode: 0 },
      { key: "h", nodeId: BROKER_ID, errorCode: 0 },
    ]);
    const transactions = await kafka.call(findCoordinator, version, { keyType: 1, coordinatorKeys: ["t"] });
    const errorCode = ERRORS.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.kafka;
    expect(transactions.coordinators).toMatchObject([
      { key: "t", nodeId: -1, host: "", port: -1, errorCode },
    ]);
  }
});

test("DescribeCluster shows the virtual broker, and no controllers", async () => {
  const { kafka, node, port } = await startKafkaNode();
  for (let version = 0; version <= 2; version++) {
    const answer = await kafka.call(describeCluster, version, { includeClusterAuthorizedOperations: true });
    expect(answer).toMatchObject({
      errorCode: 0,
      clusterId: node.running.clusterId,
      controllerId: BROKER_ID,
      brokers: [{ brokerId: BROKER_ID, host: "localhost", port }],
      clusterAuthorizedOperations: 8096,
    });
  }
  const controllers = await kafka.call(describeCluster, 1, {
    includeClusterAuthorizedOperations: false,
    endpointType: 2,
  });
  expect(controllers.errorCode).toBe(ERRORS.MISMATCHED_ENDPOINT_TYPE.kafka);
});

test("DescribeTopicPartitions pages through topics and partitions", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "a", 3);
  await createTopic(kafka, "b", 2);
  const seen: string[] = [];
  let cursor: { topicName: string; partitionIndex: number } | null = null;
  do {
    const answer: Awaited<ReturnType<typeof page>> = await page(cursor);
    for (const { name, partitions } of answer.topics) {
      for (const { partitionIndex } of partitions) seen.push(`${name}-${partitionIndex}`);
    }
    cursor = answer.nextCursor;
  } while (cursor !== null);
  expect(seen).toEqual(["a-0", "a-1", "a-2", "b-0", "b-1"]);

  function page(from: typeof cursor) {
    return kafka.call(describeTopicPartitions, 0, { topics: [], responsePartitionLimit: 2, cursor: from });
  }
});

test("offsets are found by place and by time, with Kafka's answers for what is not there", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const times = [1_700_000_000_000, 1_700_000_300_000, 1_700_000_100_000];
  for (const timestampMs of times) await produceBatch(kafka, "t", batchOf(["v"], { timestampMs }));
  const { leaderEpoch: current } = await offsetOf(kafka, "t", -1);
  for (let version = 1; version <= 10; version++) {
    const leaderEpoch = version >= 4 ? current : -1;
    const found = (timestamp: number) => offsetOf(kafka, "t", timestamp, version);
    expect(await found(-2)).toMatchObject({ errorCode: 0, offset: 0, timestamp: -1, leaderEpoch });
    expect(await found(-1)).toMatchObject({ errorCode: 0, offset: 3, timestamp: -1, leaderEpoch });
    expect(await found(times[0] ?? 0)).toMatchObject({ errorCode: 0, offset: 0, timestamp: times[0] });
    expect(await found((times[0] ?? 0) + 1)).toMatchObject({ errorCode: 0, offset: 1, timestamp: times[1] });
    expect(await found(2_000_000_000_000)).toMatchObject({ errorCode: 0, offset: -1, timestamp: -1 });
    const unsupported = { errorCode: ERRORS.UNSUPPORTED_VERSION.kafka, offset: -1 };
    expect(await found(-3)).toMatchObject(version >= 7 ? { offset: 1, timestamp: times[1] } : unsupported);
    expect(await found(-4)).toMatchObject(version >= 8 ? { errorCode: 0, offset: 0 } : unsupported);
    expect(await found(-5)).toMatchObject(version >= 9 ? { errorCode: 0, offset: -1 } : unsupported);
    expect(await found(-99)).toMatchObject(unsupported);
  }
  expect((await offsetOf(kafka, "missing", -1)).errorCode).toBe(ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka);
});

test("the end of a leader epoch is known, and an epoch that has not come is not", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  await produceBatch(kafka, "t", batchOf(["a", "b"]));
  const { leaderEpoch: current } = await offsetOf(kafka, "t", -1);
  const endOf = async (version: number, leaderEpoch: number, currentLeaderEpoch = -1) => {
    const partitions = [{ partition: 0, leaderEpoch, currentLeaderEpoch }];
    const answer = await kafka.call(offsetForLeaderEpoch, version, { topics: [{ topic: "t", partitions }] });
    return answer.topics[0]?.partitions[0];
  };
  for (let version = 2; version <= 4; version++) {
    expect(await endOf(version, current)).toMatchObject({ errorCode: 0, leaderEpoch: current, endOffset: 2 });
    expect(await endOf(version, current + 5)).toMatchObject({ errorCode: 0, leaderEpoch: -1, endOffset: -1 });
    const unknown = await endOf(version, current, current + 5);
    expect(unknown?.errorCode).toBe(ERRORS.UNKNOWN_LEADER_EPOCH.kafka);
  }
});

test("in per-gateway mode the gateway is a broker of its own under its configured address", async () => {
  const { kafka } = await startKafkaNode({
    kafka: { mode: "per-gateway", advertisedAddress: "gateway-1.example:9092" },
    zone: "a",
  });
  await createTopic(kafka, "t", 2);
  const { brokers, controllerId, topics } = await metadataOf(kafka, ["t"]);
  expect(brokers).toEqual([{ nodeId: 2_000_001, host: "gateway-1.example", port: 9092, rack: "a" }]);
  expect(controllerId).toBe(2_000_001);
  expect(topics[0]?.partitions.map(({ leaderId }) => leaderId)).toEqual([2_000_001, 2_000_001]);
});

test("a partition named twice in ListOffsets is refused, and the others are answered", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t", 2);
  const partitions = [0, 1, 0].map((partitionIndex) => ({ partitionIndex, timestamp: -1 }));
  const request = { replicaId: -1, isolationLevel: 0, topics: [{ name: "t", partitions }] };
  const answer = await kafka.call(listOffsets, 10, request);
  const codes = answer.topics[0]?.partitions.map(({ errorCode }) => errorCode);
  const { kafka: refused } = ERRORS.INVALID_REQUEST;
  expect(codes).toEqual([refused, 0, refused]);
});
