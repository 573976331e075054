/**
 * OffsetDelete (47), version 0: committed offsets of a group go.
 *
 * - GROUP_SUBSCRIBED_TO_TOPIC where members consume the topic; NON_EMPTY_GROUP where the group has members of
 *   which nobody knows what they consume.
 *
 * Deliberately not here: nothing.
 */
import { OttlaError } from "@ottla/errors";
import { offsetDelete } from "@ottla/kafka-protocol";
import { itemErrorCode } from "./group-requests.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import { hasPartition, type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";
import { checkItemCount } from "./request-items.ts";

const MAX_PARTITIONS = 50_000;

export function offsetDeleteHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: offsetDelete,
    versions: { min: 0, max: 0 },
    async handle({ groupId, topics: asked }, { signal }) {
      const count = asked.reduce((sum, { partitions }) => sum + partitions.length, 0);
      checkItemCount("topics", count, MAX_PARTITIONS);
      const topics = await lookUp(services.topics, asked, ({ name }) => knownTopic(services.topics, name));
      const isKnown = (index: number, partition: number): boolean => {
        const topic = topics[index];
        return topic !== undefined && hasPartition(topic, partition);
      };
      const partitions = asked.flatMap(({ name, partitions: ofTopic }, index) =>
        ofTopic
          .filter(({ partitionIndex }) => isKnown(index, partitionIndex))
          .map(({ partitionIndex }) => ({ topic: name, partition: partitionIndex })),
      );
      const request = { groupId, partitions };
      const { errors } = await services.groups.call(
        groupId,
        (owner) => owner.deleteOffsets(request, { signal }),
        signal,
      );
      let next = 0;
      return {
        errorCode: NO_ERROR,
        throttleTimeMs: 0,
        topics: asked.map(({ name, partitions: ofTopic }, index) => ({
          name,
          partitions: ofTopic.map(({ partitionIndex }) => {
            const error = isKnown(index, partitionIndex) ? errors[next++] : unknownPartition(name);
            return { partitionIndex, errorCode: itemErrorCode(services, error, offsetDelete.name) };
          }),
        })),
      };
    },
    failure: (_, { errorCode }) => ({ errorCode, throttleTimeMs: 0, topics: [] }),
  });
}

function unknownPartition(name: string): OttlaError {
  return new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic "${name}" has no such partition`);
}
