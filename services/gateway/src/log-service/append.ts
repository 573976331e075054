import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError, toOttlaError } from "@ottla/errors";
import type {
  AppendRequest,
  AppendResponseSchema,
  AppendResultSchema,
  ProduceRequest,
} from "@ottla/proto/ottla/v1/log";
import type { Acks } from "@ottla/proto/ottla/v1/record";
import type { PartitionRouter } from "@ottla/routing";
import type { CallContext } from "@ottla/rpc";
import type { Clock, Span, Tracer } from "@ottla/runtime";
import { checkAcks, checkOffset, checkPartition } from "../checks.ts";
import type { ConnectionLimits } from "../connection-limits.ts";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import { refuseInternal, type Topic, type Topics } from "../topics.ts";
import type { Partitioner } from "./partitioner.ts";
import { checkRecords, type PreparedBatch, prepareEncodedBatch, prepareRecords } from "./prepare-batch.ts";

export interface AppendOptions {
  readonly topics: Topics;
  readonly router: PartitionRouter;
  readonly partitioner: Partitioner;
  readonly connections: ConnectionLimits;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly tracer: Tracer | undefined;
}

/** How long the leader may wait for the in-sync replicas when the caller set no deadline. */
export const DEFAULT_APPEND_TIMEOUT_MS = 30_000;

type ResultInit = MessageInitShape<typeof AppendResultSchema>;

interface Target {
  readonly partition: number;
  readonly prepared: PreparedBatch;
}

export interface PartitionAppend {
  readonly topic: Topic;
  readonly partition: number;
  readonly prepared: PreparedBatch;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly expectedEndOffset: number | undefined;
  /** What the append is a part of, if it is traced. */
  readonly span?: Span | undefined;
}

/**
 * Serves `Append`: one batch, or records spread over partitions, answered when they are as durable as asked.
 */
export async function serveAppend(
  options: AppendOptions,
  request: AppendRequest,
  context: CallContext,
): Promise<MessageInitShape<typeof AppendResponseSchema>> {
  const acks = checkAcks(request.acks);
  const expectedEndOffset = checkExpectedEndOffset(request.expectedEndOffset);
  const topic = await options.topics.get(request.topic, "topic", request.partition);
  refuseInternal(topic);
  const { span } = context;
  span?.set({ "messaging.destination.name": topic.name });
  const targets = targetsOf(options, topic, request);
  const timeoutMs = Math.min(DEFAULT_APPEND_TIMEOUT_MS, context.remainingMs() ?? DEFAULT_APPEND_TIMEOUT_MS);
  const sizeBytes = targets.reduce((sum, { prepared }) => sum + prepared.batch.length, 0);
  return options.connections.withBudget(context.peer, async (budget) => {
    if (!budget.tryTake(sizeBytes)) {
      throw new OttlaError(
        "THROTTLING_QUOTA_EXCEEDED",
        "too many bytes of this connection are not acknowledged yet: wait for answers, or use Produce",
      );
    }
    try {
      const results = await Promise.allSettled(
        targets.map(({ partition, prepared }) =>
          appendToPartition(options, {
            topic,
            partition,
            prepared,
            acks,
            timeoutMs,
            expectedEndOffset,
            span,
          }),
        ),
      );
      return { results: results.map((result, index) => valueOf(result, targets[index]?.partition ?? -1)) };
    } finally {
      budget.give(sizeBytes);
    }
  });
}

/** Appends one prepared batch; the router keeps the order of the calls for each partition. */
export async function appendToPartition(
  options: AppendOptions,
  append: PartitionAppend,
): Promise<ResultInit> {
  const { topic, partition, prepared, acks, timeoutMs, expectedEndOffset, span } = append;
  const { clock, metrics, router } = options;
  const startedMs = clock.monotonic();
  try {
    const outcome = await router.append({
      topicId: topic.topicId,
      partition,
      batch: prepared.batch,
      acks,
      timeoutMs,
      validated: true,
      idempotent: prepared.idempotent,
      traceparent: span?.traceparent,
      ...(expectedEndOffset === undefined ? {} : { expectedEndOffset }),
    });
    metrics.countAppended(topic.name, prepared.batch.length, clock.monotonic() - startedMs);
    return {
      partition,
      baseOffset: BigInt(outcome.baseOffset),
      recordCount: prepared.recordCount,
      logStartOffset: BigInt(outcome.logStartOffset),
      ...(outcome.logAppendTimeMs < 0 ? {} : { logAppendTimeMs: BigInt(outcome.logAppendTimeMs) }),
    };
  } catch (thrown) {
    const error = toOttlaError(thrown);
    metrics.countFailedAppend(error.code);
    throw error;
  }
}

export function checkExpectedEndOffset(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : checkOffset("expected_end_offset", value);
}

/** The payload of an append to one known partition. */
export function preparePayload(
  topic: Topic,
  payload: AppendRequest["payload"] | ProduceRequest["payload"],
  nowMs: number,
): PreparedBatch {
  switch (payload.case) {
    case "batch":
      return asSent(() => prepareEncodedBatch(topic, payload.value));
    case "records":
      return prepareRecords(topic, checkRecords(payload.value, nowMs), payload.value.compression);
    case undefined:
      break;
  }
  throw invalidRequest("payload", "is missing: set records or batch");
}

function targetsOf(options: AppendOptions, topic: Topic, request: AppendRequest): Target[] {
  const { payload } = request;
  const nowMs = options.clock.now();
  if (request.partition !== undefined) {
    const partition = checkPartition("partition", request.partition, topic.partitionCount, topic.name);
    return [{ partition, prepared: preparePayload(topic, payload, nowMs) }];
  }
  if (payload.case === "batch") throw invalidRequest("partition", "is missing: an encoded batch needs it");
  if (payload.case === undefined) throw invalidRequest("payload", "is missing: set records or batch");
  if (request.expectedEndOffset !== undefined) {
    throw invalidRequest("partition", "is missing: expected_end_offset needs it");
  }
  const { compression } = payload.value;
  const byPartition = options.partitioner.partition(checkRecords(payload.value, nowMs), topic.partitionCount);
  return [...byPartition].map(([partition, records]) => ({
    partition,
    prepared: prepareRecords(topic, records, compression),
  }));
}

function valueOf(result: PromiseSettledResult<ResultInit>, partition: number): ResultInit {
  if (result.status === "fulfilled") return result.value;
  const error = toOttlaError(result.reason);
  throw new OttlaError(error.code, error.message, {
    cause: error,
    metadata: { ...error.metadata, partition: String(partition) },
  });
}

/**
 * A damaged batch is damaged because the client sent it so (HTTP/2 over TCP leaves little
 * else), and sending it again cannot help: INVALID_RECORD, not the CORRUPT_MESSAGE that tells
 * of lost data. The Kafka door keeps CORRUPT_MESSAGE, as brokers do.
 */
function asSent<T>(check: () => T): T {
  try {
    return check();
  } catch (thrown) {
    if (!(thrown instanceof OttlaError) || thrown.code !== "CORRUPT_MESSAGE") throw thrown;
    const metadata = { ...thrown.metadata, field: "batch" };
    throw new OttlaError("INVALID_RECORD", `batch: ${thrown.message}`, { cause: thrown, metadata });
  }
}
