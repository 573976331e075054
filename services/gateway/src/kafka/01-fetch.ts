/**
 * Fetch (1), versions 4 to 17: record batches from many partitions in one bounded answer.
 *
 * - Versions up to 12 name topics, from 13 on they give topic ids (KIP-516); a wrong id is UNKNOWN_TOPIC_ID.
 * - From version 7 on there are incremental fetch sessions (KIP-227). A session belongs
 *   to its connection, so it is never met by another gateway or after a reconnect: the
 *   client then begins a new one, as Kafka tells it to.
 * - The answer holds max_bytes at most, except that its first batch comes whatever its
 *   size (KIP-74). Partitions that gave records go to the end of a session's order.
 *   Partitions whose turn does not come before it is full are answered with their offsets and no records.
 * - A fetch that finds less than min_bytes waits for all its partitions at once, without
 *   polling, for max_wait_ms at most.
 * - A partition whose leader changes is waited for like one without records, and gives NOT_LEADER_OR_FOLLOWER
 *   when the time is up; sessions go on.
 * - OFFSET_OUT_OF_RANGE only ever comes from what the leader says. current_leader_epoch is checked (KIP-320).
 * - Without transactions the last stable offset is the high watermark, and there are no
 *   aborted transactions: null for read_uncommitted, empty for read_committed, as in Kafka.
 *
 * Deliberately not here: replicas fetch over gRPC, so replica_id and replica_state are
 * not looked at; no diverging epochs, since consumers do not send last_fetched_epoch; no
 * preferred read replica, since any gateway serves any partition.
 */
import { ERRORS, type ErrorCode } from "@ottla/errors";
import { fetch, type RequestOf, type ResponseOf, ZERO_UUID } from "@ottla/kafka-protocol";
import { type FetchedPartition, FetchRun } from "./fetch-run.ts";
import { type FetchContext, NO_SESSION } from "./fetch-session.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Request = RequestOf<typeof fetch>;
type Response = ResponseOf<typeof fetch>;
type TopicResponse = Response["responses"][number];
type PartitionResponse = TopicResponse["partitions"][number];

const READ_COMMITTED = 1;

export function fetchHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: fetch,
    versions: { min: 4, max: 17 },
    handle: (request, context) => serveFetch(services, request, context),
    failure: (_, { errorCode }) => refused(errorCode),
  });
}

async function serveFetch(
  services: KafkaServices,
  request: Request,
  context: KafkaRequestContext,
): Promise<Response> {
  const { fetchSessions, limits } = services;
  const opened = fetchSessions.open(request, context.apiVersion, context.connection);
  if (typeof opened === "string") return refused(codeOf(opened));
  const maxBytes = Math.min(Math.max(1, request.maxBytes), limits.maxFetchBytes);
  const run = new FetchRun(services, {
    maxBytes,
    minBytes: Math.min(Math.max(0, request.minBytes), maxBytes),
    maxWaitMs: Math.min(Math.max(0, request.maxWaitMs), limits.maxWaitMs),
    usesTopicIds: opened.usesTopicIds,
    signal: context.signal,
    hurry: context.hurry,
    traceparent: context.span?.traceparent,
  });
  // The bytes count as the gateway's until the client has taken them.
  let fetched: readonly FetchedPartition[] = [];
  context.afterSent((isTaken) => {
    services.fetchBudget.give(run.grantedBytes);
    if (!isTaken) return;
    for (const { chunks } of fetched) for (const chunk of chunks) services.readBuffers.giveBack(chunk);
  });
  fetched = await run.fetch(opened.targets);
  for (const { topicName, sizeBytes } of fetched) services.metrics.countFetched(topicName, sizeBytes);
  return answerOf(opened, fetched, request.isolationLevel === READ_COMMITTED);
}

function answerOf(
  context: FetchContext,
  fetched: readonly FetchedPartition[],
  isReadCommitted: boolean,
): Response {
  const byTopic = new Map<string, PartitionResponse[]>();
  for (const partition of fetched) {
    const { topic } = partition.target;
    const isWanted = context.mustAnswer({
      topic,
      partition: partition.target.partition,
      errorCode: partition.errorCode,
      highWatermark: partition.highWatermark,
      logStartOffset: partition.logStartOffset,
      hasRecords: partition.sizeBytes > 0,
    });
    if (!isWanted) continue;
    const answers = byTopic.get(topic);
    if (answers === undefined) byTopic.set(topic, [partitionOf(partition, isReadCommitted)]);
    else answers.push(partitionOf(partition, isReadCommitted));
  }
  const responses = Array.from(byTopic, ([topic, partitions]) =>
    context.usesTopicIds
      ? { topic: "", topicId: topic, partitions }
      : { topic, topicId: ZERO_UUID, partitions },
  );
  return { throttleTimeMs: 0, errorCode: NO_ERROR, sessionId: context.sessionId, responses };
}

function partitionOf(partition: FetchedPartition, isReadCommitted: boolean): PartitionResponse {
  return {
    partitionIndex: partition.target.partition,
    errorCode: partition.errorCode,
    highWatermark: partition.highWatermark,
    lastStableOffset: partition.lastStableOffset,
    logStartOffset: partition.logStartOffset,
    abortedTransactions: isReadCommitted || partition.errorCode !== NO_ERROR ? [] : null,
    records: partition.chunks,
  };
}

function refused(errorCode: number): Response {
  return { throttleTimeMs: 0, errorCode, sessionId: NO_SESSION, responses: [] };
}

function codeOf(code: ErrorCode): number {
  return ERRORS[code].kafka;
}
