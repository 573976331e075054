/**
 * ElectLeaders (43), versions 0 to 2: gives partitions their preferred leaders back (KIP-183), or leaders at
 * all where none that is in sync is left (KIP-460).
 *
 * - A null list asks for all partitions; then only those that needed an election are answered.
 * - A partition that has the leader it should have is ELECTION_NOT_NEEDED; one whose preferred replica
 *   is not in sync PREFERRED_LEADER_NOT_AVAILABLE; one without any live replica
 *   ELIGIBLE_LEADERS_NOT_AVAILABLE.
 * - The answer comes when this gateway knows the new leaders. An unclean election may lose records, here as
 *   in Kafka; version 0 knows only the election of preferred leaders.
 *
 * Deliberately not here: nothing.
 */
import { OttlaError } from "@ottla/errors";
import { electLeaders, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { fromErrorMessage } from "@ottla/routing";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import { hasPartition, type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";
import { checkItemCount } from "./request-items.ts";

type Request = RequestOf<typeof electLeaders>;
type TopicResult = ResponseOf<typeof electLeaders>["replicaElectionResults"][number];
type PartitionResult = TopicResult["partitionResult"][number];

const PREFERRED = 0;
const UNCLEAN = 1;
const DONE = { errorCode: NO_ERROR, errorMessage: null };

export function electLeadersHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: electLeaders,
    versions: { min: 0, max: 2 },
    async handle(request) {
      const { electionType, topicPartitions, timeoutMs } = request;
      if (electionType !== PREFERRED && electionType !== UNCLEAN) {
        throw new OttlaError("INVALID_REQUEST", `Unknown election type ${electionType}`);
      }
      const results = new Results();
      const wanted = topicPartitions === null ? undefined : await resolve(services, topicPartitions, results);
      if (wanted === undefined || wanted.length > 0) {
        const election = { partitions: wanted, unclean: electionType === UNCLEAN };
        const { answers } = await services.changes.elect(election, { timeoutMs, validateOnly: false });
        for (const { partition: elected, error } of answers) {
          const name = elected && services.view.topicById(elected.topicId)?.name;
          if (name === undefined) continue;
          const failure = error && services.failures.of(fromErrorMessage(error), electLeaders.name);
          results.add(name, { partitionId: elected?.partition ?? -1, ...(failure ?? DONE) });
        }
      }
      return { throttleTimeMs: 0, errorCode: NO_ERROR, replicaElectionResults: results.all() };
    },
    failure: ({ topicPartitions }, failure) => ({
      throttleTimeMs: 0,
      errorCode: failure.errorCode,
      replicaElectionResults: (topicPartitions ?? []).map(({ topic, partitions }) => ({
        topic,
        partitionResult: partitions.map((partitionId) => ({ partitionId, ...failure })),
      })),
    }),
  });
}

/** The partitions that exist; what is to be said of the others goes into `results`. */
async function resolve(
  services: KafkaServices,
  asked: NonNullable<Request["topicPartitions"]>,
  results: Results,
): Promise<{ topicId: string; partition: number }[]> {
  const { topics, failures } = services;
  checkItemCount(
    "topic_partitions",
    asked.reduce((sum, { partitions }) => sum + partitions.length, 0),
  );
  const found = await lookUp(topics, asked, ({ topic }) => knownTopic(topics, topic));
  return asked.flatMap(({ topic: name, partitions }, index) => {
    const topic = found[index];
    return [...new Set(partitions)].flatMap((partition) => {
      if (topic !== undefined && hasPartition(topic, partition))
        return [{ topicId: topic.topicId, partition }];
      const error = new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `No such partition as ${name}-${partition}`);
      results.add(name, { partitionId: partition, ...failures.of(error, electLeaders.name) });
      return [];
    });
  });
}

/** What became of partitions, by topic. */
class Results {
  readonly #byTopic = new Map<string, PartitionResult[]>();

  add(topic: string, result: { readonly partitionId: number } & (KafkaFailure | typeof DONE)): void {
    const known = this.#byTopic.get(topic);
    if (known === undefined) this.#byTopic.set(topic, [result]);
    else known.push(result);
  }

  all(): TopicResult[] {
    return Array.from(this.#byTopic, ([topic, partitionResult]) => ({ topic, partitionResult }));
  }
}
