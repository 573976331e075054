import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type {
  FetchAnswerSchema,
  FetchEntry,
  FetchRequest,
  FetchResponseSchema,
} from "@ottla/proto/ottla/internal/v1/storage";
import type { MessageStream } from "@ottla/rpc";
import type { Clock, Span, Tracer } from "@ottla/runtime";
import type { LeaderLookup } from "./leader-lookup.ts";
import { type FetchResult, PendingFetch } from "./pending-fetch.ts";
import type { ReadableReplica } from "./readable-replica.ts";
import { errorFields, toStorageError } from "./refusals.ts";
import type { StorageMetrics } from "./storage-metrics.ts";

type AnswerInit = MessageInitShape<typeof FetchAnswerSchema>;

export interface FetchSessionOptions {
  readonly stream: MessageStream<MessageInitShape<typeof FetchResponseSchema>, FetchRequest>;
  readonly leaders: LeaderLookup;
  readonly clock: Clock;
  readonly metrics: StorageMetrics;
  /** How many reads of the log run at once; with `maxReadBytes` it bounds the memory of the stream. */
  readonly maxConcurrentReads: number;
  /** How many fetches one gateway may have open. */
  readonly maxOpenFetches: number;
  readonly tracer?: Tracer | undefined;
}

/** Answers of one turn are sent together, but no message grows much beyond this. */
const FLUSH_AT_BYTES = 4 * 1024 * 1024;

/**
 * One gateway's stream of fetches. Few reads run at once and none starts while the stream
 * is full, so that a gateway that reads slowly costs a bounded number of bytes.
 */
export class FetchSession {
  readonly #options: FetchSessionOptions;
  readonly #open = new Map<bigint, PendingFetch | "looking">();
  /** Of the fetches that are traced. */
  readonly #spans = new Map<bigint, Span>();
  readonly #readable: { correlationId: bigint; fetch: PendingFetch }[] = [];
  #reading = 0;
  #answers: AnswerInit[] = [];
  #batches: Uint8Array[] = [];
  #answerBytes = 0;
  #flushScheduled = false;
  #blocked = false;
  #ended = false;

  constructor(options: FetchSessionOptions) {
    this.#options = options;
  }

  /** Serves until the gateway ends its side; what still waits then has nobody to go to. */
  async run(): Promise<void> {
    try {
      for await (const request of this.#options.stream.received) this.#receive(request);
    } finally {
      this.#ended = true;
      for (const fetch of this.#open.values()) if (fetch !== "looking") fetch.cancel();
      this.#open.clear();
      for (const correlationId of this.#spans.keys()) this.#endSpan(correlationId, "CANCELLED");
      this.#readable.length = 0;
    }
  }

  #receive(request: FetchRequest): void {
    // In this order: a cancellation may be about an entry of the same message.
    for (const entry of request.entries) this.#start(entry);
    for (const correlationId of request.cancelled) {
      const fetch = this.#open.get(correlationId);
      this.#open.delete(correlationId);
      this.#endSpan(correlationId, "CANCELLED");
      if (fetch !== undefined && fetch !== "looking") fetch.cancel();
    }
  }

  #start(entry: FetchEntry): void {
    const { leaders, maxOpenFetches } = this.#options;
    if (this.#open.size >= maxOpenFetches) {
      const message = `${maxOpenFetches} fetches of one gateway are open already`;
      this.#fail(entry.correlationId, new OttlaError("THROTTLING_QUOTA_EXCEEDED", message));
      return;
    }
    const replica = entry.fromFollower
      ? leaders.findReadable(entry.topicId, entry.partition)
      : leaders.find(entry.topicId, entry.partition, entry.leaderEpoch);
    if (replica !== undefined) {
      this.#fetch(entry, replica);
      return;
    }
    if (entry.fromFollower) {
      const message = `this node has no replica of partition ${entry.partition} of topic id ${entry.topicId}`;
      this.#fail(entry.correlationId, new OttlaError("NOT_LEADER_OR_FOLLOWER", message));
      return;
    }
    this.#open.set(entry.correlationId, "looking");
    leaders.waitFor(entry.topicId, entry.partition, entry.leaderEpoch).then(
      (found) => {
        if (this.#open.has(entry.correlationId)) this.#fetch(entry, found);
      },
      (thrown: unknown) => this.#fail(entry.correlationId, toStorageError(thrown)),
    );
  }

  #fetch(entry: FetchEntry, replica: ReadableReplica): void {
    const { correlationId } = entry;
    const fetch = new PendingFetch({
      entry,
      replica,
      clock: this.#options.clock,
      onReadable: (readable) => {
        this.#readable.push({ correlationId, fetch: readable });
        this.#pump();
      },
      onFailed: (error) => this.#fail(correlationId, error),
    });
    this.#open.set(correlationId, fetch);
    if (entry.traceparent !== "") this.#trace(entry, correlationId);
    try {
      fetch.start();
    } catch (thrown) {
      this.#fail(correlationId, toStorageError(thrown));
    }
  }

  #pump(): void {
    while (!this.#blocked && !this.#ended && this.#reading < this.#options.maxConcurrentReads) {
      const next = this.#readable.shift();
      if (next === undefined) return;
      if (next.fetch.cancelled) continue;
      this.#reading += 1;
      void this.#read(next.correlationId, next.fetch);
    }
  }

