import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FetchRequest, FetchResponseSchema } from "@ottla/proto/ottla/v1/log";
import type { PartitionRouter } from "@ottla/routing";
import type { CallContext } from "@ottla/rpc";
import type { Clock, Tracer } from "@ottla/runtime";
import { checkInteger, checkOffset, checkPartition, checkReadFormat, LIMITS } from "../checks.ts";
import type { ConnectionLimits } from "../connection-limits.ts";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { Topics } from "../topics.ts";
import { joinChunks, sliceRecords } from "./record-slices.ts";

export interface FetchOptions {
  readonly topics: Topics;
  readonly router: PartitionRouter;
  readonly connections: ConnectionLimits;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly tracer: Tracer | undefined;
}

/** Serves `Fetch`: batches or records of one partition, after a wait of at most `max_wait_ms`. */
export async function serveFetch(
  options: FetchOptions,
  request: FetchRequest,
  context: CallContext,
): Promise<MessageInitShape<typeof FetchResponseSchema>> {
  const { router, clock, metrics, topics, connections } = options;
  const offset = checkOffset("offset", request.offset);
  const maxBytes =
    checkInteger("max_bytes", request.maxBytes, 0, LIMITS.fetchMaxBytes) || LIMITS.fetchDefaultBytes;
  const minBytes = checkInteger("min_bytes", request.minBytes, 0, maxBytes) || 1;
  const maxWaitMs = checkInteger("max_wait_ms", request.maxWaitMs, 0, LIMITS.fetchMaxWaitMs);
  const format = checkReadFormat(request.format);
  const topic = await topics.get(request.topic, "topic", request.partition);
  const partition = checkPartition("partition", request.partition, topic.partitionCount, topic.name);
  return connections.withRead(context, 1, async (signal) => {
    const { topicId } = topic;
    const { span } = context;
    span?.set({
      "messaging.destination.name": topic.name,
      "messaging.destination.partition.id": String(partition),
      "messaging.ottla.offset": offset,
    });
    const traceparent = span?.traceparent;
    const wanted = { topicId, partition, offset, maxBytes, minBytes, maxWaitMs, signal, traceparent };
    const outcome = await router.fetch(wanted);
    metrics.countFetched(topic.name, outcome.sizeBytes);
    const positions = {
      highWatermark: BigInt(outcome.highWatermark),
      logStartOffset: BigInt(outcome.logStartOffset),
    };
    const batches = joinChunks(outcome.chunks, outcome.sizeBytes);
    if (format === "batches") return { ...positions, batches, nextOffset: BigInt(outcome.nextOffset) };
    const { nextOffset } = outcome;
    // One answer holds one slice; what a compressed batch holds beyond it is fetched again from there.
    const slices = sliceRecords(batches, { fromOffset: offset, nextOffset, maxBytes, clock, signal });
    for await (const slice of slices) {
      return { ...positions, records: [...slice.records], nextOffset: BigInt(slice.nextOffset) };
    }
    return { ...positions, nextOffset: BigInt(nextOffset) };
  });
}
