/**
 * DeleteTopics (20), versions 1 to 6: deletes topics by name, from version 6 on by id too.
 *
 * - Each topic is deleted by itself. A name or an id given twice is INVALID_REQUEST, as
 *   is one topic given by both. More than 10,000 topics at once are INVALID_REQUEST too.
 * - The answer comes when this gateway does not know the topic any more.
 *
 * Deliberately not here: a switch that forbids deletion (delete.topic.enable); internal
 * topics are always refused.
 */
import { OttlaError } from "@ottla/errors";
import { deleteTopics, type RequestOf, type ResponseOf, ZERO_UUID } from "@ottla/kafka-protocol";
import { refuseInternal, type Topic } from "../topics.ts";
import { duplicatesOf } from "./duplicates.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { failureOf, type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import { type KafkaServices, knownTopic, knownTopicId, lookUp } from "./kafka-services.ts";
import { checkItemCount, firstOfEach, inSlices } from "./request-items.ts";

type Request = RequestOf<typeof deleteTopics>;
type TopicResponse = ResponseOf<typeof deleteTopics>["responses"][number];
type Wanted = Request["topics"][number];

const FIRST_VERSION_WITH_IDS = 6;

export function deleteTopicsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: deleteTopics,
    versions: { min: 1, max: 6 },
    async handle(request, { apiVersion }) {
      const wanted = wantedOf(request, apiVersion);
      checkItemCount("topics", wanted.length);
      const twice = duplicatesOf(wanted.map(keyOf));
      const named = await resolve(services, firstOfEach(wanted, keyOf), twice);
      const responses = await inSlices(services.clock, named, (item) =>
        item.isTwice
          ? refused(item.wanted, failureOf("INVALID_REQUEST", "Duplicate topic name or id."))
          : deleteOne(services, item, request.timeoutMs),
      );
      return { throttleTimeMs: 0, responses };
    },
    failure: (request, failure, { apiVersion }) => ({
      throttleTimeMs: 0,
      responses: firstOfEach(wantedOf(request, apiVersion), keyOf).map((topic) => refused(topic, failure)),
    }),
  });
}

function wantedOf(request: Request, apiVersion: number): Wanted[] {
  if (apiVersion >= FIRST_VERSION_WITH_IDS) return request.topics;
  return request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }));
}

function keyOf({ name, topicId }: Wanted): string {
  return name ?? `id ${topicId}`;
}

interface Named {
  readonly wanted: Wanted;
  readonly topic: Topic | undefined;
  readonly isTwice: boolean;
}

/** Finds the topics; one that is given by name and by id appears once, as given twice. */
async function resolve(
  services: KafkaServices,
  items: readonly Wanted[],
  twice: ReadonlySet<string>,
): Promise<Named[]> {
  const { topics } = services;
  const found = await lookUp(topics, items, ({ name, topicId }) => {
    if (name === null) return knownTopicId(services, topicId);
    return topicId === ZERO_UUID ? knownTopic(topics, name) : undefined;
  });
  const both = duplicatesOf(found.flatMap((topic) => (topic === undefined ? [] : [topic.topicId])));
  const named = items.map((wanted, index): Named => {
    const topic = found[index];
    if (topic === undefined || !both.has(topic.topicId)) {
      return { wanted, topic, isTwice: twice.has(keyOf(wanted)) };
    }
    return { wanted: { name: topic.name, topicId: topic.topicId }, topic, isTwice: true };
  });
  return firstOfEach(named, ({ wanted }) => `${wanted.name ?? ""} ${wanted.topicId}`);
}

async function deleteOne(
  services: KafkaServices,
  { wanted, topic }: Named,
  timeoutMs: number,
): Promise<TopicResponse> {
  const { changes, failures } = services;
  const { name, topicId } = wanted;
  const byId = topicId !== ZERO_UUID;
  try {
    if (name !== null && byId) {
      throw new OttlaError("INVALID_REQUEST", "Topic name and topic ID can not both be specified.");
    }
    if (name === null && !byId)
      throw new OttlaError("INVALID_REQUEST", "Neither topic name nor id were specified.");
    if (topic === undefined) {
      throw name === null
        ? new OttlaError("UNKNOWN_TOPIC_ID", "This server does not host this topic ID.")
        : new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} does not exist`);
    }
    refuseInternal(topic);
    await changes.delete(topic.name, byId ? topicId : undefined, { timeoutMs, validateOnly: false });
    return { name: topic.name, topicId: topic.topicId, errorCode: NO_ERROR };
  } catch (thrown) {
    return refused(wanted, failures.of(thrown, deleteTopics.name));
  }
}

function refused({ name, topicId }: Wanted, { errorCode, errorMessage }: KafkaFailure): TopicResponse {
  return { name, topicId, errorCode, errorMessage };
}
