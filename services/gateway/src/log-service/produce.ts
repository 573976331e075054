import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ProduceRequest, ProduceResponseSchema } from "@ottla/proto/ottla/v1/log";
import { type CallContext, type MessageStream, rpcAttributes } from "@ottla/rpc";
import type { Span } from "@ottla/runtime";
import { ByteBudget } from "../byte-budget.ts";
import { checkAcks, checkPartition } from "../checks.ts";
import { errorFields } from "../public-error.ts";
import { refuseInternal } from "../topics.ts";
import {
  type AppendOptions,
  appendToPartition,
  checkExpectedEndOffset,
  DEFAULT_APPEND_TIMEOUT_MS,
  type PartitionAppend,
  preparePayload,
} from "./append.ts";

type ProduceStream = MessageStream<MessageInitShape<typeof ProduceResponseSchema>, ProduceRequest>;

export interface ProduceOptions extends AppendOptions {
  readonly maxUnansweredBytesPerStream: number;
}

/** What a request costs beyond its payload, so that a flood of empty ones is slowed too. */
const OVERHEAD_BYTES = 256;

/**
 * Serves `Produce`. Requests are taken in order, so that batches of one partition keep it; each is
 * answered by its correlation id when it is done. Unanswered bytes are bounded for the stream and for the
 * connection: beyond that nothing is read, which slows the client through the stream's own flow control.
 */
export async function serveProduce(
  options: ProduceOptions,
  stream: ProduceStream,
  context: CallContext,
): Promise<void> {
  await options.connections.withBudget(context.peer, async (ofConnection) => {
    const ofStream = new ByteBudget(options.maxUnansweredBytesPerStream);
    /**
     * The last answer of each partition that is under way: answers of one partition keep
     * the order, errors too.
     */
    const lastAnswers = new Map<string, Promise<void>>();
    for await (const request of stream.received) {
      const sizeBytes = costOf(request);
      // Both budgets, in the same order for every stream: none holds one while it waits
      // for what the other has.
      if (!(await ofStream.take(sizeBytes, context.signal))) return;
      if (!(await ofConnection.take(sizeBytes, context.signal))) return;
      const span = startSpan(options, request, context);
      const append = await prepare(options, request, span).catch((thrown: unknown) => errorFields(thrown));
      const key = `${request.partition}-${request.topic}`;
      const before = lastAnswers.get(key);
      const answered = answer(options, stream, { request, append, before, span }).finally(() => {
        if (lastAnswers.get(key) === answered) lastAnswers.delete(key);
        ofStream.give(sizeBytes);
        ofConnection.give(sizeBytes);
      });
      lastAnswers.set(key, answered);
    }
    await Promise.all(lastAnswers.values());
  });
}

type Failure = ReturnType<typeof errorFields>;

interface Answered {
  readonly request: ProduceRequest;
  readonly append: PartitionAppend | Failure;
  /** The answer that has to go first. */
  readonly before: Promise<void> | undefined;
  readonly span: Span | undefined;
}

async function answer(
  options: ProduceOptions,
  stream: ProduceStream,
  { request: { correlationId }, append, before, span }: Answered,
): Promise<void> {
  const outcome = await outcomeOf(options, append);
  span?.end(outcome?.case === "error" ? outcome.value.reason : undefined);
  await before;
  // A client that does not read its answers keeps its budget: nothing more of it is read meanwhile.
  if (!stream.send({ correlationId, outcome })) await stream.drained().catch(() => undefined);
}

async function outcomeOf(
  options: ProduceOptions,
  append: PartitionAppend | Failure,
): Promise<MessageInitShape<typeof ProduceResponseSchema>["outcome"]> {
  if ("reason" in append) return { case: "error", value: append };
  try {
    return { case: "result", value: await appendToPartition(options, append) };
  } catch (thrown) {
    return { case: "error", value: errorFields(thrown) };
  }
}

/** A request goes on with its own trace, or with that of its stream. */
function startSpan(
  { tracer }: ProduceOptions,
  { topic, partition, traceparent }: ProduceRequest,
  { method, metadata }: CallContext,
): Span | undefined {
  if (tracer === undefined) return undefined;
  return tracer.serve(method, traceparent === "" ? metadata.get("traceparent") : traceparent, {
    ...rpcAttributes(method),
    "messaging.destination.name": topic,
    "messaging.destination.partition.id": String(partition),
  });
}

async function prepare(
  options: ProduceOptions,
  request: ProduceRequest,
  span: Span | undefined,
): Promise<PartitionAppend> {
  const { topics, clock } = options;
  const acks = checkAcks(request.acks);
  const expectedEndOffset = checkExpectedEndOffset(request.expectedEndOffset);
  const known = topics.find(request.topic);
  const hasPartition = known !== undefined && request.partition < known.partitionCount;
  const topic = hasPartition ? known : await topics.get(request.topic, "topic", request.partition);
  refuseInternal(topic);
  const partition = checkPartition("partition", request.partition, topic.partitionCount, topic.name);
  const prepared = preparePayload(topic, request.payload, clock.now());
  return { topic, partition, prepared, acks, timeoutMs: DEFAULT_APPEND_TIMEOUT_MS, expectedEndOffset, span };
}

function costOf({ payload }: ProduceRequest): number {
  if (payload.case === "batch") return OVERHEAD_BYTES + payload.value.length;
  if (payload.case !== "records") return OVERHEAD_BYTES;
  let sizeBytes = OVERHEAD_BYTES;
  for (const { key, value } of payload.value.records)
    sizeBytes += 64 + (key?.length ?? 0) + (value?.length ?? 0);
  return sizeBytes;
}
