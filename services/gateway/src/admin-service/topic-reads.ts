import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest } from "@ottla/errors";
import { MAX_TOPIC_NAME_LENGTH } from "@ottla/metadata";
import type {
  DeleteRecordsRequest,
  DescribeTopicsRequest,
  ListTopicsRequest,
  ListTopicsResponseSchema,
  TopicSummarySchema,
} from "@ottla/proto/ottla/v1/admin";
import type { CallContext } from "@ottla/rpc";
import { checkCount, checkInteger, checkOffset, checkPartition, LIMITS } from "../checks.ts";
import { errorFields } from "../public-error.ts";
import { refuseInternal, type Topics } from "../topics.ts";
import { type DescribeOptions, describeTopics as describe, type TopicInit } from "./describe-topic.ts";

export interface TopicReadOptions extends DescribeOptions {
  readonly topics: Topics;
}

type SummaryInit = MessageInitShape<typeof TopicSummarySchema>;

/** A page of topics by name. The token is the last name of the page before. */
export async function listTopics(
  options: TopicReadOptions,
  request: ListTopicsRequest,
): Promise<MessageInitShape<typeof ListTopicsResponseSchema>> {
  const pageSize = checkInteger("page_size", request.pageSize, 0, LIMITS.pageSize) || LIMITS.defaultPageSize;
  const { pageToken, includeInternal } = request;
  if (pageToken.length > MAX_TOPIC_NAME_LENGTH) {
    throw invalidRequest("page_token", "is not a token of ours", MAX_TOPIC_NAME_LENGTH);
  }
  await options.topics.refresh();
  const topics: SummaryInit[] = [];
  for (const name of options.view.topicNames()) {
    if (name <= pageToken) continue;
    const topic = options.topics.find(name);
    if (topic === undefined || (topic.internal && !includeInternal)) continue;
    // One topic more than fits: so there is a next page.
    if (topics.length === pageSize) return { topics, nextPageToken: topics.at(-1)?.name ?? "" };
    topics.push({
      name,
      topicId: topic.topicId,
      partitions: topic.partitionCount,
      replicationFactor: topic.state.replicationFactor,
      internal: topic.internal,
    });
  }
  return { topics };
}

/** Topics in the order of their names in the request; one that cannot be described has an error instead. */
export async function describeTopics(
  options: TopicReadOptions,
  request: DescribeTopicsRequest,
  context: CallContext,
): Promise<{ topics: TopicInit[] }> {
  const { names, includeOffsets } = request;
  checkCount("names", names.length, LIMITS.describedTopics);
  const unconfirmed = !(await options.topics.refresh());
  const found = await Promise.all(
    names.map((name, index) => options.topics.get(name, `names[${index}]`).catch(errorFields)),
  );
  const topics = found.flatMap((topic) => ("reason" in topic ? [] : [topic]));
  const { signal } = context;
  const described = await describe(options, topics, { offsets: includeOffsets, signal });
  let next = 0;
  return {
    topics: found.map((topic, index) =>
      "reason" in topic ? { name: names[index] ?? "", error: topic } : { ...described[next++], unconfirmed },
    ),
  };
}

/** Moves a partition's log start offset forward. */
export async function deleteRecords(
  options: TopicReadOptions,
  request: DeleteRecordsRequest,
  context: CallContext,
): Promise<{ logStartOffset: bigint }> {
  const beforeOffset = checkOffset("before_offset", request.beforeOffset, -1n);
  const topic = await options.topics.get(request.topic, "topic", request.partition);
  refuseInternal(topic);
  const partition = checkPartition("partition", request.partition, topic.partitionCount, topic.name);
  const moved = await options.router.deleteRecords(
    { topicId: topic.topicId, partition, beforeOffset },
    context.signal,
  );
  return { logStartOffset: BigInt(moved) };
}
