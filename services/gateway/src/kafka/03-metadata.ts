/**
 * Metadata (3), versions 0 to 13: brokers, topics, partitions and their leaders.
 *
 * - In `shared` mode there is one broker with a constant id, leader of all, controller
 *   too; replica and ISR lists show storage nodes, whose ids no broker has. Only to the tool that moves
 *   replicas (client id `reassign-partitions-tool`) storage nodes show as brokers, behind the same address.
 * - A null list of topics asks for all of them; so does an empty one in version 0.
 * - An unknown topic is created when auto.create.topics.enable and the request allow it;
 *   the answer waits a little for it, and says LEADER_NOT_AVAILABLE when that takes
 *   longer. From version 12 on topics may be asked for by id, which creates nothing.
 * - A topic asked for twice is answered once. More than 50,000 topics asked for by name or id are
 *   INVALID_REQUEST.
 * - All operations are authorized, as in a Kafka without an authorizer.
 *
 * Deliberately not here: the KIP-1102 answer of version 13 (REBOOTSTRAP_REQUIRED), which
 * no gateway has a reason for.
 */
import { OttlaError, toOttlaError } from "@ottla/errors";
import { metadata, type RequestOf, type ResponseOf, ZERO_UUID } from "@ottla/kafka-protocol";
import { isInternalTopicName } from "@ottla/metadata";
import { checkTopicName, type Topic } from "../topics.ts";
import { AutoCreate } from "./auto-create.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import { type KafkaServices, knownTopic, knownTopicId } from "./kafka-services.ts";
import { checkItemCount, firstOfEach, inSlices } from "./request-items.ts";
import { brokersFor } from "./storage-brokers.ts";
import {
  ALL_CLUSTER_OPERATIONS,
  ALL_TOPIC_OPERATIONS,
  OPERATIONS_NOT_ASKED,
  partitionMetadata,
} from "./topic-metadata.ts";

type Request = RequestOf<typeof metadata>;
type Response = ResponseOf<typeof metadata>;
type TopicResponse = Response["topics"][number];
type Wanted = NonNullable<Request["topics"]>[number];

const FIRST_VERSION_WITH_TOPIC_IDS = 12;
/** Producers ask for all the topics that they write to at once. */
const MAX_TOPICS = 50_000;

export function metadataHandler(services: KafkaServices): AnyKafkaHandler {
  const autoCreate = new AutoCreate(services);
  return kafkaHandler({
    api: metadata,
    versions: { min: 0, max: 13 },
    async handle(request, context) {
      checkRequest(request, context.apiVersion);
      const topics = await topicsOf(services, autoCreate, request, context);
      return answer(services, context, topics, request);
    },
    failure: (request, failure, context) => {
      // Before version 12 a name may not be null, not even the one of a request that is refused for it.
      const isNullable = context.apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS;
      const asked = firstOfEach(request.topics ?? [], keyOf);
      const topics = asked.map((wanted) => refused(wanted, failure));
      const named = isNullable ? topics : topics.map((topic) => ({ ...topic, name: topic.name ?? "" }));
      return { ...answer(services, context, named, request), errorCode: failure.errorCode };
    },
  });
}

function checkRequest(request: Request, apiVersion: number): void {
  checkItemCount("topics", request.topics?.length ?? 0, MAX_TOPICS);
  if (apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS) return;
  const isById = request.topics?.some(({ name, topicId }) => name === null || topicId !== ZERO_UUID);
  if (isById !== true) return;
  throw new OttlaError(
    "INVALID_REQUEST",
    `topics: topic ids and null names need version ${FIRST_VERSION_WITH_TOPIC_IDS}`,
  );
}

