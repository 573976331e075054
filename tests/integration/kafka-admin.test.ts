import { ERRORS } from "@ottla/errors";
import {
  alterConfigs,
  createPartitions,
  createTopics,
  deleteRecords,
  deleteTopics,
  describeConfigs,
  describeLogDirs,
  describeProducers,
  incrementalAlterConfigs,
  initProducerId,
  ZERO_UUID,
} from "@ottla/kafka-protocol";
import { expect, test } from "vitest";
import type { KafkaTestClient } from "../support/kafka-client.ts";
import { batchOf, createTopic, metadataOf, produceBatch, startKafkaNode } from "./kafka-support.ts";

const TOPIC = 2;
const BROKER = 4;

interface WantedTopic {
  readonly name: string;
  readonly numPartitions?: number;
  readonly replicationFactor?: number;
  readonly assignments?: readonly {
    readonly partitionIndex: number;
    readonly brokerIds: readonly number[];
  }[];
  readonly configs?: readonly { readonly name: string; readonly value: string | null }[];
}

async function create(kafka: KafkaTestClient, topics: readonly WantedTopic[], validateOnly = false) {
  const wanted = topics.map((topic) => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: [],
    configs: [],
    ...topic,
  }));
  return (await kafka.call(createTopics, 7, { topics: wanted, validateOnly })).topics;
}

test("topics are created, each by itself, with Kafka's codes for those that are refused", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "there.is");
  const assigned = [0, 1].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] }));
  const cases: [WantedTopic, number][] = [
    [{ name: "good", numPartitions: 2, configs: [{ name: "retention.ms", value: "1000" }] }, 0],
    [{ name: "placed", assignments: assigned }, 0],
    [{ name: "there.is" }, ERRORS.TOPIC_ALREADY_EXISTS.kafka],
    [{ name: "there_is" }, ERRORS.INVALID_TOPIC_EXCEPTION.kafka],
    [{ name: "not/allowed" }, ERRORS.INVALID_TOPIC_EXCEPTION.kafka],
    [{ name: "p0", numPartitions: 0 }, ERRORS.INVALID_PARTITIONS.kafka],
    [{ name: "p2", numPartitions: -2 }, ERRORS.INVALID_PARTITIONS.kafka],
    [{ name: "pmax", numPartitions: 2_000_000_000 }, ERRORS.INVALID_PARTITIONS.kafka],
    [{ name: "r0", replicationFactor: 0 }, ERRORS.INVALID_REPLICATION_FACTOR.kafka],
    [{ name: "r9", replicationFactor: 9 }, ERRORS.INVALID_REPLICATION_FACTOR.kafka],
    [{ name: "c", configs: [{ name: "no.such", value: "1" }] }, ERRORS.INVALID_CONFIG.kafka],
    [{ name: "v", configs: [{ name: "retention.ms", value: "x" }] }, ERRORS.INVALID_CONFIG.kafka],
    [{ name: "both", numPartitions: 2, assignments: assigned }, ERRORS.INVALID_REQUEST.kafka],
    [{ name: "gap", assignments: assigned.slice(1) }, ERRORS.INVALID_REPLICA_ASSIGNMENT.kafka],
    [
      { name: "who", assignments: [{ partitionIndex: 0, brokerIds: [77] }] },
      ERRORS.INVALID_REPLICA_ASSIGNMENT.kafka,
    ],
  ];
  const answers = await create(
    kafka,
    cases.map(([topic]) => topic),
  );
  expect(answers.map(({ name, errorCode }) => [name, errorCode])).toEqual(
    cases.map(([{ name }, errorCode]) => [name, errorCode]),
  );
  const settings = await create(kafka, [
    { name: "nothing", configs: [{ name: "retention.ms", value: null }] },
    { name: "last", configs: ["1000", "2000"].map((value) => ({ name: "retention.ms", value })) },
  ]);
  expect(settings).toMatchObject([
    {
      errorCode: ERRORS.INVALID_CONFIG.kafka,
      errorMessage: "Null value not supported for topic configs: retention.ms",
    },
    { errorCode: 0 },
  ]);
  expect(settings[1]?.configs?.find(({ name }) => name === "retention.ms")?.value).toBe("2000");
  expect(answers[0]).toMatchObject({ numPartitions: 2, replicationFactor: 1, errorMessage: null });
  expect(answers[0]?.configs?.find(({ name }) => name === "retention.ms")).toMatchObject({
    value: "1000",
    configSource: 1,
  });
  expect(answers[3]?.errorMessage).toContain("there.is");
  const twice = await create(kafka, [{ name: "two" }, { name: "two" }]);
  expect(twice).toMatchObject([{ name: "two", errorCode: ERRORS.INVALID_REQUEST.kafka }]);
  const dry = await create(kafka, [{ name: "dry", numPartitions: 5 }], true);
  expect(dry).toMatchObject([{ errorCode: 0, numPartitions: 5 }]);
  const { topics } = await metadataOf(kafka, null);
  expect(topics.map(({ name }) => name)).toEqual(["good", "last", "placed", "there.is"]);
});

