/**
 * DescribeLogDirs (35), versions 1 to 4: how large partitions are.
 *
 * - Each storage node shows as one log directory, with the partitions that it leads. A
 *   null list of topics asks for all.
 * - A partition whose leader does not answer is left out, as a broker leaves out what it does not hold.
 *
 * Deliberately not here: sizes of followers, and of the disks (total and usable bytes are -1: unknown).
 */
import { OttlaError } from "@ottla/errors";
import { describeLogDirs, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import type { PartitionRef } from "@ottla/routing";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import { askInParts, hasPartition, type KafkaServices, knownTopic } from "./kafka-services.ts";

type Request = RequestOf<typeof describeLogDirs>;
type LogDirectory = ResponseOf<typeof describeLogDirs>["results"][number];
type PartitionSize = LogDirectory["topics"][number]["partitions"][number];

interface Wanted extends PartitionRef {
  readonly topic: string;
}

export function describeLogDirsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: describeLogDirs,
    versions: { min: 1, max: 4 },
    async handle(request, { signal }) {
      const wanted = wantedOf(services, request);
      const described = await askInParts(wanted, (part) => services.router.describePartitions(part, signal));
      const nodes = new Map<number, Map<string, PartitionSize[]>>();
      for (const [index, { topic, topicId, partition }] of wanted.entries()) {
        const description = described[index];
        const leader = services.view.partition(topicId, partition)?.leader;
        if (description === undefined || description instanceof OttlaError || leader === undefined) continue;
        const topics = nodes.get(leader) ?? new Map<string, PartitionSize[]>();
        const sizes = topics.get(topic) ?? [];
        const partitionSize = Number(description.offsets?.sizeBytes ?? 0n);
        sizes.push({ partitionIndex: partition, partitionSize, offsetLag: 0, isFutureKey: false });
        nodes.set(leader, topics.set(topic, sizes));
      }
      return { throttleTimeMs: 0, errorCode: NO_ERROR, results: Array.from(nodes, directoryOf) };
    },
    failure: (_, { errorCode }) => ({ throttleTimeMs: 0, errorCode, results: [] }),
  });
}

function wantedOf({ view, topics }: KafkaServices, request: Request): Wanted[] {
  const named =
    request.topics?.map(({ topic, partitions }) => ({ name: topic, partitions })) ??
    view.topicNames().map((name) => ({ name, partitions: undefined }));
  return named.flatMap(({ name, partitions }) => {
    const topic = knownTopic(topics, name);
    if (topic === undefined) return [];
    const numbers = partitions ?? Array.from({ length: topic.partitionCount }, (_, partition) => partition);
    return numbers
      .filter((partition) => hasPartition(topic, partition))
      .map((partition) => ({ topic: name, topicId: topic.topicId, partition }));
  });
}

function directoryOf([nodeId, topics]: [number, ReadonlyMap<string, PartitionSize[]>]): LogDirectory {
  return {
    errorCode: NO_ERROR,
    logDir: `storage-node-${nodeId}`,
    topics: Array.from(topics, ([name, partitions]) => ({ name, partitions })),
  };
}
