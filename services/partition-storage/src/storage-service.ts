import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError } from "@ottla/errors";
import type {
  OffsetLookup,
  OffsetLookupAnswerSchema,
  PartitionDescriptionSchema,
  PartitionKey,
  ReplicaProgressSchema,
  StorageService,
} from "@ottla/proto/ottla/internal/v1/storage";
import type { ReplicaLag } from "@ottla/replication";
import type { ServiceImplementation } from "@ottla/rpc";
import type { Clock, Tracer } from "@ottla/runtime";
import { AppendSession } from "./append-session.ts";
import { type DescribeLogsOptions, describeLogs } from "./describe-logs.ts";
import { FetchSession } from "./fetch-session.ts";
import { answerEpochLookup, answerProducers, leaderOf, required } from "./log-lookups.ts";
import type { PartitionStore } from "./partition-store.ts";
import { errorFields, toStorageError } from "./refusals.ts";
import type { StorageMetrics } from "./storage-metrics.ts";

/** Bounds of what one gateway may have under way on this node. */
export interface StorageLimits {
  readonly appendCreditBytes: number;
  readonly maxConcurrentReads: number;
  readonly maxOpenFetches: number;
}

export interface StorageServiceOptions {
  readonly store: PartitionStore;
  readonly clock: Clock;
  readonly metrics: StorageMetrics;
  readonly limits: StorageLimits;
  readonly tracer: Tracer | undefined;
  /** Why no appends are taken now: the disk is full. */
  readonly appendRefusal: () => OttlaError | undefined;
  readonly describeLogs: DescribeLogsOptions;
  readonly diskSpace: () => Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}

/** Kafka's special timestamps of a lookup. */
const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;

/** How long a deletion of records waits for the in-sync replicas (R14) at the most. */
const MAX_DELETION_WAIT_MS = 30_000;

/** How many partitions one unary call may name. */
const MAX_ITEMS = 10_000;

/** Serves ottla.internal.v1.StorageService. */
export function createStorageService(
  options: StorageServiceOptions,
): ServiceImplementation<typeof StorageService> {
  const { store, clock, metrics, limits, tracer } = options;
  return {
    append: (stream) =>
      new AppendSession({
        stream,
        leaders: store,
        clock,
        metrics,
        creditBytes: limits.appendCreditBytes,
        tracer,
      }).run(),
    fetch: (stream) => new FetchSession({ stream, leaders: store, clock, metrics, tracer, ...limits }).run(),
    listOffsets: async ({ queries }) => {
      checkCount("queries", queries.length);
      return { answers: await Promise.all(queries.map((query) => answerLookup(store, query))) };
    },
    findEpochEnds: async ({ queries }) => {
      checkCount("queries", queries.length);
      return { answers: await Promise.all(queries.map((query) => answerEpochLookup(store, query))) };
    },
    describeProducers: async ({ partitions }) => {
      checkCount("partitions", partitions.length);
      return { partitions: partitions.map((key) => answerProducers(store, key)) };
    },
    deleteRecords: async ({ partition, leaderEpoch, beforeOffset }, context) => {
      const key = required(partition);
      const leader = await leaderOf(store, key, leaderEpoch);
      const timeoutMs = Math.min(context.remainingMs() ?? MAX_DELETION_WAIT_MS, MAX_DELETION_WAIT_MS);
      const logStartOffset = await leader.deleteRecords(Number(beforeOffset), leaderEpoch, timeoutMs);
      return { logStartOffset: BigInt(logStartOffset) };
    },
    describeLogs: () => describeLogs(options.describeLogs),
    describePartitions: async ({ partitions, diskOnly }) => {
      checkCount("partitions", partitions.length);
      const space = await options.diskSpace();
      const refusal = options.appendRefusal();
      const keys = partitions.length > 0 || diskOnly ? partitions : store.keys();
      return {
        partitions: keys.map((key) => describe(store, key, clock.monotonic())),
        diskFreeBytes: BigInt(Math.floor(space.freeBytes)),
        diskTotalBytes: BigInt(Math.floor(space.totalBytes)),
        ...(refusal && { appendsRefused: errorFields(refusal) }),
      };
    },
  };
}

