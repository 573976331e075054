import { ERRORS } from "@ottla/errors";
import { alterConfigs, deleteTopics, describeConfigs, metadata } from "@ottla/kafka-protocol";
import { expect, test } from "vitest";
import { connectKafka, createTopic, metadataOf, startKafkaNode } from "./kafka-support.ts";

const TOPIC = 2;
const INVALID_REQUEST = ERRORS.INVALID_REQUEST.kafka;

test("a resource or topic that is named many times is answered once", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const names = Array.from({ length: 10_000 }, () => "t");
  const described = await kafka.call(describeConfigs, 4, {
    resources: names.map((resourceName) => ({ resourceType: TOPIC, resourceName, configurationKeys: null })),
    includeSynonyms: true,
    includeDocumentation: true,
  });
  expect(described.results.map(({ errorCode }) => errorCode)).toEqual([0]);
  expect((await metadataOf(kafka, names)).topics.map(({ errorCode }) => errorCode)).toEqual([0]);
  const altered = await kafka.call(alterConfigs, 2, {
    resources: names.map((resourceName) => ({ resourceType: TOPIC, resourceName, configs: [] })),
    validateOnly: false,
  });
  expect(altered.responses.map(({ errorCode }) => errorCode)).toEqual([INVALID_REQUEST]);
  const deleted = await kafka.call(deleteTopics, 5, { topicNames: names, timeoutMs: 5_000 });
  expect(deleted.responses.map(({ errorCode }) => errorCode)).toEqual([INVALID_REQUEST]);
});

test("requests that name too much are refused as a whole, and other clients are served", async () => {
  const { kafka } = await startKafkaNode();
  const names = Array.from({ length: 10_001 }, (_, index) => `n${index}`);
  const deleted = await kafka.call(deleteTopics, 5, { topicNames: names, timeoutMs: 5_000 });
  expect(new Set(deleted.responses.map(({ errorCode }) => errorCode))).toEqual(new Set([INVALID_REQUEST]));
  const altered = await kafka.call(alterConfigs, 2, {
    resources: names.map((resourceName) => ({ resourceType: TOPIC, resourceName, configs: [] })),
    validateOnly: false,
  });
  expect(new Set(altered.responses.map(({ errorCode }) => errorCode))).toEqual(new Set([INVALID_REQUEST]));
  const described = await kafka.call(describeConfigs, 4, {
    resources: names.map((resourceName) => ({ resourceType: TOPIC, resourceName, configurationKeys: null })),
    includeSynonyms: false,
    includeDocumentation: false,
  });
  expect(new Set(described.results.map(({ errorCode }) => errorCode))).toEqual(new Set([INVALID_REQUEST]));
  const many = Array.from({ length: 50_001 }, (_, index) => `n${index}`);
  expect((await metadataOf(kafka, many, { version: 13 })).errorCode).toBe(INVALID_REQUEST);
});

test("a frame of more elements than any request needs ends its connection", async () => {
  const { port, kafka } = await startKafkaNode();
  const client = await connectKafka(port);
  client.send(metadata, 9, {
    topics: Array.from({ length: 300_001 }, () => ({ name: "" })),
    allowAutoTopicCreation: false,
  });
  await client.untilClosed();
  expect((await metadataOf(kafka, [])).brokers).toHaveLength(1);
});
