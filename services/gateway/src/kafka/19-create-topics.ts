/**
 * CreateTopics (19), versions 2 to 7: creates topics, each by itself: one that fails leaves the others alone.
 *
 * - -1 partitions or replicas take the cluster's defaults. A name given twice is INVALID_REQUEST.
 * - Of a setting given twice the last one wins; one without a value is INVALID_CONFIG.
 * - The answer comes when this gateway knows the topic and its leaders, so that the
 *   client's next request meets it; after timeout_ms (1 s at least, 60 s at most) it is
 *   REQUEST_TIMED_OUT, and the topic may still come.
 * - From version 5 on the answer holds the topic's settings, partitions and replicas; from 7 on its id.
 * - Replicas placed by hand are storage nodes, by the ids that metadata answers show, and as many for each
 *   partition; anything else is INVALID_REPLICA_ASSIGNMENT.
 *
 * Deliberately not here: nothing.
 */
import { OttlaError } from "@ottla/errors";
import { createTopics, type RequestOf, type ResponseOf, ZERO_UUID } from "@ottla/kafka-protocol";
import { describedTopicConfigs } from "./config-entries.ts";
import { duplicatesOf } from "./duplicates.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { failureOf, type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import type { ChangeTerms, NewTopic } from "./topic-changes.ts";

type Wanted = RequestOf<typeof createTopics>["topics"][number];
type TopicResponse = ResponseOf<typeof createTopics>["topics"][number];

const DEFAULT = -1;

export function createTopicsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: createTopics,
    versions: { min: 2, max: 7 },
    async handle({ topics, timeoutMs, validateOnly }) {
      const duplicates = duplicatesOf(topics.map(({ name }) => name));
      const unique = topics.filter(({ name }) => !duplicates.has(name));
      const answers = await Promise.all(
        unique.map((topic) => create(services, topic, { timeoutMs, validateOnly })),
      );
      const twice = failureOf("INVALID_REQUEST", "Duplicate topic name.");
      return {
        throttleTimeMs: 0,
        topics: [...Array.from(duplicates, (name) => refused(name, twice)), ...answers],
      };
    },
    failure: ({ topics }, failure) => ({
      throttleTimeMs: 0,
      topics: topics.map(({ name }) => refused(name, failure)),
    }),
  });
}

async function create(services: KafkaServices, wanted: Wanted, terms: ChangeTerms): Promise<TopicResponse> {
  const { changes, failures, topicDefaults } = services;
  try {
    const topic = newTopicOf(wanted);
    const created = await changes.create(topic, terms);
    return {
      name: topic.name,
      topicId: terms.validateOnly ? ZERO_UUID : created.topicId,
      errorCode: NO_ERROR,
      errorMessage: null,
      numPartitions: created.partitions,
      replicationFactor: created.replicationFactor,
      configs: describedTopicConfigs(topic.configs, topicDefaults, created.replicationFactor).map(
        ({ name, value, source }) => ({
          name,
          value,
          readOnly: false,
          configSource: source,
          isSensitive: false,
        }),
      ),
    };
  } catch (thrown) {
    return refused(wanted.name, failures.of(thrown, createTopics.name));
  }
}

function newTopicOf(wanted: Wanted): NewTopic {
  const { name, numPartitions, replicationFactor, assignments } = wanted;
  const configs = configsOf(wanted);
  if (assignments.length > 0) {
    if (replicationFactor !== DEFAULT) throw both("replication factor");
    if (numPartitions !== DEFAULT) throw both("numPartitions");
    const replicas = new Map(assignments.map(({ partitionIndex, brokerIds }) => [partitionIndex, brokerIds]));
    const inOrder = Array.from({ length: assignments.length }, (_, partition) => replicas.get(partition));
    if (inOrder.includes(undefined)) {
      throw new OttlaError(
        "INVALID_REPLICA_ASSIGNMENT",
        "partitions should be a consecutive 0-based integer sequence",
      );
    }
    return { name, partitions: 0, replicationFactor: 0, configs, assignments: inOrder as number[][] };
  }
  if (replicationFactor === 0 || replicationFactor < DEFAULT) {
    const message = "Replication factor must be larger than 0, or -1 to use the default value.";
    throw new OttlaError("INVALID_REPLICATION_FACTOR", message);
  }
  if (numPartitions === 0 || numPartitions < DEFAULT) {
    throw new OttlaError(
      "INVALID_PARTITIONS",
      "Number of partitions was set to an invalid non-positive value.",
    );
  }
  return {
    name,
    partitions: Math.max(0, numPartitions),
    replicationFactor: Math.max(0, replicationFactor),
    configs,
    assignments: [],
  };
}

function both(field: string): OttlaError {
  const message = `A manual partition assignment was specified, but ${field} was not set to -1.`;
  return new OttlaError("INVALID_REQUEST", message);
}

/** Of a setting given twice the last one wins, as in Kafka. */
function configsOf({ configs }: Wanted): Record<string, string> {
  return Object.fromEntries(
    configs.map(({ name, value }) => {
      if (value !== null) return [name, value];
      const message = `Null value not supported for topic configs: ${name.slice(0, 100)}`;
      throw new OttlaError("INVALID_CONFIG", message);
    }),
  );
}

function refused(name: string, { errorCode, errorMessage }: KafkaFailure): TopicResponse {
  return { name, errorCode, errorMessage, configs: [], numPartitions: -1, replicationFactor: -1 };
}
