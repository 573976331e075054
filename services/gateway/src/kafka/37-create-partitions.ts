/**
 * CreatePartitions (37), versions 0 to 3: adds partitions to topics. Keys hash to other
 * partitions from then on.
 *
 * - `count` is how many partitions the topic is to have in all; fewer or as many as it
 *   has are INVALID_PARTITIONS.
 * - A topic given twice is INVALID_REQUEST.
 * - Replicas of the new partitions may be placed by hand, as in CreateTopics.
 *
 * Deliberately not here: nothing.
 */
import { OttlaError } from "@ottla/errors";
import { createPartitions, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { refuseInternal } from "../topics.ts";
import { duplicatesOf } from "./duplicates.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { failureOf, NO_ERROR } from "./kafka-failures.ts";
import { type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";
import type { Assignments, ChangeTerms } from "./topic-changes.ts";

type Wanted = RequestOf<typeof createPartitions>["topics"][number];
type Result = ResponseOf<typeof createPartitions>["results"][number];

export function createPartitionsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: createPartitions,
    versions: { min: 0, max: 3 },
    async handle({ topics, timeoutMs, validateOnly }) {
      const duplicates = duplicatesOf(topics.map(({ name }) => name));
      const unique = topics.filter(({ name }) => !duplicates.has(name));
      const answers = await Promise.all(
        unique.map((topic) => extend(services, topic, { timeoutMs, validateOnly })),
      );
      const twice = failureOf("INVALID_REQUEST", "Duplicate topic name.");
      return {
        throttleTimeMs: 0,
        results: [...Array.from(duplicates, (name) => ({ name, ...twice })), ...answers],
      };
    },
    failure: ({ topics }, failure) => ({
      throttleTimeMs: 0,
      results: topics.map(({ name }) => ({ name, ...failure })),
    }),
  });
}

async function extend(services: KafkaServices, wanted: Wanted, terms: ChangeTerms): Promise<Result> {
  const { name, count, assignments } = wanted;
  const { topics, changes, failures } = services;
  try {
    const [topic] = await lookUp(topics, [name], () => knownTopic(topics, name));
    if (topic === undefined)
      throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} does not exist`);
    refuseInternal(topic);
    const { partitionCount } = topic;
    if (count === partitionCount) {
      throw new OttlaError("INVALID_PARTITIONS", `Topic already has ${count} partition(s).`);
    }
    if (count < partitionCount) {
      throw new OttlaError(
        "INVALID_PARTITIONS",
        `The topic ${name} currently has ${partitionCount} partition(s); ${count} would not be an increase.`,
      );
    }
    const added = assignments?.map(({ brokerIds }) => brokerIds);
    if (added !== undefined) checkAssignments(added, count - partitionCount);
    await changes.createPartitions(name, count, added ?? [], terms);
    return { name, errorCode: NO_ERROR };
  } catch (thrown) {
    return { name, ...failures.of(thrown, createPartitions.name) };
  }
}

function checkAssignments(assignments: Assignments, added: number): void {
  if (assignments.length === added) return;
  throw new OttlaError(
    "INVALID_REPLICA_ASSIGNMENT",
    `Attempted to add ${added} additional partition(s), but ${assignments.length} assignment(s) were given.`,
  );
}
