/**
 * DescribeProducers (61), version 0: the idempotent producers that partitions remember.
 *
 * - What the leader remembers to recognise retries: at most so long as its log keeps it.
 *
 * Deliberately not here: open transactions, since there are none: their start is always -1.
 */
import { OttlaError } from "@ottla/errors";
import { describeProducers, type ResponseOf } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import { hasPartition, type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";

type PartitionResponse = ResponseOf<typeof describeProducers>["topics"][number]["partitions"][number];

export function describeProducersHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: describeProducers,
    versions: { min: 0, max: 0 },
    async handle({ topics }, { signal }) {
      const answers = topics.map(async ({ name, partitionIndexes }) => ({
        name,
        partitions: await describe(services, name, partitionIndexes, signal),
      }));
      return { throttleTimeMs: 0, topics: await Promise.all(answers) };
    },
    failure: ({ topics }, failure) => ({
      throttleTimeMs: 0,
      topics: topics.map(({ name, partitionIndexes }) => ({
        name,
        partitions: partitionIndexes.map((partition) => refused(partition, failure)),
      })),
    }),
  });
}

async function describe(
  { topics, router, failures }: KafkaServices,
  name: string,
  partitions: readonly number[],
  signal: AbortSignal,
): Promise<PartitionResponse[]> {
  const [topic] = await lookUp(topics, [name], () => knownTopic(topics, name));
  const known = topic === undefined ? [] : partitions.filter((partition) => hasPartition(topic, partition));
  const topicId = topic?.topicId ?? "";
  const found = await router.describeProducers(
    known.map((partition) => ({ topicId, partition })),
    signal,
  );
  const results = new Map(known.map((partition, index) => [partition, found[index]] as const));
  return partitions.map((partition) => {
    const result =
      results.get(partition) ??
      new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} has no partition ${partition}`);
    if (result instanceof OttlaError)
      return refused(partition, failures.ofRead(result, describeProducers.name));
    return {
      partitionIndex: partition,
      errorCode: NO_ERROR,
      activeProducers: result.map((producer) => ({
        producerId: Number(producer.producerId),
        producerEpoch: producer.producerEpoch,
        lastSequence: producer.lastSequence,
        lastTimestamp: Number(producer.lastTimestampMs),
        coordinatorEpoch: producer.coordinatorEpoch,
        currentTxnStartOffset: Number(producer.transactionFirstOffset),
      })),
    };
  });
}

function refused(partitionIndex: number, { errorCode, errorMessage }: KafkaFailure): PartitionResponse {
  return { partitionIndex, errorCode, errorMessage, activeProducers: [] };
}
