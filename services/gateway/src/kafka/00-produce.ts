/**
 * Produce (0), versions 3 to 12: appends one record batch to each partition named.
 *
 * - ApiVersions advertises it from version 0, because older librdkafka stops compressing otherwise;
 *   versions 0 to 2 (message formats before record batches) are refused by closing the connection.
 * - Requests of one connection are pipelined: batches of a partition reach its leader in
 *   the order of the requests, and answers leave in that order too.
 * - acks=0 has no answer. When such an append fails, the connection is closed, which is
 *   how Kafka tells the client.
 * - Batches are stored as they were sent, unless the topic's compression.type names
 *   another codec. zstd needs version 7.
 * - A retried batch of an idempotent producer is answered with its first offset.
 * - Records are looked at one by one only where the topic sets message.timestamp.before.max.ms or
 *   message.timestamp.after.max.ms to other than the default; `record_errors` then says which are refused.
 * - Where the gateway decodes or recompresses, a batch may decompress to 16 times
 *   max.message.bytes, 8 MiB at least.
 * - Of a batch that is not compressed, the number of its records and their lengths are checked.
 *
 * Deliberately not here: a look into every batch. Elsewhere record bodies are not decoded: a batch with a
 * right CRC and a broken body is acknowledged when it is compressed or when only the inside of a record is
 * broken, a record count that a compressed body does not bear out is not seen, and timestamps are checked
 * by the batch's header. Nor transactions. A request or a batch that belongs to one is refused with
 * TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client takes as final. `currentLeader`
 * hints (version 10) are left out: any gateway serves any partition, so there is no
 * better place to send a client to.
 */
import { type ErrorCode, OttlaError, toOttlaError } from "@ottla/errors";
import { produce, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { refuseInternal } from "../topics.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { CloseConnection, failureOf, type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import { hasPartition, type KafkaServices, knownTopic } from "./kafka-services.ts";
import { prepareProducedBatch } from "./produced-batch.ts";
import { RequestOrder } from "./request-order.ts";

type Request = RequestOf<typeof produce>;
type Response = ResponseOf<typeof produce>;
type PartitionResponse = Response["responses"][number]["partitionResponses"][number];
type PartitionData = Request["topicData"][number]["partitionData"][number];

const ACKS: ReadonlyMap<number, Acks> = new Map([
  [-1, Acks.ALL],
  [0, Acks.NONE],
  [1, Acks.LEADER],
]);
/** Refusals after which Kafka tells where the log begins. */
const ABOUT_CONTENTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "INVALID_TIMESTAMP",
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "INVALID_PRODUCER_EPOCH",
]);
const EARLIEST_TIMESTAMP = -2;
const ORDER = Symbol("the order of Produce requests");
const TRANSACTIONS_MESSAGE = "transactions are not served: produce without a transactional id";

interface ProduceTerms {
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly apiVersion: number;
  readonly traceparent: string | undefined;
}

export function produceHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: produce,
    versions: { min: 3, max: 12 },
    advertisedMin: 0,
    pipelined: true,
    handle: (request, context) => serveProduce(services, request, context),
    failure: (request, failure) => refuseAll(request, failure),
  });
}

async function serveProduce(
  services: KafkaServices,
  request: Request,
  context: KafkaRequestContext,
): Promise<Response | undefined> {
  const acks = ACKS.get(request.acks);
  if (acks === undefined) {
    return refuseAll(
      request,
      failureOf("INVALID_REQUIRED_ACKS", `acks: ${request.acks} is none of 0, 1, -1`),
    );
  }
  if (request.transactionalId !== null) {
    return answered(
      request,
      refuseAll(request, failureOf("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", TRANSACTIONS_MESSAGE)),
    );
  }
  const timeoutMs = Math.min(Math.max(0, request.timeoutMs), services.limits.maxWaitMs);
  const { apiVersion, span } = context;
  span?.set({ "messaging.destination.name": request.topicData.map(({ name }) => name).join(",") });
  const terms = { acks, timeoutMs, apiVersion, traceparent: span?.traceparent };
  const sizeBytes = sizeOf(request);
  const order = orderOf(context);
  // Whatever cannot begin at once must not be overtaken by the connection's next request.
  if (order.isFree && isReady(services, request) && services.produceBudget.tryTake(sizeBytes)) {
    return finish(services, request, sizeBytes, begin(services, request, terms));
  }
  const appends = await order.enter(async () => {
    if (!isReady(services, request)) await services.topics.refresh();
    if (!(await services.produceBudget.take(sizeBytes, context.signal))) {
      throw new OttlaError("CANCELLED", "the connection is gone");
    }
    return { started: begin(services, request, terms) };
  });
  return finish(services, request, sizeBytes, appends.started);
}

/** Starts all appends, in the order of the request, before it returns. */
function begin(services: KafkaServices, request: Request, terms: ProduceTerms): Promise<Response> {
  const responses = request.topicData.map(({ name, partitionData }) =>
    Promise.all(partitionData.map((data) => appendOne(services, name, data, terms))).then(
      (partitionResponses) => ({ name, partitionResponses }),
    ),
  );
  return Promise.all(responses).then((all) => ({ responses: all }));
}

