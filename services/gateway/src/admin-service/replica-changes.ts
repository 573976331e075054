import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError } from "@ottla/errors";
import type {
  ElectionResultSchema,
  ElectLeadersRequest,
  ListReassignmentsRequest,
  OngoingReassignmentSchema,
  ReassignmentResultSchema,
  ReassignPartitionsRequest,
  TopicPartition,
} from "@ottla/proto/ottla/v1/admin";
import type { Error as ErrorMessage } from "@ottla/proto/ottla/v1/record";
import { fromErrorMessage, type PartitionRef } from "@ottla/routing";
import type { CallContext } from "@ottla/rpc";
import { checkCount, checkPartition, LIMITS } from "../checks.ts";
import { errorFields } from "../public-error.ts";
import { shown, type TopicChangeOptions } from "./topic-changes.ts";

type ElectionResultInit = MessageInitShape<typeof ElectionResultSchema>;
type ReassignmentResultInit = MessageInitShape<typeof ReassignmentResultSchema>;
type OngoingInit = MessageInitShape<typeof OngoingReassignmentSchema>;

/** Elects leaders; each partition has a result of its own. */
export async function electLeaders(
  options: TopicChangeOptions,
  request: ElectLeadersRequest,
  context: CallContext,
): Promise<{ results: ElectionResultInit[] }> {
  const { controller, view } = options;
  const { partitions, unclean } = request;
  if (partitions.length > 0) checkCount("partitions", partitions.length, LIMITS.changedPartitions);
  const found = await resolve(options, partitions, "partitions");
  const known = refsOf(found);
  const isForAll = partitions.length === 0;
  const elected =
    isForAll || known.length > 0
      ? await controller.call((client) => client.electLeaders({ partitions: known, unclean }))
      : undefined;
  if (elected !== undefined) await shown(options, elected.revision, context);
  const answers = elected?.answers ?? [];
  const resultOf = (
    ref: PartitionRef,
    topic: string,
    error: ErrorMessage | undefined,
  ): ElectionResultInit => ({
    partition: { topic, partition: ref.partition },
    leader: view.partition(ref.topicId, ref.partition)?.leader ?? -1,
    ...publicErrorOf(error),
  });
  if (isForAll) {
    return {
      results: answers.flatMap(({ partition, error }) => {
        const name = partition && view.topicById(partition.topicId)?.name;
        return partition === undefined || name === undefined ? [] : [resultOf(partition, name, error)];
      }),
    };
  }
  // The coordinator answers each partition once, however often it was named.
  const byKey = new Map(answers.map(({ partition, error }) => [keyOf(partition), error]));
  return {
    results: partitions.map((partition, index) => {
      const ref = found[index];
      if (ref === undefined || ref instanceof OttlaError) {
        return { partition, leader: -1, error: errorFields(ref ?? unanswered()) };
      }
      return resultOf(ref, partition.topic, byKey.get(keyOf(ref)));
    }),
  };
}

/** Begins or cancels moves; each partition has a result of its own. */
export async function reassignPartitions(
  options: TopicChangeOptions,
  request: ReassignPartitionsRequest,
  context: CallContext,
): Promise<{ results: ReassignmentResultInit[] }> {
  const { reassignments, allowReplicationFactorChange } = request;
  checkCount("reassignments", reassignments.length, LIMITS.changedPartitions);
  const partitions = reassignments.map(({ partition, replicas, cancel }, index) => {
    const field = `reassignments[${index}]`;
    if (partition === undefined) throw invalidRequest(`${field}.partition`, "is missing");
    if (cancel && replicas.length > 0) throw invalidRequest(`${field}.replicas`, "must be empty with cancel");
    return partition;
  });
  const found = await resolve(options, partitions, "reassignments");
  const wanted = reassignments.flatMap(({ replicas, cancel }, index) => {
    const ref = found[index];
    return ref === undefined || ref instanceof OttlaError ? [] : [{ partition: ref, replicas, cancel }];
  });
  const changed =
    wanted.length === 0
      ? undefined
      : await options.controller.call((client) =>
          client.alterReassignments({ reassignments: wanted, allowReplicationFactorChange }),
        );
  if (changed !== undefined) await shown(options, changed.revision, context);
  let next = 0;
  return {
    results: partitions.map((partition, index) => {
      const ref = found[index];
      if (ref instanceof OttlaError) return { partition, error: errorFields(ref) };
      const answer = changed?.answers[next++];
      if (answer === undefined) return { partition, error: errorFields(unanswered()) };
      return { partition, ...publicErrorOf(answer.error) };
    }),
  };
}

/** The moves that are under way, from the metadata. */
export async function listReassignments(
  { topics, view }: TopicChangeOptions,
  request: ListReassignmentsRequest,
): Promise<{ reassignments: OngoingInit[] }> {
  if (request.topics.length > 0) checkCount("topics", request.topics.length, LIMITS.describedTopics);
  await topics.refresh();
  const names =
    request.topics.length === 0
      ? view.topicNames()
      : await Promise.all(
          request.topics.map(async (name, index) => (await topics.get(name, `topics[${index}]`)).name),
        );
  const reassignments = names.flatMap((name) => {
    const topic = topics.find(name);
    if (topic === undefined) return [];
    const states = [...view.partitionsOf(topic.topicId)].toSorted((a, b) => a.partition - b.partition);
    return states.flatMap(({ partition, replicas, addingReplicas = [], removingReplicas = [] }) => {
      if (addingReplicas.length + removingReplicas.length === 0) return [];
      return [
        {
          partition: { topic: name, partition },
          replicas: [...replicas],
          addingReplicas: [...addingReplicas],
          removingReplicas: [...removingReplicas],
        },
      ];
    });
  });
  return { reassignments };
}

/** Each partition's topic id, or why there is none. */
async function resolve(
  { topics }: TopicChangeOptions,
  partitions: readonly TopicPartition[],
  field: string,
): Promise<(PartitionRef | OttlaError)[]> {
  const names = new Set(partitions.map(({ topic }) => topic));
  if ([...names].some((name) => isUnknown(() => topics.find(name)))) await topics.refresh();
  return partitions.map(({ topic: name, partition: number }, index) => {
    try {
      const at = `${field}[${index}]`;
      const topic = topics.find(name, `${at}.topic`);
      if (topic === undefined) {
        throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `${at}.topic: topic "${name}" does not exist`);
      }
      const partition = checkPartition(`${at}.partition`, number, topic.partitionCount, name);
      return { topicId: topic.topicId, partition };
    } catch (thrown) {
      if (thrown instanceof OttlaError) return thrown;
      throw thrown;
    }
  });
}

function isUnknown(find: () => unknown): boolean {
  try {
    return find() === undefined;
  } catch {
    // A name that is not allowed: asking the store does not help.
    return false;
  }
}

function refsOf(found: readonly (PartitionRef | OttlaError)[]): PartitionRef[] {
  return found.flatMap((ref) => (ref instanceof OttlaError ? [] : [ref]));
}

function keyOf(ref: PartitionRef | undefined): string {
  return ref === undefined ? "" : `${ref.topicId}-${ref.partition}`;
}

function publicErrorOf(error: ErrorMessage | undefined): { error?: ReturnType<typeof errorFields> } {
  return error === undefined ? {} : { error: errorFields(fromErrorMessage(error)) };
}

function unanswered(): OttlaError {
  return new OttlaError("UNKNOWN_SERVER_ERROR", "the coordinator gave no answer for the partition");
}