test("topics are deleted by name and by id", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "a");
  const id = await createTopic(kafka, "b");
  const byName = await kafka.call(deleteTopics, 5, { topicNames: ["a", "x"], timeoutMs: 5000 });
  expect(byName.responses).toMatchObject([
    { name: "a", errorCode: 0 },
    { name: "x", errorCode: ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka },
  ]);
  const byId = await kafka.call(deleteTopics, 6, {
    topics: [
      { name: null, topicId: id },
      { name: null, topicId: "33333333-3333-4333-8333-333333333333" },
      { name: "b", topicId: id },
      { name: null, topicId: ZERO_UUID },
    ],
    timeoutMs: 5000,
  });
  expect(byId.responses).toMatchObject([
    { name: "b", topicId: id, errorCode: 0 },
    { name: null, errorCode: ERRORS.UNKNOWN_TOPIC_ID.kafka },
    { errorCode: ERRORS.INVALID_REQUEST.kafka },
    { errorCode: ERRORS.INVALID_REQUEST.kafka },
  ]);
  expect((await metadataOf(kafka, null)).topics).toEqual([]);
});

test("a topic that is given by name and by id is refused once", async () => {
  const { kafka } = await startKafkaNode();
  const id = await createTopic(kafka, "b");
  const topics = [
    { name: "b", topicId: ZERO_UUID },
    { name: null, topicId: id },
  ];
  const { responses } = await kafka.call(deleteTopics, 6, { topics, timeoutMs: 5000 });
  expect(responses).toMatchObject([{ name: "b", topicId: id, errorCode: ERRORS.INVALID_REQUEST.kafka }]);
  expect((await metadataOf(kafka, ["b"])).topics[0]?.errorCode).toBe(0);
});

test("records of internal topics are not deleted", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "__consumer_offsets");
  const { topics } = await kafka.call(deleteRecords, 2, {
    topics: [{ name: "__consumer_offsets", partitions: [{ partitionIndex: 0, offset: 0 }] }],
    timeoutMs: 5000,
  });
  expect(topics[0]?.partitions[0]?.errorCode).toBe(ERRORS.INVALID_TOPIC_EXCEPTION.kafka);
});

test("partitions are added, and never taken away", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t", 2);
  const extend = async (
    name: string,
    count: number,
    assignments: { brokerIds: number[] }[] | null = null,
  ) => {
    const topics = [{ name, count, assignments }];
    const answer = await kafka.call(createPartitions, 3, { topics, timeoutMs: 5000, validateOnly: false });
    return answer.results[0]?.errorCode;
  };
  expect(await extend("t", 4)).toBe(0);
  expect(await extend("t", 4)).toBe(ERRORS.INVALID_PARTITIONS.kafka);
  expect(await extend("t", 1)).toBe(ERRORS.INVALID_PARTITIONS.kafka);
  expect(await extend("x", 4)).toBe(ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka);
  expect(await extend("t", 6, [{ brokerIds: [1] }])).toBe(ERRORS.INVALID_REPLICA_ASSIGNMENT.kafka);
  expect(await extend("t", 5, [{ brokerIds: [1] }])).toBe(0);
  expect((await metadataOf(kafka, ["t"])).topics[0]?.partitions).toHaveLength(5);
  expect((await produceBatch(kafka, "t", batchOf(["x"]), { partition: 4 })).errorCode).toBe(0);
});

test("settings of topics and of the virtual broker are described with their sources", async () => {
  const { kafka } = await startKafkaNode({ topicDefaults: { "retention.ms": "5000" } });
  await createTopic(kafka, "t", 1, { "max.message.bytes": "2000" });
  const describe = async (resourceType: number, resourceName: string, version = 4) => {
    const resources = [{ resourceType, resourceName, configurationKeys: null }];
    const request = { resources, includeSynonyms: true, includeDocumentation: true };
    return (await kafka.call(describeConfigs, version, request)).results[0];
  };
  for (let version = 1; version <= 4; version++) {
    const topic = await describe(TOPIC, "t", version);
    const entry = (name: string) => topic?.configs.find((config) => config.name === name);
    expect(entry("max.message.bytes")).toMatchObject({ value: "2000", configSource: 1, readOnly: false });
    expect(entry("retention.ms")).toMatchObject({ value: "5000", configSource: 4 });
    expect(entry("segment.bytes")).toMatchObject({ configSource: 5, configType: version >= 3 ? 3 : 0 });
    expect(entry("max.message.bytes")?.synonyms).toEqual([
      { name: "max.message.bytes", value: "2000", source: 1 },
      { name: "message.max.bytes", value: "1048588", source: 5 },
    ]);
  }
  const broker = await describe(BROKER, "1000001");
  expect(broker?.configs.find(({ name }) => name === "log.retention.ms")).toMatchObject({ value: "5000" });
  expect(broker?.configs.find(({ name }) => name === "auto.create.topics.enable")?.value).toBe("true");
  expect(await describe(BROKER, "")).toMatchObject({ errorCode: 0, configs: [] });
  expect((await describe(BROKER, "5"))?.errorCode).toBe(ERRORS.INVALID_REQUEST.kafka);
  expect((await describe(TOPIC, "x"))?.errorCode).toBe(ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka);
  expect((await describe(16, "x"))?.errorCode).toBe(ERRORS.INVALID_REQUEST.kafka);
});

