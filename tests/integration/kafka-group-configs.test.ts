import { ERRORS } from "@ottla/errors";
import {
  alterConfigs,
  consumerGroupHeartbeat,
  describeConfigs,
  incrementalAlterConfigs,
  listConfigResources,
} from "@ottla/kafka-protocol";
import { expect, test } from "vitest";
import type { KafkaTestClient } from "../support/kafka-client.ts";
import { createTopic, startKafkaNode } from "./kafka-support.ts";

const GROUP = 32;
const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SESSION = "consumer.session.timeout.ms";
const INTERVAL = "consumer.heartbeat.interval.ms";

type Change = readonly [name: string, operation: number, value: string | null];

async function alter(kafka: KafkaTestClient, resourceName: string, changes: readonly Change[]) {
  const configs = changes.map(([name, configOperation, value]) => ({ name, configOperation, value }));
  const resources = [{ resourceType: GROUP, resourceName, configs }];
  const { responses } = await kafka.call(incrementalAlterConfigs, 1, { resources, validateOnly: false });
  return responses[0]?.errorCode;
}

async function describe(kafka: KafkaTestClient, resourceName: string) {
  const resources = [{ resourceType: GROUP, resourceName, configurationKeys: null }];
  const { results } = await kafka.call(describeConfigs, 4, { resources, includeSynonyms: true });
  return results[0];
}

async function heartbeatIntervalMs(kafka: KafkaTestClient, memberId: string, memberEpoch: number) {
  const joins = memberEpoch === 0;
  const answer = await kafka.call(consumerGroupHeartbeat, 1, {
    groupId: "orders",
    memberId,
    memberEpoch,
    rebalanceTimeoutMs: joins ? 30_000 : -1,
    subscribedTopicNames: joins ? ["t"] : null,
    topicPartitions: joins ? [] : null,
  });
  expect(answer.errorCode).toBe(0);
  return { memberEpoch: answer.memberEpoch, intervalMs: answer.heartbeatIntervalMs };
}

test("settings of a group are changed, described with their sources and told to its members", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const { memberEpoch, intervalMs } = await heartbeatIntervalMs(kafka, "member", 0);
  expect(intervalMs).toBe(5_000);
  const change: Change[] = [
    [SESSION, SET, "50000"],
    [INTERVAL, SET, "6000"],
  ];
  expect(await alter(kafka, "orders", change)).toBe(0);
  expect((await describe(kafka, "orders"))?.configs).toMatchObject([
    {
      name: INTERVAL,
      value: "6000",
      configSource: 8,
      readOnly: false,
      synonyms: [
        { name: INTERVAL, value: "6000", source: 8 },
        { name: `group.${INTERVAL}`, value: "5000", source: 5 },
      ],
    },
    { name: SESSION, value: "50000", configSource: 8 },
  ]);
  expect(await heartbeatIntervalMs(kafka, "member", memberEpoch)).toMatchObject({ intervalMs: 6_000 });
  expect(await alter(kafka, "orders", [[INTERVAL, DELETE, null]])).toBe(0);
  expect((await describe(kafka, "orders"))?.configs).toMatchObject([
    { name: INTERVAL, value: "5000", configSource: 5 },
    { name: SESSION, value: "50000", configSource: 8 },
  ]);
  const all = await kafka.call(alterConfigs, 2, {
    resources: [
      { resourceType: GROUP, resourceName: "orders", configs: [{ name: INTERVAL, value: "7000" }] },
    ],
    validateOnly: false,
  });
  expect(all.responses).toMatchObject([{ errorCode: 0 }]);
  expect((await describe(kafka, "orders"))?.configs).toMatchObject([
    { name: INTERVAL, value: "7000", configSource: 8 },
    { name: SESSION, value: "45000", configSource: 5 },
  ]);
});

test("what a group may not set is refused with Kafka's codes", async () => {
  const { kafka } = await startKafkaNode();
  const invalid = ERRORS.INVALID_CONFIG.kafka;
  const bad = ERRORS.INVALID_REQUEST.kafka;
  expect(await alter(kafka, "g", [["share.session.timeout.ms", SET, "45000"]])).toBe(invalid);
  expect(await alter(kafka, "g", [[SESSION, SET, "10"]])).toBe(invalid);
  expect(await alter(kafka, "g", [[SESSION, APPEND, "50000"]])).toBe(invalid);
  expect(await alter(kafka, "g", [[SESSION, SET, null]])).toBe(bad);
  expect(await alter(kafka, "", [[SESSION, SET, "50000"]])).toBe(bad);
  expect((await describe(kafka, ""))?.errorCode).toBe(bad);
  expect(await alter(kafka, "g", [["no.such", DELETE, null]])).toBe(0);
  expect((await describe(kafka, "g"))?.configs).toMatchObject([{ configSource: 5 }, { configSource: 5 }]);
});

test("the groups that have settings are listed, and so are topics and brokers", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  expect(await alter(kafka, "b", [[SESSION, SET, "50000"]])).toBe(0);
  expect(await alter(kafka, "a", [[SESSION, SET, "50000"]])).toBe(0);
  expect(await alter(kafka, "gone", [[SESSION, SET, "50000"]])).toBe(0);
  expect(await alter(kafka, "gone", [[SESSION, DELETE, null]])).toBe(0);
  const listed = async (resourceTypes: number[]) => {
    const { errorCode, configResources } = await kafka.call(listConfigResources, 1, { resourceTypes });
    return [errorCode, ...configResources.map((found) => `${found.resourceType} ${found.resourceName}`)];
  };
  expect(await listed([GROUP, GROUP])).toEqual([0, "32 a", "32 b"]);
  expect(await listed([2, 16])).toEqual([0, "2 t"]);
  expect(await listed([])).toEqual([0, "2 t", expect.stringMatching(/^4 \d+$/), "32 a", "32 b"]);
  expect(await listed([3])).toEqual([ERRORS.UNSUPPORTED_VERSION.kafka]);
  expect(await kafka.call(listConfigResources, 0, {})).toMatchObject({ errorCode: 0, configResources: [] });
});
