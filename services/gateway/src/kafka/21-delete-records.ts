/**
 * DeleteRecords (21), versions 0 to 2: moves log start offsets forward.
 *
 * - Offset -1 stands for the high watermark: everything. Above it OFFSET_OUT_OF_RANGE.
 * - The answer comes when the in-sync replicas have the new start, and names it as the low watermark.
 * - Internal topics are refused with INVALID_TOPIC_EXCEPTION.
 *
 * Deliberately not here: nothing.
 */
import { OttlaError, toOttlaError } from "@ottla/errors";
import { deleteRecords, type ResponseOf } from "@ottla/kafka-protocol";
import { refuseInternal } from "../topics.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import { hasPartition, type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";

type PartitionResponse = ResponseOf<typeof deleteRecords>["topics"][number]["partitions"][number];

const HIGH_WATERMARK = -1;

export function deleteRecordsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: deleteRecords,
    versions: { min: 0, max: 2 },
    async handle({ topics }, { signal }) {
      const answers = topics.map(async ({ name, partitions }) => ({
        name,
        partitions: await Promise.all(
          partitions.map(({ partitionIndex, offset }) =>
            deleteBefore(services, name, partitionIndex, offset, signal),
          ),
        ),
      }));
      return { throttleTimeMs: 0, topics: await Promise.all(answers) };
    },
    failure: ({ topics }, { errorCode }) => ({
      throttleTimeMs: 0,
      topics: topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, lowWatermark: -1, errorCode })),
      })),
    }),
  });
}

async function deleteBefore(
  services: KafkaServices,
  name: string,
  partition: number,
  offset: number,
  signal: AbortSignal,
): Promise<PartitionResponse> {
  try {
    const [topic] = await lookUp(services.topics, [name], () => knownTopic(services.topics, name));
    if (topic === undefined || !hasPartition(topic, partition)) {
      throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} has no partition ${partition}`);
    }
    refuseInternal(topic);
    if (offset < HIGH_WATERMARK || offset > Number.MAX_SAFE_INTEGER) {
      throw new OttlaError("OFFSET_OUT_OF_RANGE", `offset: ${offset} is not one of the partition's`);
    }
    const { topicId } = topic;
    const lowWatermark = await services.router.deleteRecords(
      { topicId, partition, beforeOffset: offset },
      signal,
    );
    return { partitionIndex: partition, lowWatermark, errorCode: NO_ERROR };
  } catch (thrown) {
    const { failures } = services;
    const isInternal = toOttlaError(thrown).code === "INVALID_TOPIC_EXCEPTION";
    const { errorCode } = isInternal
      ? failures.of(thrown, deleteRecords.name)
      : failures.ofRead(thrown, deleteRecords.name);
    return { partitionIndex: partition, lowWatermark: -1, errorCode };
  }
}
