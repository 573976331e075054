/**
 * ListPartitionReassignments (46), version 0: the partitions whose replicas are being moved (KIP-455),
 * whoever moves them: a client, or the cluster itself.
 *
 * - A null list asks for all. Partitions that are not being moved, or do not exist, are left out.
 * - `replicas` holds those that are being added and removed, too.
 *
 * Deliberately not here: nothing.
 */
import { listPartitionReassignments, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import { type KafkaServices, knownTopic } from "./kafka-services.ts";
import { checkItemCount, inSlices } from "./request-items.ts";

type Named = NonNullable<RequestOf<typeof listPartitionReassignments>["topics"]>[number];
type TopicResponse = ResponseOf<typeof listPartitionReassignments>["topics"][number];

interface Wanted {
  readonly name: string;
  /** Null means all. */
  readonly partitionIndexes: Named["partitionIndexes"] | null;
}

export function listPartitionReassignmentsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: listPartitionReassignments,
    versions: { min: 0, max: 0 },
    async handle(request) {
      checkItemCount("topics", request.topics?.length ?? 0);
      await services.topics.refresh();
      const wanted: readonly Wanted[] =
        request.topics ?? services.view.topicNames().map((name) => ({ name, partitionIndexes: null }));
      const topics = await inSlices(services.clock, wanted, (topic) => movesOf(services, topic));
      const moving = topics.filter(({ partitions }) => partitions.length > 0);
      return { throttleTimeMs: 0, errorCode: NO_ERROR, errorMessage: null, topics: moving };
    },
    failure: (_, failure) => ({ throttleTimeMs: 0, ...failure, topics: [] }),
  });
}

function movesOf({ view, topics }: KafkaServices, { name, partitionIndexes }: Wanted): TopicResponse {
  const topic = knownTopic(topics, name);
  if (topic === undefined) return { name, partitions: [] };
  const numbers =
    partitionIndexes ?? Array.from({ length: topic.partitionCount }, (_, partition) => partition);
  const partitions = numbers.flatMap((partitionIndex) => {
    const state = view.partition(topic.topicId, partitionIndex);
    const { addingReplicas = [], removingReplicas = [], replicas = [] } = state ?? {};
    if (addingReplicas.length + removingReplicas.length === 0) return [];
    return [{ partitionIndex, replicas, addingReplicas, removingReplicas }];
  });
  return { name, partitions };
}
