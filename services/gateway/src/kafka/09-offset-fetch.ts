/**
 * OffsetFetch (9), versions 1 to 10: committed offsets of groups.
 *
 * - Without a list of topics all offsets of the group are given. A partition without one has -1.
 * - Of a deleted topic that has a successor under its name there are none.
 * - From version 8 on many groups are asked for at once; from 9 on members of KIP-848
 *   groups show their epoch; version 10 names topics by their id.
 *
 * Deliberately not here: offsets of open transactions, since there are none: require_stable changes nothing.
 */
import { OttlaError } from "@ottla/errors";
import { offsetFetch, type RequestOf, type ResponseOf, ZERO_UUID } from "@ottla/kafka-protocol";
import type { CommittedOffset } from "@ottla/proto/ottla/internal/v1/groups";
import { currentOffsets } from "../current-offsets.ts";
import { itemErrorCode, outcomeOf } from "./group-requests.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import { type KafkaServices, knownTopicId, lookUp } from "./kafka-services.ts";
import { checkItemCount, inSlices } from "./request-items.ts";

type Request = RequestOf<typeof offsetFetch>;
type RequestGroup = Request["groups"][number];
type Response = ResponseOf<typeof offsetFetch>;
type GroupResponse = NonNullable<Response["groups"]>[number];
type TopicResponse = GroupResponse["topics"][number];

const FIRST_BATCHED_VERSION = 8;
const FIRST_VERSION_WITH_IDS = 10;
/** Before it there is no place for an error but the partition. */
const FIRST_VERSION_WITH_ERROR = 2;
const MAX_GROUPS = 1_000;
const MAX_PARTITIONS = 50_000;

export function offsetFetchHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: offsetFetch,
    versions: { min: 1, max: 10 },
    async handle(request, context): Promise<Response> {
      const asked = groupsOf(request, context);
      checkItemCount("groups", asked.length, MAX_GROUPS);
      checkItemCount("topics", countOf(asked), MAX_PARTITIONS);
      const groups = await inSlices(services.clock, asked, (group) => fetchGroup(services, group, context));
      return answer(request, groups, context);
    },
    failure: (request, failure, context) =>
      answer(
        request,
        groupsOf(request, context).map((group) => refused(group, failure)),
        context,
      ),
  });
}

function groupsOf(request: Request, { apiVersion }: KafkaRequestContext): readonly RequestGroup[] {
  if (apiVersion >= FIRST_BATCHED_VERSION) return request.groups;
  const topics = request.topics?.map((topic) => ({ ...topic, topicId: ZERO_UUID })) ?? null;
  return [{ groupId: request.groupId, memberId: null, memberEpoch: -1, topics }];
}

async function fetchGroup(
  services: KafkaServices,
  group: RequestGroup,
  { apiVersion, signal }: KafkaRequestContext,
): Promise<GroupResponse> {
  const hasIds = apiVersion >= FIRST_VERSION_WITH_IDS;
  const { groupId, memberId, memberEpoch } = group;
  const names = hasIds
    ? await lookUp(
        services.topics,
        group.topics ?? [],
        ({ topicId }) => knownTopicId(services, topicId)?.name,
      )
    : (group.topics ?? []).map(({ name }) => name);
  const partitions = (group.topics ?? []).flatMap(({ partitionIndexes }, index) => {
    const topic = names[index];
    return topic === undefined ? [] : partitionIndexes.map((partition) => ({ topic, partition }));
  });
  const request = {
    groupId,
    ...(memberId === null ? {} : { memberId }),
    memberEpoch,
    all: group.topics === null,
    partitions,
  };
  const outcome = await outcomeOf(
    services,
    offsetFetch.name,
    services.groups.call(groupId, (owner) => owner.fetchOffsets(request, { signal }), signal),
  );
  if (outcome.failure !== undefined) return refused(group, outcome.failure);
  const offsets = await currentOffsets(services.topics, outcome.result.offsets);
  if (group.topics === null) {
    return { groupId, topics: allTopics(services, offsets, hasIds), errorCode: NO_ERROR };
  }
  let next = 0;
  const topics = group.topics.map(({ name, topicId, partitionIndexes }, index) => ({
    name,
    topicId,
    partitions: partitionIndexes.map((partitionIndex) =>
      names[index] === undefined
        ? without(partitionIndex, itemErrorCode(services, UNKNOWN_ID, offsetFetch.name))
        : partitionOf(partitionIndex, offsets[next++]),
    ),
  }));
  return { groupId, topics, errorCode: NO_ERROR };
}

const UNKNOWN_ID = new OttlaError("UNKNOWN_TOPIC_ID", "no topic has that id");

/**
 * All offsets of a group by topic; where topics are named by id, those that have none any more are left out.
 */
function allTopics(
  services: KafkaServices,
  offsets: readonly CommittedOffset[],
  hasIds: boolean,
): TopicResponse[] {
  const topics = new Map<string, TopicResponse["partitions"][number][]>();
  for (const offset of offsets) {
    if (offset.offset < 0n && offset.topicId === "") continue;
    const partitions = topics.get(offset.topic) ?? [];
    partitions.push(partitionOf(offset.partition, offset));
    topics.set(offset.topic, partitions);
  }
  return [...topics].flatMap(([name, partitions]) => {
    const topicId = services.view.topicByName(name)?.topicId;
    if (hasIds && topicId === undefined) return [];
    return [{ name, topicId: topicId ?? ZERO_UUID, partitions }];
  });
}

function partitionOf(partitionIndex: number, committed: CommittedOffset | undefined) {
  return {
    partitionIndex,
    committedOffset: Number(committed?.offset ?? -1n),
    committedLeaderEpoch: committed?.leaderEpoch ?? -1,
    metadata: committed?.metadata ?? "",
    errorCode: NO_ERROR,
  };
}

function without(partitionIndex: number, errorCode: number) {
  return { partitionIndex, committedOffset: -1, committedLeaderEpoch: -1, metadata: "", errorCode };
}

function refused({ groupId, topics }: RequestGroup, { errorCode }: KafkaFailure): GroupResponse {
  return {
    groupId,
    errorCode,
    topics: (topics ?? []).map(({ name, topicId, partitionIndexes }) => ({
      name,
      topicId,
      partitions: partitionIndexes.map((partitionIndex) => without(partitionIndex, errorCode)),
    })),
  };
}

function answer(
  request: Request,
  groups: readonly GroupResponse[],
  { apiVersion }: KafkaRequestContext,
): Response {
  if (apiVersion >= FIRST_BATCHED_VERSION) return { throttleTimeMs: 0, groups };
  const [group] = groups;
  const errorCode = apiVersion < FIRST_VERSION_WITH_ERROR ? NO_ERROR : (group?.errorCode ?? NO_ERROR);
  const isFailed = apiVersion >= FIRST_VERSION_WITH_ERROR && errorCode !== NO_ERROR;
  const topics = isFailed && request.topics === null ? [] : (group?.topics ?? []);
  return {
    throttleTimeMs: 0,
    errorCode,
    topics: topics.map(({ name = "", partitions }) => ({ name, partitions })),
  };
}

function countOf(groups: readonly RequestGroup[]): number {
  let count = 0;
  for (const { topics } of groups) {
    for (const { partitionIndexes } of topics ?? []) count += partitionIndexes.length;
  }
  return count;
}