async function finish(
  services: KafkaServices,
  request: Request,
  sizeBytes: number,
  started: Promise<Response>,
): Promise<Response | undefined> {
  try {
    return answered(request, await started);
  } finally {
    services.produceBudget.give(sizeBytes);
  }
}

async function appendOne(
  services: KafkaServices,
  name: string,
  data: PartitionData,
  terms: ProduceTerms,
): Promise<PartitionResponse> {
  const { router, topics, metrics, clock, failures } = services;
  const startedMs = clock.monotonic();
  try {
    const topic = knownTopic(topics, name);
    if (topic === undefined || !hasPartition(topic, data.index)) {
      throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} has no partition ${data.index}`);
    }
    refuseInternal(topic);
    const { batch, idempotent } = prepareProducedBatch(topic, data.records, {
      apiVersion: terms.apiVersion,
      nowMs: clock.now(),
    });
    const outcome = await router.append({
      topicId: topic.topicId,
      partition: data.index,
      batch,
      acks: terms.acks,
      timeoutMs: terms.timeoutMs,
      validated: true,
      idempotent,
      traceparent: terms.traceparent,
    });
    metrics.countAppended(name, batch.byteLength, clock.monotonic() - startedMs);
    return {
      index: data.index,
      errorCode: NO_ERROR,
      baseOffset: outcome.baseOffset,
      logAppendTimeMs: outcome.logAppendTimeMs,
      logStartOffset: outcome.logStartOffset,
    };
  } catch (thrown) {
    const error = toOttlaError(thrown);
    metrics.countFailedAppend(error.code);
    return {
      ...refused(data.index, failures.ofAppend(thrown, produce.name)),
      logStartOffset: await logStartAfter(services, name, data.index, error),
      recordErrors: recordErrorsOf(error),
    };
  }
}

/** The records that were refused one by one (KIP-467). */
function recordErrorsOf({ message, metadata }: OttlaError): PartitionResponse["recordErrors"] {
  const indexes = metadata["recordIndexes"];
  if (indexes === undefined) return [];
  return indexes
    .split(",")
    .map((batchIndex) => ({ batchIndex: Number(batchIndex), batchIndexErrorMessage: message }));
}

/** Where the log begins, for a batch that was refused for what it holds; -1 when that is not known. */
async function logStartAfter(
  { router, topics }: KafkaServices,
  name: string,
  partition: number,
  { code, metadata }: OttlaError,
): Promise<number> {
  const topic = knownTopic(topics, name);
  if (topic === undefined || !(ABOUT_CONTENTS.has(code) || metadata["recordIndexes"] !== undefined))
    return -1;
  try {
    const query = { topicId: topic.topicId, partition, timestampMs: EARLIEST_TIMESTAMP };
    const [found] = await router.listOffsets([query]);
    return found === undefined || found instanceof OttlaError ? -1 : found.offset;
  } catch {
    // The refusal is the answer; this is only a hint.
    return -1;
  }
}

function refused(index: number, { errorCode, errorMessage }: KafkaFailure): PartitionResponse {
  return { index, errorCode, baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1, errorMessage };
}

function refuseAll(request: Request, failure: KafkaFailure): Response {
  return {
    responses: request.topicData.map(({ name, partitionData }) => ({
      name,
      partitionResponses: partitionData.map(({ index }) => refused(index, failure)),
    })),
  };
}

/** With acks=0 there is no answer, and a failure closes the connection. */
function answered(request: Request, response: Response): Response | undefined {
  if (request.acks !== 0) return response;
  for (const { name, partitionResponses } of response.responses) {
    const failed = partitionResponses.find(({ errorCode }) => errorCode !== NO_ERROR);
    if (failed === undefined) continue;
    const reason = failed.errorMessage ?? `error ${failed.errorCode}`;
    throw new CloseConnection(
      new OttlaError("INVALID_REQUEST", `an append with acks=0 to ${name}-${failed.index} failed: ${reason}`),
    );
  }
  return undefined;
}

function isReady({ topics }: KafkaServices, request: Request): boolean {
  return request.topicData.every(({ name, partitionData }) => {
    const topic = knownTopic(topics, name);
    return topic !== undefined && partitionData.every(({ index }) => hasPartition(topic, index));
  });
}

function sizeOf(request: Request): number {
  let sizeBytes = 0;
  for (const { partitionData } of request.topicData) {
    for (const { records } of partitionData) sizeBytes += records?.byteLength ?? 0;
  }
  return sizeBytes;
}

function orderOf({ connection }: KafkaRequestContext): RequestOrder {
  const known = connection.attachments.get(ORDER);
  if (known instanceof RequestOrder) return known;
  const order = new RequestOrder();
  connection.attachments.set(ORDER, order);
  return order;
}
