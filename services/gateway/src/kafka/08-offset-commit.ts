/**
 * OffsetCommit (8), versions 2 to 10: a group's progress, stored.
 *
 * - Answered when it is durable on the in-sync replicas.
 * - Members commit in their generation (ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS),
 *   or with their epoch (STALE_MEMBER_EPOCH); who is no member only while the group has none.
 * - Version 10 names topics by their id.
 * - Up to version 4 a client may say how long its offsets are kept.
 *
 * Deliberately not here: commits inside transactions, which are another API.
 */
import { OttlaError } from "@ottla/errors";
import { offsetCommit, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { type CallOptions, traceMetadata } from "@ottla/rpc";
import type { Topic } from "../topics.ts";
import { itemErrorCode, optionalInstance } from "./group-requests.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { hasPartition, type KafkaServices, knownTopic, knownTopicId, lookUp } from "./kafka-services.ts";
import { checkItemCount } from "./request-items.ts";

type Request = RequestOf<typeof offsetCommit>;
type RequestTopic = Request["topics"][number];
type Response = ResponseOf<typeof offsetCommit>;

const FIRST_VERSION_WITH_IDS = 10;
const MAX_OFFSETS = 50_000;

export function offsetCommitHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: offsetCommit,
    versions: { min: 2, max: 10 },
    async handle(request, { apiVersion, signal, span }): Promise<Response> {
      checkItemCount("topics", countOf(request.topics), MAX_OFFSETS);
      const hasIds = apiVersion >= FIRST_VERSION_WITH_IDS;
      const topics = await lookUp(services.topics, request.topics, ({ name, topicId }) =>
        hasIds ? knownTopicId(services, topicId) : knownTopic(services.topics, name),
      );
      const wanted = request.topics.flatMap((topic, index) => offsetsOf(topic, topics[index]));
      const options = { signal, ...traceMetadata(span) };
      const errors = wanted.length === 0 ? [] : await commit(services, request, wanted, options);
      let next = 0;
      return {
        throttleTimeMs: 0,
        topics: request.topics.map((asked, index) => {
          const topic = topics[index];
          const partitions = asked.partitions.map(({ partitionIndex }) => ({
            partitionIndex,
            errorCode: itemErrorCode(
              services,
              topic !== undefined && hasPartition(topic, partitionIndex)
                ? errors[next++]
                : unknown(asked, topic, hasIds),
              offsetCommit.name,
            ),
          }));
          return { name: asked.name, topicId: asked.topicId, partitions };
        }),
      };
    },
    failure: ({ topics }, { errorCode }) => ({
      throttleTimeMs: 0,
      topics: topics.map(({ name, topicId, partitions }) => ({
        name,
        topicId,
        partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
      })),
    }),
  });
}

function offsetsOf({ partitions }: RequestTopic, topic: Topic | undefined) {
  if (topic === undefined) return [];
  return partitions
    .filter(({ partitionIndex }) => hasPartition(topic, partitionIndex))
    .map((partition) => ({
      topic: topic.name,
      topicId: topic.topicId,
      partition: partition.partitionIndex,
      offset: BigInt(partition.committedOffset),
      leaderEpoch: partition.committedLeaderEpoch,
      metadata: partition.committedMetadata ?? "",
    }));
}

async function commit(
  { groups }: KafkaServices,
  request: Request,
  offsets: ReturnType<typeof offsetsOf>,
  options: CallOptions,
) {
  const { groupId, memberId, groupInstanceId, generationIdOrMemberEpoch, retentionTimeMs } = request;
  const message = {
    groupId,
    memberId,
    ...optionalInstance(groupInstanceId),
    generationOrEpoch: generationIdOrMemberEpoch,
    offsets,
    retentionMs: BigInt(retentionTimeMs),
  };
  const { errors } = await groups.commitOffsets(message, options);
  return errors;
}

function unknown({ name }: RequestTopic, topic: Topic | undefined, hasIds: boolean): OttlaError {
  if (topic === undefined && hasIds) return new OttlaError("UNKNOWN_TOPIC_ID", "no topic has that id");
  return new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic "${name}" has no such partition`);
}

function countOf(topics: readonly RequestTopic[]): number {
  return topics.reduce((sum, { partitions }) => sum + partitions.length, 0);
}
