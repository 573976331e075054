import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError, toOttlaError } from "@ottla/errors";
import type {
  FetchAnswer,
  FetchEntrySchema,
  FetchRequestSchema,
  FetchResponse,
} from "@ottla/proto/ottla/internal/v1/storage";
import type { ClientStream } from "@ottla/rpc";
import type { Clock, Timer } from "@ottla/runtime";
import { fromErrorMessage } from "./retry.ts";

type FetchCall = ClientStream<MessageInitShape<typeof FetchRequestSchema>, FetchResponse>;

/** What to read from one partition; the leader epoch is the router's business. */
export interface FetchQuery {
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly offset: number;
  readonly maxBytes: number;
  readonly minBytes: number;
  readonly maxWaitMs: number;
  /** The node is a follower, and is to answer with what it knows to be committed (KIP-392). */
  readonly fromFollower?: boolean;
  readonly traceparent?: string | undefined;
}

/** What a leader answered. The chunks are whole record batches that may be split anywhere. */
export interface FetchOutcome {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  readonly nextOffset: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly lastStableOffset: number;
  readonly leaderEpoch: number;
  /** A follower answered, or a new leader: neither may know yet all that is committed (R5). */
  readonly endUnknown: boolean;
}

interface PendingFetch {
  readonly query: FetchQuery;
  /** When it is to be answered at the latest. */
  readonly dueMs: number;
  resolve(outcome: FetchOutcome): void;
  reject(error: OttlaError): void;
}

export interface FetchStreamOptions {
  readonly nodeId: number;
  /** Throws where the node cannot be asked now. */
  readonly open: () => FetchCall;
  /** Whether the stream had brought anything when it ended. */
  readonly onEnded: (hadAnswers: boolean) => void;
  readonly clock: Clock;
}

/**
 * Nothing has come for so long, though a fetch was due before: the node, or the way to it, is not there any
 * more. Fetches wait for records, so a stream may be silent for as long as they do.
 */
const SILENCE_MS = 5_000;

/** The one stream of fetches to one storage node. Answers come as data arrives, in any order. */
export class FetchStream {
  readonly #options: FetchStreamOptions;
  #call: FetchCall | undefined;
  readonly #pending = new Map<bigint, PendingFetch>();
  #nextCorrelationId = 1n;
  /** By correlation id; in the order in which they came. */
  #unsent = new Map<bigint, MessageInitShape<typeof FetchEntrySchema>>();
  #cancelled: bigint[] = [];
  #flushScheduled = false;
  #lastAnswerMs = 0;
  /** There is one while fetches wait. */
  #look: Timer | undefined;

  constructor(options: FetchStreamOptions) {
    this.#options = options;
  }

