import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError } from "@ottla/errors";
import type { ReadPosition, ReadRequest, ReadResponseSchema } from "@ottla/proto/ottla/v1/log";
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP } from "@ottla/routing";
import type { CallContext, MessageStream } from "@ottla/rpc";
import {
  checkCount,
  checkInteger,
  checkOffset,
  checkPartition,
  checkReadFormat,
  checkTimestampMs,
  LIMITS,
} from "../checks.ts";
import { errorFields } from "../public-error.ts";
import type { Topic } from "../topics.ts";
import type { FetchOptions } from "./fetch.ts";
import { PartitionReader, type ReaderItem } from "./partition-reader.ts";
import { ReadQueue } from "./read-queue.ts";
import { joinChunks, sliceRecords } from "./record-slices.ts";

type ReadStream = MessageStream<MessageInitShape<typeof ReadResponseSchema>, never>;

export interface ReadOptions extends FetchOptions {
  /** How many fetched bytes may wait for a client that reads slowly. */
  readonly maxBufferedBytesPerStream: number;
}

interface Start {
  readonly topic: Topic;
  readonly partition: number;
  /** An offset, or the timestamp of the lookup that finds it. */
  readonly at: { readonly offset: number } | { readonly timestampMs: number };
}

/**
 * Serves `Read`: follows partitions until the client cancels. What waits for the client is bounded
 * in bytes over all partitions, which take turns; one partition's error ends that partition only.
 */
export async function serveRead(
  options: ReadOptions,
  request: ReadRequest,
  stream: ReadStream,
  context: CallContext,
): Promise<void> {
  const format = checkReadFormat(request.format);
  const maxBytes =
    checkInteger("max_bytes", request.maxBytes, 0, LIMITS.readMaxBytes) || LIMITS.fetchDefaultBytes;
  checkCount("positions", request.positions.length, LIMITS.readPositions);
  const starts = await Promise.all(
    request.positions.map((position, index) => checkStart(options, position, index)),
  );
  checkDistinct(starts);
  await options.connections.withRead(context, starts.length, async (signal) => {
    const offsets = await resolveOffsets(options, starts, signal);
    const queue = new ReadQueue({
      maxBufferedBytes: options.maxBufferedBytesPerStream,
      maxFetchBytes: Math.max(16_384, Math.min(maxBytes, options.maxBufferedBytesPerStream / starts.length)),
      signal,
    });
    const { router, clock, tracer } = options;
    const { method } = context;
    const traceparent = tracer === undefined ? undefined : context.metadata.get("traceparent");
    const shared = { router, clock, signal, tracer, method, traceparent };
    starts.forEach(({ topic, partition }, index) => {
      const offset = offsets[index];
      if (offset instanceof OttlaError || offset === undefined) {
        const error = errorFields(offset ?? new OttlaError("UNKNOWN_SERVER_ERROR", "no offset was found"));
        stream.send({ topic: topic.name, partition, error });
        return;
      }
      const onItem = (item: ReaderItem): boolean => queue.offer(item);
      queue.add(new PartitionReader({ ...shared, topic, partition, offset, onItem }));
    });
    for (let item = await queue.next(); item !== undefined; item = await queue.next()) {
      await send(options, stream, item, { format, maxBytes, signal });
      queue.done(item);
    }
  });
}

