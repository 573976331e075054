/**
 * DescribeLogDirs (35), versions 1 to 4: how large replicas and disks are.
 *
 * - Each storage node shows as one log directory, with the replicas that it holds, how far they are behind
 *   what is committed, and (version 4) the size of its disk. A null list of topics asks for all.
 * - A storage node that does not answer is a directory with KAFKA_STORAGE_ERROR.
 *
 * Deliberately not here: nothing.
 */
import { ERRORS, toOttlaError } from "@ottla/errors";
import { describeLogDirs, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import type {
  DescribePartitionsResponse,
  PartitionDescription,
} from "@ottla/proto/ottla/internal/v1/storage";
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

/** A node that does not answer in time must not keep the others' answers. */
const ASK_MS = 2_000;

export function describeLogDirsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: describeLogDirs,
    versions: { min: 1, max: 4 },
    async handle(request, { signal }) {
      const wanted = wantedOf(services, request);
      const nodes = services.view.nodes("partition-storage");
      const held = new Map<number, Wanted[]>(nodes.map(({ nodeId }) => [nodeId, []]));
      for (const item of wanted) {
        const replicas = services.view.partition(item.topicId, item.partition)?.replicas ?? [];
        for (const nodeId of replicas) held.get(nodeId)?.push(item);
      }
      const results = Array.from(held, ([nodeId, mine]) => directoryOf(services, nodeId, mine, signal));
      return { throttleTimeMs: 0, errorCode: NO_ERROR, results: await Promise.all(results) };
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

async function directoryOf(
  { router, clock }: KafkaServices,
  nodeId: number,
  wanted: readonly Wanted[],
  signal: AbortSignal,
): Promise<LogDirectory> {
  const logDir = `storage-node-${nodeId}`;
  const ending = new AbortController();
  const timer = clock.setTimer(ASK_MS, () => ending.abort());
  const either = AbortSignal.any([signal, ending.signal]);
  try {
    const disk = await router.describeNode(nodeId, "disk only", either);
    const described = await askInParts(wanted, async (part) => {
      const answer = await router.describeNode(nodeId, part, either);
      return answer.partitions;
    });
    return { errorCode: NO_ERROR, logDir, topics: topicsOf(wanted, described), ...bytesOf(disk) };
  } catch (thrown) {
    if (toOttlaError(thrown).code === "UNKNOWN_SERVER_ERROR") throw thrown;
    return { errorCode: ERRORS.KAFKA_STORAGE_ERROR.kafka, logDir, topics: [] };
  } finally {
    timer.cancel();
  }
}

function topicsOf(
  wanted: readonly Wanted[],
  described: readonly PartitionDescription[],
): LogDirectory["topics"] {
  const topics = new Map<string, PartitionSize[]>();
  for (const [index, { topic, partition }] of wanted.entries()) {
    const description = described[index];
    // A replica that is only being added has no directory yet.
    if (description?.offsets === undefined) continue;
    const { sizeBytes, highWatermark, logEndOffset } = description.offsets;
    const sizes = topics.get(topic) ?? [];
    topics.set(topic, sizes);
    sizes.push({
      partitionIndex: partition,
      partitionSize: Number(sizeBytes),
      offsetLag: Math.max(0, Number(highWatermark - logEndOffset)),
      isFutureKey: false,
    });
  }
  return Array.from(topics, ([name, partitions]) => ({ name, partitions }));
}

function bytesOf({ diskTotalBytes, diskFreeBytes }: DescribePartitionsResponse): {
  totalBytes: number;
  usableBytes: number;
} {
  return { totalBytes: Number(diskTotalBytes), usableBytes: Number(diskFreeBytes) };
}