function answer(
  services: KafkaServices,
  context: KafkaRequestContext,
  topics: readonly TopicResponse[],
  request: Request,
): Response {
  const { brokers, view } = services;
  return {
    throttleTimeMs: 0,
    brokers: brokersFor(services, context),
    clusterId: view.clusterId ?? null,
    controllerId: brokers.coordinator(context.connection).nodeId,
    topics,
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
      ? ALL_CLUSTER_OPERATIONS
      : OPERATIONS_NOT_ASKED,
    errorCode: NO_ERROR,
  };
}

async function topicsOf(
  services: KafkaServices,
  autoCreate: AutoCreate,
  request: Request,
  { apiVersion }: KafkaRequestContext,
): Promise<TopicResponse[]> {
  const { topics, view } = services;
  const wanted = request.topics === null ? null : firstOfEach(request.topics.map(byIdOrName), keyOf);
  const describe = (topic: Topic): TopicResponse => described(services, topic, request);
  if (wanted === null || (apiVersion === 0 && wanted.length === 0)) {
    await topics.refresh();
    const all = await inSlices(services.clock, view.topicNames(), (name) => {
      const topic = knownTopic(topics, name);
      return topic === undefined ? undefined : describe(topic);
    });
    return all.filter((topic) => topic !== undefined);
  }
  const find = ({ name, topicId }: Wanted): Topic | undefined =>
    name === null ? knownTopicId(services, topicId) : knownTopic(topics, name);
  // Clients ask when something is amiss: they get what the store says, and not a view that may lag behind.
  const isCurrent = await topics.refresh();
  const mayCreate = services.cluster.autoCreateTopics && request.allowAutoTopicCreation;
  return inSlices(services.clock, wanted, async (item) => {
    const found = find(item);
    if (found !== undefined) return describe(found);
    try {
      if (!isCurrent) throw new OttlaError("LEADER_NOT_AVAILABLE", "the metadata store does not answer");
      await createMissing(item, mayCreate ? autoCreate : undefined);
      const created = find(item);
      if (created !== undefined) return describe(created);
      throw new OttlaError("LEADER_NOT_AVAILABLE", "the topic is being created");
    } catch (thrown) {
      return refused(item, services.failures.of(thrown, metadata.name));
    }
  });
}

function keyOf({ name, topicId }: Wanted): string {
  return name ?? `id ${topicId}`;
}

/** Java's clients send an empty name beside a topic id: where there is an id, it alone counts. */
function byIdOrName(wanted: Wanted): Wanted {
  return wanted.topicId === ZERO_UUID ? wanted : { ...wanted, name: null };
}

/** Creates the topic, or throws why there is none. */
async function createMissing({ name }: Wanted, autoCreate: AutoCreate | undefined): Promise<void> {
  if (name === null) throw new OttlaError("UNKNOWN_TOPIC_ID", "no topic has that id");
  checkTopicName(name, "topics");
  if (autoCreate === undefined || isInternalTopicName(name)) {
    throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} does not exist`);
  }
  await autoCreate.create(name).catch((thrown: unknown) => {
    const error = toOttlaError(thrown);
    // What the client did not ask for cannot be its fault: a cluster that has no room says so as Kafka does.
    if (error.code !== "INVALID_CONFIG") throw error;
    throw new OttlaError("LEADER_NOT_AVAILABLE", error.message, { cause: error });
  });
}

function described(services: KafkaServices, topic: Topic, request: Request): TopicResponse {
  return {
    errorCode: NO_ERROR,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: topic.internal,
    partitions: partitionMetadata(services, topic),
    topicAuthorizedOperations: request.includeTopicAuthorizedOperations
      ? ALL_TOPIC_OPERATIONS
      : OPERATIONS_NOT_ASKED,
  };
}

function refused({ name, topicId }: Wanted, { errorCode }: KafkaFailure): TopicResponse {
  return {
    errorCode,
    name: name ?? (topicId === ZERO_UUID ? "" : null),
    topicId: name === null ? topicId : ZERO_UUID,
    isInternal: name !== null && isInternalTopicName(name),
    partitions: [],
  };
}
