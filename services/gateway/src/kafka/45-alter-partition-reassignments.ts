/**
 * AlterPartitionReassignments (45), versions 0 and 1: moves replicas of partitions to other storage nodes,
 * each by itself (KIP-455).
 *
 * - Replicas are storage nodes, by the ids that metadata answers show; the first is to be the preferred
 *   leader. Unknown ones, none, or one named twice are INVALID_REPLICA_ASSIGNMENT.
 * - Null cancels a move that is under way; without one it is NO_REASSIGNMENT_IN_PROGRESS.
 * - From version 1 on a request may insist on the number of replicas (KIP-860): INVALID_REPLICATION_FACTOR.
 * - The answer comes when the moves have begun and this gateway shows them; they go on by themselves.
 *
 * Deliberately not here: limits of the rate in settings of brokers and topics
 * (`leader.replication.throttled.rate` and its like); the cluster's own limit counts.
 */
import { OttlaError } from "@ottla/errors";
import { alterPartitionReassignments, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import type { ReassignmentAnswer } from "@ottla/proto/ottla/internal/v1/coordinator";
import { fromErrorMessage } from "@ottla/routing";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import { hasPartition, type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";
import { checkItemCount } from "./request-items.ts";

type Request = RequestOf<typeof alterPartitionReassignments>;
type TopicResponse = ResponseOf<typeof alterPartitionReassignments>["responses"][number];

const DONE = { errorCode: NO_ERROR, errorMessage: null };

export function alterPartitionReassignmentsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: alterPartitionReassignments,
    versions: { min: 0, max: 1 },
    async handle(request) {
      const { allowReplicationFactorChange } = request;
      const responses = await reassign(services, request);
      return { throttleTimeMs: 0, allowReplicationFactorChange, ...DONE, responses };
    },
    failure: ({ topics, allowReplicationFactorChange }, failure) => ({
      throttleTimeMs: 0,
      allowReplicationFactorChange,
      ...failure,
      responses: topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, ...failure })),
      })),
    }),
  });
}

async function reassign(services: KafkaServices, request: Request): Promise<TopicResponse[]> {
  const { topics, changes, failures } = services;
  const wanted = request.topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex, replicas }) => ({ name, partitionIndex, replicas })),
  );
  checkItemCount("topics", wanted.length);
  const found = await lookUp(topics, wanted, ({ name, partitionIndex }) => {
    const topic = knownTopic(topics, name);
    return topic !== undefined && hasPartition(topic, partitionIndex) ? topic : undefined;
  });
  const reassignments = wanted.flatMap(({ partitionIndex: partition, replicas }, index) => {
    const topicId = found[index]?.topicId;
    if (topicId === undefined) return [];
    return [{ partition: { topicId, partition }, replicas: replicas ?? [], cancel: replicas === null }];
  });
  const { allowReplicationFactorChange, timeoutMs } = request;
  const terms = { timeoutMs, validateOnly: false };
  const answers =
    reassignments.length === 0
      ? []
      : await changes.reassign(reassignments, allowReplicationFactorChange, terms);
  let nextAnswer = 0;
  const outcomes = wanted.map(({ name, partitionIndex }, index) => {
    const message = `Unable to find partition ${name}:${partitionIndex}.`;
    const error =
      found[index] === undefined
        ? new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", message)
        : errorOf(answers[nextAnswer++]);
    const failure = error && failures.of(error, alterPartitionReassignments.name);
    return { partitionIndex, ...(failure ?? DONE) };
  });
  let next = 0;
  return request.topics.map(({ name, partitions }) => {
    next += partitions.length;
    return { name, partitions: outcomes.slice(next - partitions.length, next) };
  });
}

function errorOf(answer: ReassignmentAnswer | undefined): OttlaError | undefined {
  if (answer === undefined) return new OttlaError("UNKNOWN_SERVER_ERROR", "the coordinator gave no answer");
  return answer.error && fromErrorMessage(answer.error);
}
