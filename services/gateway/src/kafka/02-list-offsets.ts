/**
 * ListOffsets (2), versions 1 to 10: offsets by place or time.
 *
 * - Earliest (-2) and latest (-1) in all versions, the largest timestamp (-3) from
 *   version 7, earliest local (-4) from 8: the log start, since nothing is tiered; latest
 *   tiered (-5) from 9: nothing, -1 without an error, as in a Kafka without tiered
 *   storage. Any other negative time, or one before its version, is UNSUPPORTED_VERSION.
 * - A time beyond the last record is offset -1 without an error.
 * - Latest is the high watermark in either isolation level: without transactions it is
 *   the last stable offset too.
 * - While a new leader does not know yet what is committed (R5), latest is OFFSET_NOT_AVAILABLE, up to
 *   version 4 LEADER_NOT_AVAILABLE, when that takes longer than the gateway waits.
 * - A partition named twice is INVALID_REQUEST. current_leader_epoch is checked (KIP-320).
 *
 * Deliberately not here: version 0 (Kafka 4 dropped it), and requests of replicas, which ask over gRPC.
 */
import { ERRORS, OttlaError } from "@ottla/errors";
import { listOffsets, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import {
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  MAX_TIMESTAMP,
  type OffsetFound,
  type OffsetQuery,
} from "@ottla/routing";
import { duplicatesOf } from "./duplicates.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import { askInParts, hasPartition, type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";
import { checkLeaderEpoch } from "./leader-epochs.ts";

type Response = ResponseOf<typeof listOffsets>;
type PartitionResponse = Response["topics"][number]["partitions"][number];
type Wanted = RequestOf<typeof listOffsets>["topics"][number]["partitions"][number] & {
  readonly topic: string;
};

const EARLIEST_LOCAL_TIMESTAMP = -4;
const LATEST_TIERED_TIMESTAMP = -5;
/** Clients of older versions do not know OFFSET_NOT_AVAILABLE. */
const FIRST_VERSION_WITH_NOT_AVAILABLE = 5;

/** The version from which each special timestamp is understood. */
const FIRST_VERSIONS: ReadonlyMap<number, number> = new Map([
  [LATEST_TIMESTAMP, 0],
  [EARLIEST_TIMESTAMP, 0],
  [MAX_TIMESTAMP, 7],
  [EARLIEST_LOCAL_TIMESTAMP, 8],
  [LATEST_TIERED_TIMESTAMP, 9],
]);

export function listOffsetsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: listOffsets,
    versions: { min: 1, max: 10 },
    async handle(request, { apiVersion, signal }) {
      const wanted = request.topics.flatMap(({ name, partitions }) =>
        partitions.map((partition) => ({ ...partition, topic: name })),
      );
      const answers = await answerAll(services, wanted, apiVersion, signal);
      let next = 0;
      const topics = request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(() => answers[next++] as PartitionResponse),
      }));
      return { throttleTimeMs: 0, topics };
    },
    failure: (request, { errorCode }) => ({
      throttleTimeMs: 0,
      topics: request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex }) => refused(partitionIndex, errorCode)),
      })),
    }),
  });
}

async function answerAll(
  services: KafkaServices,
  wanted: readonly Wanted[],
  apiVersion: number,
  signal: AbortSignal,
): Promise<PartitionResponse[]> {
  const { router, failures } = services;
  const codeOf = (error: OttlaError): number =>
    error.code === "OFFSET_NOT_AVAILABLE" && apiVersion < FIRST_VERSION_WITH_NOT_AVAILABLE
      ? ERRORS.LEADER_NOT_AVAILABLE.kafka
      : failures.ofRead(error, listOffsets.name).errorCode;
  const found = await lookUp(services.topics, wanted, ({ topic: name, partitionIndex }) => {
    const topic = knownTopic(services.topics, name);
    return topic !== undefined && hasPartition(topic, partitionIndex) ? topic : undefined;
  });
  const twice = duplicatesOf(wanted.map(({ topic, partitionIndex }) => `${topic}/${partitionIndex}`));
  const answers: PartitionResponse[] = [];
  const queries: { readonly index: number; readonly query: OffsetQuery }[] = [];
  for (const [index, item] of wanted.entries()) {
    const { partitionIndex, timestamp } = item;
    const topicId = found[index]?.topicId;
    const key = `${item.topic}/${partitionIndex}`;
    const problem = twice.has(key) ? "INVALID_REQUEST" : problemOf(timestamp, apiVersion, topicId);
    if (problem !== undefined || topicId === undefined) {
      answers[index] = refused(partitionIndex, ERRORS[problem ?? "UNKNOWN_TOPIC_OR_PARTITION"].kafka);
      continue;
    }
    const epochProblem = await checkLeaderEpoch(services, topicId, partitionIndex, item.currentLeaderEpoch);
    if (epochProblem !== undefined) {
      answers[index] = refused(partitionIndex, epochProblem.errorCode);
      continue;
    }
    answers[index] = refused(partitionIndex, NO_ERROR);
    if (timestamp === LATEST_TIERED_TIMESTAMP) continue;
    queries.push({
      index,
      query: { topicId, partition: partitionIndex, timestampMs: lookupTime(timestamp) },
    });
  }
  const results = await askInParts(queries, (part) =>
    router.listOffsets(
      part.map(({ query }) => query),
      signal,
    ),
  );
  queries.forEach(({ index, query }, place) => {
    answers[index] = answerOf(query.partition, results[place], codeOf);
  });
  return answers;
}

function problemOf(
  timestamp: number,
  apiVersion: number,
  topicId: string | undefined,
): "UNKNOWN_TOPIC_OR_PARTITION" | "UNSUPPORTED_VERSION" | undefined {
  if (timestamp < 0) {
    const firstVersion = FIRST_VERSIONS.get(timestamp);
    if (firstVersion === undefined || apiVersion < firstVersion) return "UNSUPPORTED_VERSION";
  }
  return topicId === undefined ? "UNKNOWN_TOPIC_OR_PARTITION" : undefined;
}

function lookupTime(timestamp: number): number {
  if (timestamp === EARLIEST_LOCAL_TIMESTAMP) return EARLIEST_TIMESTAMP;
  return Math.min(timestamp, Number.MAX_SAFE_INTEGER);
}

function answerOf(
  partitionIndex: number,
  result: OffsetFound | OttlaError | undefined,
  codeOf: (error: OttlaError) => number,
): PartitionResponse {
  if (result === undefined || result instanceof OttlaError) {
    return refused(
      partitionIndex,
      codeOf(result ?? new OttlaError("UNKNOWN_SERVER_ERROR", "the leader gave no answer")),
    );
  }
  return {
    partitionIndex,
    errorCode: NO_ERROR,
    timestamp: result.timestampMs,
    offset: result.offset,
    leaderEpoch: result.leaderEpoch,
  };
}

function refused(partitionIndex: number, errorCode: number): PartitionResponse {
  return { partitionIndex, errorCode, timestamp: -1, offset: -1, leaderEpoch: -1 };
}