test("settings are changed one by one or all at once, and what is wrong changes nothing", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t", 1, { "max.message.bytes": "2000" });
  const overrides = async () => {
    const resources = [{ resourceType: TOPIC, resourceName: "t", configurationKeys: null }];
    const answer = await kafka.call(describeConfigs, 4, { resources });
    const own = answer.results[0]?.configs.filter(({ configSource }) => configSource === 1) ?? [];
    return Object.fromEntries(own.map(({ name, value }) => [name, value]));
  };
  const change = async (
    configs: { name: string; configOperation: number; value: string | null }[],
    type = TOPIC,
  ) => {
    const resources = [{ resourceType: type, resourceName: type === TOPIC ? "t" : "1000001", configs }];
    const answer = await kafka.call(incrementalAlterConfigs, 1, { resources, validateOnly: false });
    return answer.responses[0]?.errorCode;
  };
  expect(await change([{ name: "retention.ms", configOperation: 0, value: "9000" }])).toBe(0);
  expect(await overrides()).toEqual({ "max.message.bytes": "2000", "retention.ms": "9000" });
  expect(await change([{ name: "max.message.bytes", configOperation: 1, value: null }])).toBe(0);
  expect(await overrides()).toEqual({ "retention.ms": "9000" });
  expect(await change([{ name: "cleanup.policy", configOperation: 2, value: "delete" }])).toBe(0);
  expect(await overrides()).toEqual({ "retention.ms": "9000", "cleanup.policy": "delete" });
  const invalid = ERRORS.INVALID_CONFIG.kafka;
  const bad = ERRORS.INVALID_REQUEST.kafka;
  expect(await change([{ name: "retention.ms", configOperation: 0, value: "x" }])).toBe(invalid);
  expect(await change([{ name: "retention.ms", configOperation: 2, value: "1" }])).toBe(invalid);
  expect(await change([{ name: "no.such", configOperation: 0, value: "1" }])).toBe(invalid);
  expect(await change([{ name: "retention.ms", configOperation: 0, value: null }])).toBe(bad);
  expect(await change([{ name: "retention.ms", configOperation: 9, value: "1" }])).toBe(bad);
  expect(await change([{ name: "num.partitions", configOperation: 0, value: "3" }], BROKER)).toBe(bad);
  expect(await change([{ name: "no.such", configOperation: 1, value: null }])).toBe(0);
  const nothing = await kafka.call(alterConfigs, 2, {
    resources: [
      {
        resourceType: TOPIC,
        resourceName: "t",
        configs: [
          { name: "segment.bytes", value: "2000000" },
          { name: "segment.ms", value: null },
        ],
      },
      { resourceType: TOPIC, resourceName: "", configs: [{ name: "segment.bytes", value: "2000000" }] },
    ],
    validateOnly: false,
  });
  expect(nothing.responses).toMatchObject([{ errorCode: bad }, { errorCode: bad }]);
  expect(await overrides()).toEqual({ "retention.ms": "9000", "cleanup.policy": "delete" });
  const all = await kafka.call(alterConfigs, 2, {
    resources: [
      { resourceType: TOPIC, resourceName: "t", configs: [{ name: "segment.bytes", value: "2000000" }] },
    ],
    validateOnly: false,
  });
  expect(all.responses).toMatchObject([{ errorCode: 0, errorMessage: null, resourceName: "t" }]);
  expect(await overrides()).toEqual({ "segment.bytes": "2000000" });
});

test("sizes of partitions and their idempotent producers can be looked at", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const { producerId } = await kafka.call(initProducerId, 5, {
    transactionalId: null,
    transactionTimeoutMs: 0,
  });
  const batch = batchOf(["a", "b"], { producerId, producerEpoch: 0, baseSequence: 0 });
  expect((await produceBatch(kafka, "t", batch)).errorCode).toBe(0);
  for (let version = 1; version <= 4; version++) {
    const answer = await kafka.call(describeLogDirs, version, { topics: null });
    const [directory] = answer.results;
    expect(directory?.topics[0]).toMatchObject({
      name: "t",
      partitions: [{ partitionIndex: 0, partitionSize: batch.byteLength, offsetLag: 0, isFutureKey: false }],
    });
  }
  const producers = await kafka.call(describeProducers, 0, {
    topics: [{ name: "t", partitionIndexes: [0, 5] }],
  });
  expect(producers.topics[0]?.partitions).toMatchObject([
    {
      errorCode: 0,
      activeProducers: [{ producerId, producerEpoch: 0, lastSequence: 1, currentTxnStartOffset: -1 }],
    },
    { partitionIndex: 5, errorCode: ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka },
  ]);
});
