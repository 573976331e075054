import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError, toOttlaError } from "@ottla/errors";
import type { SegmentedLog } from "@ottla/log";
import type { ClusterView } from "@ottla/metadata";
import type {
  DescribeLogsResponseSchema,
  LogDescriptionSchema,
} from "@ottla/proto/ottla/internal/v1/storage";
import type { PartitionReplica } from "./partition-replica.ts";
import type { PartitionStore } from "./partition-store.ts";
import { errorFields } from "./refusals.ts";

export interface DescribeLogsOptions {
  readonly store: PartitionStore;
  readonly view: ClusterView;
  readonly directoryId: string;
  /** Of the last registration, or of the clean stop before this start; -1 when it is not known. */
  readonly nodeEpoch: () => number;
}

/**
 * What lies here, for the recovery of the cluster. Only while the node is suspended: nothing is appended
 * then, so that what is said stays true until the metadata is recovered.
 */
export async function describeLogs(
  options: DescribeLogsOptions,
): Promise<MessageInitShape<typeof DescribeLogsResponseSchema>> {
  const { store, view, directoryId, nodeEpoch } = options;
  if (!store.isSuspended) {
    throw new OttlaError("INVALID_REQUEST", "this storage node follows the metadata: nothing to recover");
  }
  // Logs that are being opened, or were being written to when the node was suspended.
  await store.settled();
  const logs = await Promise.all([...store.replicas()].map(describe));
  const { generation, revision } = view.seenStore;
  return {
    directoryId,
    nodeEpoch: BigInt(nodeEpoch()),
    generation: BigInt(generation),
    revision: BigInt(revision),
    logs,
  };
}

async function describe(replica: PartitionReplica): Promise<MessageInitShape<typeof LogDescriptionSchema>> {
  const { topicId, partition, log, lastTerm } = replica;
  const key = { topicId, partition };
  try {
    if (log === undefined) throw replica.failure ?? new OttlaError("KAFKA_STORAGE_ERROR", "it is not open");
    await log.flush();
    return {
      partition: key,
      lastEpoch: lastEpochOf(log),
      logEndOffset: BigInt(log.logEndOffset),
      highestLeaderEpoch: Math.max(log.latestLeaderEpoch ?? -1, lastTerm?.leaderEpoch ?? -1),
      highestPartitionEpoch: lastTerm?.partitionEpoch ?? -1,
      ownerEpoch: BigInt(log.ownerEpoch),
      highestProducerId: BigInt(highestProducerId(log)),
      damaged: log.damagedFrom !== undefined,
    };
  } catch (thrown) {
    return { partition: key, error: errorFields(toOttlaError(thrown)) };
  }
}

/** Of the last record: a leader notes its epoch before it has any. */
function lastEpochOf(log: SegmentedLog): number {
  if (log.logEndOffset === 0) return -1;
  return log.leaderEpochAt(log.logEndOffset - 1) ?? log.latestLeaderEpoch ?? -1;
}

function highestProducerId(log: SegmentedLog): number {
  let highest = -1;
  for (const { producerId } of log.producers()) highest = Math.max(highest, producerId);
  return highest;
}
