import { ERRORS } from "@ottla/errors";
import {
  alterPartitionReassignments,
  describeCluster,
  describeLogDirs,
  electLeaders,
  incrementalAlterConfigs,
  listPartitionReassignments,
  metadata,
} from "@ottla/kafka-protocol";
import { expect, test } from "vitest";
import { createTopic, startKafkaNode } from "./kafka-support.ts";

const BROKER = 4;
const DELETE = 1;
const SET = 0;

test("partitions that do not exist are refused one by one, an unknown election as a whole", async () => {
  const { kafka } = await startKafkaNode();
  await createTopic(kafka, "t");
  const nowhere = [
    { topic: "t", partitions: [7, 7] },
    { topic: "x", partitions: [0] },
  ];
  const UNKNOWN = ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka;
  const elected = await kafka.call(electLeaders, 2, { electionType: 1, topicPartitions: nowhere });
  expect(elected).toMatchObject({
    errorCode: 0,
    replicaElectionResults: [
      { topic: "t", partitionResult: [{ partitionId: 7, errorCode: UNKNOWN }] },
      { topic: "x", partitionResult: [{ partitionId: 0, errorCode: UNKNOWN }] },
    ],
  });
  const odd = await kafka.call(electLeaders, 2, { electionType: 9, topicPartitions: nowhere });
  expect(odd.errorCode).toBe(ERRORS.INVALID_REQUEST.kafka);
  expect(odd.replicaElectionResults[0]?.partitionResult[0]?.errorCode).toBe(ERRORS.INVALID_REQUEST.kafka);
  for (const version of [0, 1]) {
    const topics = [
      { name: "x", partitions: [{ partitionIndex: 0, replicas: [1] }] },
      { name: "t", partitions: [] },
    ];
    const moved = await kafka.call(alterPartitionReassignments, version, { topics });
    expect(moved).toMatchObject({ errorCode: 0, allowReplicationFactorChange: true });
    expect(moved.responses).toMatchObject([
      { name: "x", partitions: [{ partitionIndex: 0, errorCode: UNKNOWN }] },
      { name: "t", partitions: [] },
    ]);
  }
  for (const topics of [null, [{ name: "t", partitionIndexes: [0, 7] }]]) {
    const listed = await kafka.call(listPartitionReassignments, 0, { topics });
    expect(listed).toMatchObject({ errorCode: 0, topics: [] });
  }
});

test("only the tool that moves replicas is told of storage nodes as brokers", async () => {
  const { kafka } = await startKafkaNode();
  const brokerIds = async (): Promise<number[][]> => {
    const known = await kafka.call(metadata, 13, { topics: [] });
    const cluster = await kafka.call(describeCluster, 1, {
      endpointType: 1,
      includeClusterAuthorizedOperations: false,
    });
    return [known.brokers.map(({ nodeId }) => nodeId), cluster.brokers.map(({ brokerId }) => brokerId)];
  };
  expect(await brokerIds()).toEqual([[1_000_001], [1_000_001]]);
  kafka.clientId = "reassign-partitions-tool";
  expect(await brokerIds()).toEqual([
    [1, 1_000_001],
    [1, 1_000_001],
  ]);
});

test("a tool may take settings of brokers away that nobody has set, and set none", async () => {
  const { kafka } = await startKafkaNode();
  const alter = async (resourceName: string, configOperation: number): Promise<number | undefined> => {
    const configs = [{ name: "leader.replication.throttled.rate", configOperation, value: "5" }];
    const resources = [{ resourceType: BROKER, resourceName, configs }];
    const { responses } = await kafka.call(incrementalAlterConfigs, 1, { resources, validateOnly: false });
    return responses[0]?.errorCode;
  };
  expect([await alter("1", DELETE), await alter("1000001", DELETE)]).toEqual([0, 0]);
  const INVALID = ERRORS.INVALID_REQUEST.kafka;
  expect([await alter("77", DELETE), await alter("1", SET)]).toEqual([INVALID, INVALID]);
});

test("a storage node shows as a log directory with the size of its disk, without topics too", async () => {
  const { kafka } = await startKafkaNode();
  const { results } = await kafka.call(describeLogDirs, 4, { topics: null });
  expect(results).toMatchObject([{ errorCode: 0, logDir: "storage-node-1", topics: [] }]);
  const [{ totalBytes, usableBytes } = { totalBytes: 0, usableBytes: 0 }] = results;
  expect(usableBytes).toBeGreaterThan(0);
  expect(totalBytes).toBeGreaterThan(usableBytes ?? 0);
});