async function answerLookup(
  store: PartitionStore,
  query: OffsetLookup,
): Promise<MessageInitShape<typeof OffsetLookupAnswerSchema>> {
  try {
    const leader = await leaderOf(store, required(query.partition), query.leaderEpoch);
    const { logStartOffset, leaderEpoch } = leader.offsets();
    const timestampMs = Number(query.timestamp);
    if (timestampMs === LATEST) return found(leader.latestOffset(), -1, leaderEpoch);
    if (timestampMs === EARLIEST) return found(logStartOffset, -1, leaderEpoch);
    const record =
      timestampMs === MAX_TIMESTAMP
        ? await leader.findMaxTimestamp()
        : await leader.findOffsetForTimestamp(timestampMs);
    if (record === undefined) return found(-1, -1, -1);
    return found(record.offset, record.timestampMs, record.leaderEpoch);
  } catch (thrown) {
    return { error: errorFields(toStorageError(thrown)) };
  }
}

function found(
  offset: number,
  timestampMs: number,
  leaderEpoch: number,
): MessageInitShape<typeof OffsetLookupAnswerSchema> {
  return { offset: BigInt(offset), timestampMs: BigInt(timestampMs), leaderEpoch };
}

function describe(
  store: PartitionStore,
  key: Pick<PartitionKey, "topicId" | "partition">,
  nowMs: number,
): MessageInitShape<typeof PartitionDescriptionSchema> {
  const partition = { topicId: key.topicId, partition: key.partition };
  const leader = store.find(key.topicId, key.partition, -1);
  if (leader === undefined) {
    const error = new OttlaError(
      "NOT_LEADER_OR_FOLLOWER",
      `this node does not lead partition ${key.partition} of topic id ${key.topicId}`,
    );
    return { partition, error: errorFields(error), ...followerOffsets(store, key) };
  }
  const { highWatermark, logStartOffset, logEndOffset, leaderEpoch } = leader.offsets();
  return {
    partition,
    leaderEpoch,
    offsets: {
      logStartOffset: BigInt(logStartOffset),
      highWatermark: BigInt(highWatermark),
      logEndOffset: BigInt(logEndOffset),
      sizeBytes: BigInt(leader.sizeBytes),
    },
    replicas: leader.replicaLags(nowMs).map((lag) => progressOf(lag, logEndOffset)),
  };
}

/** What a replica that does not lead has on this node, beside the word that it does not lead. */
function followerOffsets(
  store: PartitionStore,
  { topicId, partition }: Pick<PartitionKey, "topicId" | "partition">,
): Pick<MessageInitShape<typeof PartitionDescriptionSchema>, "offsets"> {
  const replica = store.replica(topicId, partition);
  const { log } = replica ?? {};
  if (log === undefined) return {};
  const { logStartOffset, logEndOffset, sizeBytes } = log;
  const highWatermark = replica?.open?.highWatermark ?? logEndOffset;
  return {
    offsets: {
      logStartOffset: BigInt(logStartOffset),
      highWatermark: BigInt(highWatermark),
      logEndOffset: BigInt(logEndOffset),
      sizeBytes: BigInt(sizeBytes),
    },
  };
}

function progressOf(
  { nodeId, syncedEndOffset, lagMs }: ReplicaLag,
  logEndOffset: number,
): MessageInitShape<typeof ReplicaProgressSchema> {
  if (syncedEndOffset === undefined) return { nodeId, syncedEndOffset: -1n, lagRecords: -1n, lagMs: -1n };
  return {
    nodeId,
    syncedEndOffset: BigInt(syncedEndOffset),
    lagRecords: BigInt(Math.max(0, logEndOffset - syncedEndOffset)),
    lagMs: BigInt(Math.ceil(lagMs ?? -1)),
  };
}

function checkCount(field: string, count: number): void {
  if (count > MAX_ITEMS) throw invalidRequest(field, `${count} exceed the limit ${MAX_ITEMS}`, MAX_ITEMS);
}