  async #read(correlationId: bigint, fetch: PendingFetch): Promise<void> {
    try {
      const result = await fetch.read();
      if (result !== undefined && !fetch.cancelled) this.#answer(correlationId, result);
    } catch (thrown) {
      this.#fail(correlationId, toStorageError(thrown));
    } finally {
      this.#reading -= 1;
      this.#pump();
    }
  }

  #answer(correlationId: bigint, result: FetchResult): void {
    if (!this.#open.delete(correlationId)) return;
    const { offsets, chunks, sizeBytes } = result;
    this.#spans.get(correlationId)?.set({ "messaging.message.envelope.size": sizeBytes });
    this.#endSpan(correlationId);
    this.#options.metrics.countFetched(sizeBytes);
    this.#batches.push(...chunks);
    this.#answerBytes += sizeBytes;
    this.#answers.push({
      correlationId,
      highWatermark: BigInt(offsets.highWatermark),
      logStartOffset: BigInt(offsets.logStartOffset),
      // Without transactions every visible record is stable.
      lastStableOffset: BigInt(offsets.highWatermark),
      leaderEpoch: offsets.leaderEpoch,
      nextOffset: BigInt(result.nextOffset),
      chunkCount: chunks.length,
      endUnknown: offsets.endUnknown,
    });
    this.#scheduleFlush();
  }

  #fail(correlationId: bigint, error: OttlaError): void {
    this.#open.delete(correlationId);
    this.#endSpan(correlationId, error.code);
    if (this.#ended) return;
    this.#answers.push({ correlationId, error: errorFields(error) });
    this.#scheduleFlush();
  }

  #trace({ topicId, partition, traceparent, offset }: FetchEntry, correlationId: bigint): void {
    const span = this.#options.tracer?.serve("fetch", traceparent, {
      "messaging.destination.partition.id": String(partition),
      "messaging.ottla.offset": Number(offset),
      "ottla.topic.id": topicId,
    });
    if (span !== undefined) this.#spans.set(correlationId, span);
  }

  #endSpan(correlationId: bigint, errorCode?: string): void {
    if (this.#spans.size === 0) return;
    this.#spans.get(correlationId)?.end(errorCode);
    this.#spans.delete(correlationId);
  }

  #scheduleFlush(): void {
    if (this.#blocked) return;
    if (this.#answerBytes >= FLUSH_AT_BYTES) {
      this.#flush();
      return;
    }
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#answers.length === 0 || this.#blocked || this.#ended) return;
    const message = { answers: this.#answers, batches: this.#batches };
    this.#answers = [];
    this.#batches = [];
    this.#answerBytes = 0;
    if (this.#options.stream.send(message)) return;
    this.#blocked = true;
    this.#options.stream.drained().then(
      () => {
        this.#blocked = false;
        this.#flush();
        this.#pump();
      },
      // The loop over `received` fails with the same error and ends the session.
      () => undefined,
    );
  }
}