  /**
   * Rejects with the leader's error, with NETWORK_EXCEPTION when the stream breaks, with
   * CANCELLED by the signal.
   */
  fetch(query: FetchQuery, signal?: AbortSignal): Promise<FetchOutcome> {
    const correlationId = this.#nextCorrelationId++;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (!this.#takeBack(correlationId)) return;
        reject(new OttlaError("CANCELLED", "the fetch was cancelled"));
      };
      if (signal?.aborted === true) {
        reject(new OttlaError("CANCELLED", "the fetch was cancelled"));
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      const forget = (): void => signal?.removeEventListener("abort", onAbort);
      this.#pending.set(correlationId, {
        query,
        dueMs: this.#options.clock.monotonic() + query.maxWaitMs,
        resolve: (outcome) => {
          forget();
          resolve(outcome);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      });
      this.#unsent.set(correlationId, {
        correlationId,
        topicId: query.topicId,
        partition: query.partition,
        leaderEpoch: query.leaderEpoch,
        offset: BigInt(query.offset),
        // Shares of a limit may be fractions, which travel within a process but not between two.
        maxBytes: Math.ceil(query.maxBytes),
        minBytes: Math.ceil(query.minBytes),
        maxWaitMs: query.maxWaitMs,
        ...(query.fromFollower === true ? { fromFollower: true } : {}),
        ...(query.traceparent === undefined ? {} : { traceparent: query.traceparent }),
      });
      this.#scheduleFlush();
      this.#look ??= this.#lookLater();
    });
  }

  /** Fails the fetches that `isStale` says are at the wrong node, and calls them back. */
  failStale(isStale: (query: FetchQuery) => boolean): void {
    for (const [correlationId, pending] of this.#pending) {
      if (!isStale(pending.query)) continue;
      this.#takeBack(correlationId);
      pending.reject(new OttlaError("NOT_LEADER_OR_FOLLOWER", "the leader changed before it answered"));
    }
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  close(reason: OttlaError): void {
    this.#look?.cancel();
    this.#look = undefined;
    const call = this.#call;
    this.#lose(reason);
    call?.cancel();
  }

  /** False when the fetch was answered already. */
  #takeBack(correlationId: bigint): boolean {
    if (!this.#pending.delete(correlationId)) return false;
    // What the node has not heard of needs no taking back.
    if (this.#unsent.delete(correlationId)) return true;
    this.#cancelled.push(correlationId);
    this.#scheduleFlush();
    return true;
  }

  #lookLater(): Timer | undefined {
    if (this.#pending.size === 0) return undefined;
    const look = (): void => {
      this.#endIfSilent();
      this.#look = this.#lookLater();
    };
    return this.#options.clock.setTimer(SILENCE_MS, look, { background: true });
  }

  #endIfSilent(): void {
    const silentSinceMs = this.#options.clock.monotonic() - SILENCE_MS;
    if (this.#lastAnswerMs > silentSinceMs) return;
    const isOverdue = this.#pending.values().some(({ dueMs }) => dueMs <= silentSinceMs);
    if (!isOverdue) return;
    const { nodeId, onEnded } = this.#options;
    onEnded(false);
    this.close(
      new OttlaError("NETWORK_EXCEPTION", `storage node ${nodeId} has not answered fetches in their time`),
    );
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#unsent.size === 0 && (this.#cancelled.length === 0 || this.#call === undefined)) {
      this.#cancelled = [];
      return;
    }
    const message = { entries: [...this.#unsent.values()], cancelled: this.#cancelled };
    this.#unsent = new Map();
    this.#cancelled = [];
    try {
      // Requests are small, and as many as the callers that wait: the stream's own bound is not needed here.
      (this.#call ?? this.#tryToOpen())?.send(message);
    } catch (thrown) {
      this.close(toOttlaError(thrown));
    }
  }

  #tryToOpen(): FetchCall | undefined {
    try {
      const call = this.#options.open();
      this.#call = call;
      void this.#receive(call);
      return call;
    } catch (thrown) {
      this.#lose(toOttlaError(thrown));
      return undefined;
    }
  }

  async #receive(call: FetchCall): Promise<void> {
    let hadAnswers = false;
    let reason = new OttlaError("NETWORK_EXCEPTION", `storage node ${this.#options.nodeId} ended the stream`);
    try {
      for await (const response of call.received) {
        hadAnswers = true;
        this.#lastAnswerMs = this.#options.clock.monotonic();
        this.#dispatch(response);
      }
    } catch (thrown) {
      const cause = toOttlaError(thrown);
      reason = new OttlaError(
        "NETWORK_EXCEPTION",
        `the stream to storage node ${this.#options.nodeId} broke: ${cause.message}`,
        { cause },
      );
    }
    if (this.#call !== call) return;
    this.#options.onEnded(hadAnswers);
    this.#lose(reason);
  }

  #dispatch(response: FetchResponse): void {
    let position = 0;
    for (const answer of response.answers) {
      const chunks = response.batches.slice(position, position + answer.chunkCount);
      position += answer.chunkCount;
      const pending = this.#pending.get(answer.correlationId);
      if (pending === undefined) continue;
      this.#pending.delete(answer.correlationId);
      if (answer.error === undefined) pending.resolve(outcomeOf(answer, chunks, pending.query));
      else pending.reject(fromErrorMessage(answer.error));
    }
  }

  #lose(reason: OttlaError): void {
    const pending = [...this.#pending.values()];
    this.#call = undefined;
    this.#pending.clear();
    this.#unsent = new Map();
    this.#cancelled = [];
    for (const fetch of pending) fetch.reject(reason);
  }
}

function outcomeOf(answer: FetchAnswer, chunks: readonly Uint8Array[], query: FetchQuery): FetchOutcome {
  return {
    chunks,
    sizeBytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    nextOffset: Number(answer.nextOffset),
    highWatermark: Number(answer.highWatermark),
    logStartOffset: Number(answer.logStartOffset),
    lastStableOffset: Number(answer.lastStableOffset),
    leaderEpoch: answer.leaderEpoch,
    endUnknown: answer.endUnknown || query.fromFollower === true,
  };
}
