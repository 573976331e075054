/**
 * DescribeTopicPartitions (75), version 0: topics and partitions, a page at a time (KIP-966).
 *
 * - Topics come in the order of their names; an empty list asks for all. An answer holds
 *   response_partition_limit partitions, 2,000 at most and one at least; `next_cursor`
 *   says where the next one begins.
 * - The eligible leader replicas and the last known leader are Kafka's ELR and last known ELR.
 *
 * Deliberately not here: creating topics.
 */
import { OttlaError } from "@ottla/errors";
import { describeTopicPartitions, type RequestOf, type ResponseOf, ZERO_UUID } from "@ottla/kafka-protocol";
import { isInternalTopicName } from "@ottla/metadata";
import { checkTopicName, type Topic } from "../topics.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import { type KafkaServices, knownTopic } from "./kafka-services.ts";
import { ALL_TOPIC_OPERATIONS, partitionMetadata } from "./topic-metadata.ts";

type Request = RequestOf<typeof describeTopicPartitions>;
type Response = ResponseOf<typeof describeTopicPartitions>;
type TopicResponse = Response["topics"][number];

const MAX_PARTITIONS = 2_000;

export function describeTopicPartitionsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: describeTopicPartitions,
    versions: { min: 0, max: 0 },
    async handle(request) {
      if (request.cursor !== null && request.cursor.partitionIndex < 0) {
        const message = "DescribeTopicPartitionsRequest cursor partition must be valid";
        throw new OttlaError("INVALID_REQUEST", message);
      }
      await services.topics.refresh();
      return pageOf(services, request);
    },
    failure: ({ topics }, failure) => ({
      throttleTimeMs: 0,
      topics: topics.map(({ name }) => refused(name, failure)),
    }),
  });
}

function pageOf(services: KafkaServices, { topics, responsePartitionLimit, cursor }: Request): Response {
  const { view, failures } = services;
  const names =
    topics.length === 0
      ? view.topicNames()
      : [...new Set(topics.map(({ name }) => name))].toSorted(byCodeUnits);
  let left = Math.max(1, Math.min(MAX_PARTITIONS, responsePartitionLimit));
  const answers: TopicResponse[] = [];
  for (const name of names) {
    if (cursor !== null && name < cursor.topicName) continue;
    const first = cursor?.topicName === name ? cursor.partitionIndex : 0;
    if (left === 0)
      return { throttleTimeMs: 0, topics: answers, nextCursor: { topicName: name, partitionIndex: 0 } };
    const topic = knownTopic(services.topics, name);
    if (topic === undefined) {
      // A listed topic that is gone by now was never asked for.
      if (topics.length > 0)
        answers.push(refused(name, failures.of(unknown(name), describeTopicPartitions.name)));
      continue;
    }
    const partitions = partitionMetadata(services, topic, first, left);
    left -= partitions.length;
    answers.push(described(topic, partitions));
    const next = first + partitions.length;
    if (next < topic.partitionCount) {
      return { throttleTimeMs: 0, topics: answers, nextCursor: { topicName: name, partitionIndex: next } };
    }
  }
  return { throttleTimeMs: 0, topics: answers, nextCursor: null };
}

function byCodeUnits(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function unknown(name: string): unknown {
  try {
    checkTopicName(name, "topics");
    return new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} does not exist`);
  } catch (thrown) {
    return thrown;
  }
}

function described(topic: Topic, partitions: TopicResponse["partitions"]): TopicResponse {
  return {
    errorCode: NO_ERROR,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: topic.internal,
    partitions,
    topicAuthorizedOperations: ALL_TOPIC_OPERATIONS,
  };
}

function refused(name: string, { errorCode }: KafkaFailure): TopicResponse {
  return { errorCode, name, topicId: ZERO_UUID, isInternal: isInternalTopicName(name), partitions: [] };
}
