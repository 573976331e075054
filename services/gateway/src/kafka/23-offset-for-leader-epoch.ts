/**
 * OffsetForLeaderEpoch (23), versions 2 to 4: where a leader epoch ends, for consumers
 * that check their position (KIP-320).
 *
 * - The answer is the largest epoch at or below the one asked for, with the offset at
 *   which it ends; -1 and -1 when the partition has not come so far.
 * - current_leader_epoch is checked.
 *
 * Deliberately not here: replicas, which truncate over gRPC.
 */
import { ERRORS, OttlaError } from "@ottla/errors";
import { offsetForLeaderEpoch, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import { askInParts, hasPartition, type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";
import { checkLeaderEpoch } from "./leader-epochs.ts";

type Response = ResponseOf<typeof offsetForLeaderEpoch>;
type PartitionResponse = Response["topics"][number]["partitions"][number];
type Wanted = RequestOf<typeof offsetForLeaderEpoch>["topics"][number]["partitions"][number] & {
  readonly topic: string;
};

export function offsetForLeaderEpochHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: offsetForLeaderEpoch,
    versions: { min: 2, max: 4 },
    async handle({ topics }, { signal }) {
      const wanted = topics.flatMap(({ topic, partitions }) =>
        partitions.map((item) => ({ ...item, topic })),
      );
      const answers = await answerAll(services, wanted, signal);
      let next = 0;
      return {
        throttleTimeMs: 0,
        topics: topics.map(({ topic, partitions }) => ({
          topic,
          partitions: partitions.map(() => answers[next++] as PartitionResponse),
        })),
      };
    },
    failure: ({ topics }, { errorCode }) => ({
      throttleTimeMs: 0,
      topics: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition }) => refused(partition, errorCode)),
      })),
    }),
  });
}

async function answerAll(
  services: KafkaServices,
  wanted: readonly Wanted[],
  signal: AbortSignal,
): Promise<PartitionResponse[]> {
  const { topics, router, failures } = services;
  const found = await lookUp(topics, wanted, ({ topic: name, partition }) => {
    const topic = knownTopic(topics, name);
    return topic !== undefined && hasPartition(topic, partition) ? topic : undefined;
  });
  const answers: PartitionResponse[] = [];
  const queries: { index: number; topicId: string; partition: number; epoch: number }[] = [];
  for (const [index, { partition, currentLeaderEpoch, leaderEpoch }] of wanted.entries()) {
    const topicId = found[index]?.topicId;
    if (topicId === undefined) {
      answers[index] = refused(partition, ERRORS.UNKNOWN_TOPIC_OR_PARTITION.kafka);
      continue;
    }
    const problem = await checkLeaderEpoch(services, topicId, partition, currentLeaderEpoch);
    answers[index] = refused(partition, problem?.errorCode ?? NO_ERROR);
    if (problem === undefined) queries.push({ index, topicId, partition, epoch: leaderEpoch });
  }
  const results = await askInParts(queries, (part) => router.findEpochEnds(part, signal));
  queries.forEach(({ index, partition }, place) => {
    const result = results[place] ?? new OttlaError("UNKNOWN_SERVER_ERROR", "the leader gave no answer");
    answers[index] =
      result instanceof OttlaError
        ? refused(partition, failures.ofRead(result, offsetForLeaderEpoch.name).errorCode)
        : { errorCode: NO_ERROR, partition, leaderEpoch: result.epoch, endOffset: result.endOffset };
  });
  return answers;
}

function refused(partition: number, errorCode: number): PartitionResponse {
  return { errorCode, partition, leaderEpoch: -1, endOffset: -1 };
}
