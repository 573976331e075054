import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError } from "@ottla/errors";
import type {
  ListOffsetsRequest,
  ListOffsetsResponseSchema,
  OffsetAnswerSchema,
  OffsetQuery,
} from "@ottla/proto/ottla/v1/log";
import {
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  MAX_TIMESTAMP,
  type PartitionRouter,
  type OffsetQuery as RoutedQuery,
} from "@ottla/routing";
import type { CallContext } from "@ottla/rpc";
import { checkCount, checkPartition, checkTimestampMs, LIMITS } from "../checks.ts";
import { errorFields } from "../public-error.ts";
import type { Topics } from "../topics.ts";

export interface ListOffsetsOptions {
  readonly topics: Topics;
  readonly router: PartitionRouter;
}

type AnswerInit = MessageInitShape<typeof OffsetAnswerSchema>;

/** Serves `ListOffsets`: each query has an answer or an error of its own. */
export async function serveListOffsets(
  options: ListOffsetsOptions,
  request: ListOffsetsRequest,
  context: CallContext,
): Promise<MessageInitShape<typeof ListOffsetsResponseSchema>> {
  const { queries } = request;
  checkCount("queries", queries.length, LIMITS.offsetQueries);
  const routed = await Promise.all(
    queries.map((query, index) => route(options.topics, query, index).catch(errorFields)),
  );
  const good = routed.flatMap((query, index) => ("reason" in query ? [] : [{ query, index }]));
  const answers: AnswerInit[] = queries.map(({ topic, partition }, index) => {
    const query = routed[index];
    const failed = query !== undefined && "reason" in query ? { error: query } : {};
    return { topic, partition, offset: -1n, timestampMs: -1n, leaderEpoch: -1, ...failed };
  });
  const found = await options.router.listOffsets(
    good.map(({ query }) => query),
    context.signal,
  );
  found.forEach((result, position) => {
    const answer = answers[good[position]?.index ?? -1];
    if (answer === undefined) return;
    if (result instanceof OttlaError) {
      answer.error = errorFields(result);
      return;
    }
    answer.offset = BigInt(result.offset);
    answer.timestampMs = BigInt(result.timestampMs);
    answer.leaderEpoch = result.leaderEpoch;
  });
  return { answers };
}

async function route(topics: Topics, query: OffsetQuery, index: number): Promise<RoutedQuery> {
  const field = `queries[${index}]`;
  const timestampMs = timestampOf(query, field);
  const topic = await topics.get(query.topic, `${field}.topic`, query.partition);
  const partition = checkPartition(`${field}.partition`, query.partition, topic.partitionCount, topic.name);
  return { topicId: topic.topicId, partition, timestampMs };
}

function timestampOf({ at }: OffsetQuery, field: string): number {
  switch (at.case) {
    case "earliest":
      return EARLIEST_TIMESTAMP;
    case "latest":
      return LATEST_TIMESTAMP;
    case "maxTimestamp":
      return MAX_TIMESTAMP;
    case "timestampMs":
      return checkTimestampMs(`${field}.timestamp_ms`, at.value);
    case undefined:
      break;
  }
  throw invalidRequest(`${field}.at`, "is missing: set earliest, latest, timestamp_ms or max_timestamp");
}