async function send(
  options: ReadOptions,
  stream: ReadStream,
  item: ReaderItem,
  shape: { readonly format: "records" | "batches"; readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<void> {
  const { reader, outcome, fromOffset, caughtUp } = item;
  const place = { topic: reader.topic.name, partition: reader.partition };
  if (outcome instanceof OttlaError) {
    await put(stream, { ...place, nextOffset: BigInt(fromOffset), error: errorFields(outcome) });
    return;
  }
  const positions = {
    ...place,
    highWatermark: BigInt(outcome.highWatermark),
    logStartOffset: BigInt(outcome.logStartOffset),
    endUnknown: outcome.endUnknown,
  };
  const { nextOffset, sizeBytes } = outcome;
  if (sizeBytes > 0) {
    options.metrics.countFetched(place.topic, sizeBytes);
    const batches = joinChunks(outcome.chunks, sizeBytes);
    if (shape.format === "batches") {
      await put(stream, { ...positions, batches, nextOffset: BigInt(nextOffset) });
    } else {
      const { maxBytes, signal } = shape;
      const { clock } = options;
      for await (const slice of sliceRecords(batches, { fromOffset, nextOffset, maxBytes, clock, signal })) {
        const more = slice.records.length > 0 || !caughtUp;
        if (more)
          await put(stream, {
            ...positions,
            records: [...slice.records],
            nextOffset: BigInt(slice.nextOffset),
          });
      }
    }
  }
  // The marker: at the end for the first time, with nothing in it.
  if (caughtUp) await put(stream, { ...positions, nextOffset: BigInt(nextOffset) });
}

async function put(stream: ReadStream, message: MessageInitShape<typeof ReadResponseSchema>): Promise<void> {
  if (!stream.send(message)) await stream.drained();
}

async function checkStart(options: ReadOptions, position: ReadPosition, index: number): Promise<Start> {
  const field = `positions[${index}]`;
  const at = startOf(position, field);
  const topic = await options.topics.get(position.topic, `${field}.topic`, position.partition);
  const partition = checkPartition(
    `${field}.partition`,
    position.partition,
    topic.partitionCount,
    topic.name,
  );
  return { topic, partition, at };
}

function startOf({ start }: ReadPosition, field: string): Start["at"] {
  switch (start.case) {
    case "offset":
      return { offset: checkOffset(`${field}.offset`, start.value) };
    case "timestampMs":
      return { timestampMs: checkTimestampMs(`${field}.timestamp_ms`, start.value) };
    case "earliest":
      return { timestampMs: EARLIEST_TIMESTAMP };
    case "latest":
      return { timestampMs: LATEST_TIMESTAMP };
    case undefined:
      break;
  }
  throw invalidRequest(`${field}.start`, "is missing: set offset, timestamp_ms, earliest or latest");
}

function checkDistinct(starts: readonly Start[]): void {
  const seen = new Set<string>();
  starts.forEach(({ topic, partition }, index) => {
    const key = `${topic.topicId}-${partition}`;
    if (seen.has(key)) {
      throw invalidRequest(
        `positions[${index}]`,
        `partition ${partition} of topic ${topic.name} is given twice`,
      );
    }
    seen.add(key);
  });
}

/** Where each reader starts; a time after the last record means the end. */
async function resolveOffsets(
  options: ReadOptions,
  starts: readonly Start[],
  signal: AbortSignal,
): Promise<(number | OttlaError)[]> {
  const { router } = options;
  const ask = async (
    timestamps: readonly (number | undefined)[],
  ): Promise<(number | OttlaError | undefined)[]> => {
    const asked = timestamps.flatMap((timestampMs, index) => (timestampMs === undefined ? [] : [index]));
    const queries = asked.map((index) => {
      const { topic, partition } = starts[index] as Start;
      return { topicId: topic.topicId, partition, timestampMs: timestamps[index] as number };
    });
    const found = queries.length === 0 ? [] : await router.listOffsets(queries, signal);
    const results: (number | OttlaError | undefined)[] = timestamps.map(() => undefined);
    asked.forEach((index, position) => {
      const result = found[position];
      results[index] = result instanceof OttlaError ? result : result?.offset;
    });
    return results;
  };
  const first = await ask(starts.map(({ at }) => ("offset" in at ? undefined : at.timestampMs)));
  const ends = await ask(first.map((offset) => (offset === -1 ? LATEST_TIMESTAMP : undefined)));
  return starts.map(({ at }, index) => {
    if ("offset" in at) return at.offset;
    return ends[index] ?? first[index] ?? new OttlaError("UNKNOWN_SERVER_ERROR", "no offset was found");
  });
}
