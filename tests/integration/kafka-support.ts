import { createTopics, type fetch, listOffsets, metadata, produce, ZERO_UUID } from "@ottla/kafka-protocol";
import { decodeBatches, encodeBatch } from "@ottla/records";
import type { SettingsOverrides } from "@ottla/runtime";
import { afterEach } from "vitest";
import { type Answer, KafkaTestClient } from "../support/kafka-client.ts";
import { startTestNode, type TestNode } from "./serve-support.ts";

const clients: KafkaTestClient[] = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

export interface KafkaNode {
  readonly node: TestNode;
  readonly port: number;
  /** A first connection. */
  readonly kafka: KafkaTestClient;
}

/** A whole cluster in this process with its Kafka door, and a connection to it. */
export async function startKafkaNode(settings: SettingsOverrides = {}): Promise<KafkaNode> {
  const node = await startTestNode({ settings });
  const port = node.running.kafkaPort;
  return { node, port, kafka: await connectKafka(port) };
}

export async function connectKafka(port: number): Promise<KafkaTestClient> {
  const client = await KafkaTestClient.connect(port);
  clients.push(client);
  return client;
}

/** Creates a topic and returns its id. */
export async function createTopic(
  kafka: KafkaTestClient,
  name: string,
  partitions = 1,
  configs: Readonly<Record<string, string>> = {},
): Promise<string> {
  const answer = await kafka.call(createTopics, 7, {
    topics: [
      {
        name,
        numPartitions: partitions,
        replicationFactor: -1,
        assignments: [],
        configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
      },
    ],
  });
  const [topic] = answer.topics;
  if (topic?.errorCode !== 0) throw new Error(`cannot create ${name}: ${topic?.errorMessage}`);
  return topic.topicId;
}

export interface BatchOptions {
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly isTransactional?: boolean;
  readonly compression?: "none" | "gzip" | "zstd";
  readonly timestampMs?: number;
}

/** A batch of records with these texts as values. */
export function batchOf(values: readonly string[], options: BatchOptions = {}): Uint8Array {
  const { timestampMs = 1_700_000_000_000, ...rest } = options;
  return encodeBatch(
    values.map((value) => ({ timestampMs, key: null, value: Buffer.from(value) })),
    rest,
  );
}

export type ProducedPartition = Answer<typeof produce>["responses"][number]["partitionResponses"][number];

/** Produces one batch and returns the partition's answer. */
export async function produceBatch(
  kafka: KafkaTestClient,
  topic: string,
  records: Uint8Array | null,
  options: { readonly version?: number; readonly acks?: number; readonly partition?: number } = {},
): Promise<ProducedPartition> {
  const { version = 12, acks = -1, partition = 0 } = options;
  const answer = await kafka.call(produce, version, {
    acks,
    timeoutMs: 10_000,
    topicData: [{ name: topic, partitionData: [{ index: partition, records }] }],
  });
  const [produced] = answer.responses[0]?.partitionResponses ?? [];
  if (produced === undefined) throw new Error("no answer for the partition");
  return produced;
}

export interface FetchWanted {
  readonly topic: string;
  readonly partition?: number;
  readonly offset: number;
  readonly maxBytes?: number;
  readonly leaderEpoch?: number;
}

/** The request of a fetch; topics by name up to version 12, by id from 13 on. */
export function fetchRequest(
  version: number,
  wanted: readonly FetchWanted[],
  options: {
    readonly sessionId?: number;
    readonly sessionEpoch?: number;
    readonly maxWaitMs?: number;
    readonly minBytes?: number;
    readonly maxBytes?: number;
    readonly isolationLevel?: number;
    readonly forgotten?: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
  } = {},
) {
  const byId = version >= 13;
  const named = (topic: string) => ({ topic: byId ? "" : topic, topicId: byId ? topic : ZERO_UUID });
  return {
    maxWaitMs: options.maxWaitMs ?? 0,
    minBytes: options.minBytes ?? 1,
    maxBytes: options.maxBytes ?? 50 << 20,
    isolationLevel: options.isolationLevel ?? 0,
    sessionId: options.sessionId ?? 0,
    sessionEpoch: options.sessionEpoch ?? -1,
    topics: wanted.map(({ topic, partition = 0, offset, maxBytes = 1 << 20, leaderEpoch = -1 }) => ({
      ...named(topic),
      partitions: [
        { partition, fetchOffset: offset, partitionMaxBytes: maxBytes, currentLeaderEpoch: leaderEpoch },
      ],
    })),
    forgottenTopicsData: (options.forgotten ?? []).map(({ topic, partitions }) => ({
      ...named(topic),
      partitions,
    })),
  };
}

export type FetchAnswer = Answer<typeof fetch>;

/** The texts of all records in an answer to Fetch. */
export function valuesOf(answer: FetchAnswer): string[] {
  return answer.responses.flatMap(({ partitions }) =>
    partitions.flatMap(({ records }) =>
      [...decodeBatches(records ?? new Uint8Array(0))].map(({ value }) =>
        Buffer.from(value ?? []).toString(),
      ),
    ),
  );
}

/** One offset by ListOffsets, with its error. */
export async function offsetOf(
  kafka: KafkaTestClient,
  topic: string,
  timestamp: number,
  version = 10,
): Promise<Answer<typeof listOffsets>["topics"][number]["partitions"][number]> {
  const answer = await kafka.call(listOffsets, version, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
  });
  const [found] = answer.topics[0]?.partitions ?? [];
  if (found === undefined) throw new Error("no answer for the partition");
  return found;
}

/** What Metadata says about topics. */
export async function metadataOf(
  kafka: KafkaTestClient,
  names: readonly string[] | null,
  options: { readonly version?: number; readonly create?: boolean } = {},
): Promise<Answer<typeof metadata>> {
  return kafka.call(metadata, options.version ?? 12, {
    topics: names === null ? null : names.map((name) => ({ name })),
    allowAutoTopicCreation: options.create ?? false,
  });
}
