import type { MessageInitShape } from "@bufbuild/protobuf";
import { NOT_APPENDED, OttlaError, toOttlaError } from "@ottla/errors";
import type {
  AppendAnswer,
  AppendEntrySchema,
  AppendRequestSchema,
  AppendResponse,
} from "@ottla/proto/ottla/internal/v1/storage";
import type { Acks } from "@ottla/proto/ottla/v1/record";
import type { ClientStream } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import { notAppended } from "./retry.ts";

type EntryInit = MessageInitShape<typeof AppendEntrySchema>;
type AppendCall = ClientStream<MessageInitShape<typeof AppendRequestSchema>, AppendResponse>;

/** One batch on its way to a leader, and who wants to know what became of it. */
export interface OutgoingAppend {
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly expectedEndOffset: number | undefined;
  readonly ownerEpoch: number | undefined;
  readonly beginsOwnership: boolean;
  readonly validated: boolean;
  readonly batch: Uint8Array;
  readonly traceparent: string | undefined;
  /** Nobody waits for it any more: it need not be sent. */
  readonly abandoned: boolean;
  /** From here on it may be stored. */
  onSent(): void;
  onAnswer(answer: AppendAnswer): void;
  /** The stream ended first. The error says NOT_APPENDED when the batch was never sent. */
  onLost(error: OttlaError): void;
}

export interface AppendStreamOptions {
  readonly nodeId: number;
  /** Throws where the node cannot be asked now. */
  readonly open: () => AppendCall;
  /** Whether the stream had brought anything when it ended. */
  readonly onEnded: (hadAnswers: boolean) => void;
  readonly clock: Clock;
  /** How many bytes may wait for credit. */
  readonly maxWaitingBytes: number;
  /** At most this many bytes of batches go into one message. */
  readonly maxMessageBytes: number;
}

/** A leader may be busy; one that says nothing for so long is not. */
const SILENCE_MS = 2_000;

/**
 * The one stream of appends to one storage node. Batches go out in the order they came,
 * all of one turn of the event loop in one message, within the credit in bytes that the
 * node grants; what exceeds it waits, and what exceeds the waiting room is refused with
 * THROTTLING_QUOTA_EXCEEDED. Opens itself when there is something to send.
 */
export class AppendStream {
  readonly #options: AppendStreamOptions;
  #call: AppendCall | undefined;
  #creditBytes = 0;
  #unansweredBytes = 0;
  #waiting: OutgoingAppend[] = [];
  #waitingBytes = 0;
  readonly #unanswered = new Map<bigint, OutgoingAppend>();
  #nextCorrelationId = 1n;
  #flushScheduled = false;
  #blocked = false;
  #lastAnswerMs = 0;
  #openedMs = 0;

  constructor(options: AppendStreamOptions) {
    this.#options = options;
  }

  get unansweredBytes(): number {
    return this.#unansweredBytes;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#unanswered.size === 0;
  }

  /** Throws THROTTLING_QUOTA_EXCEEDED when too much waits already. */
  enqueue(append: OutgoingAppend): void {
    const { maxWaitingBytes, nodeId } = this.#options;
    if (this.#waitingBytes > 0 && this.#waitingBytes + append.batch.length > maxWaitingBytes) {
      throw new OttlaError(
        "THROTTLING_QUOTA_EXCEEDED",
        `${maxWaitingBytes} bytes already wait for storage node ${nodeId}: slow down`,
        { metadata: { limit: String(maxWaitingBytes), [NOT_APPENDED]: "true" } },
      );
    }
    this.#waiting.push(append);
    this.#waitingBytes += append.batch.length;
    this.#scheduleFlush();
  }

  close(reason: OttlaError): void {
    const call = this.#call;
    this.#lose(reason);
    call?.cancel();
  }

  /**
   * An append sent at that time has had no answer, not even that it was too late; one without a time was not
   * sent, for want of credit. Where nothing else came since then either, or since the stream was opened that
   * has granted no credit at all, the node hangs, or the way to it does: another connection is tried.
   */
  missedAnswer(sentAtMs: number | undefined): void {
    if (this.#call === undefined || (sentAtMs === undefined && this.#creditBytes > 0)) return;
    const sinceMs = sentAtMs ?? this.#openedMs;
    const silentMs = this.#options.clock.monotonic() - Math.max(sinceMs, this.#lastAnswerMs);
    if (this.#lastAnswerMs > sinceMs || silentMs < SILENCE_MS) return;
    this.#options.onEnded(false);
    this.close(new OttlaError("NETWORK_EXCEPTION", `storage node ${this.#options.nodeId} does not answer`));
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#blocked) return;
    this.#flushScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    const call = this.#call ?? this.#tryToOpen();
    if (call === undefined) return;
    while (this.#call === call && !this.#blocked) {
      const message = this.#nextMessage();
      if (message === undefined) return;
      try {
        if (!call.send(message)) this.#block(call);
      } catch (thrown) {
        // A message that cannot be sent: nobody can tell which of its batches is to blame.
        this.close(toOttlaError(thrown));
      }
    }
  }

  /**
   * As much as credit and message size allow; always one batch when nothing is unanswered, whatever its size.
   */
  #nextMessage(): { entries: EntryInit[]; batches: Uint8Array[] } | undefined {
    const entries: EntryInit[] = [];
    const batches: Uint8Array[] = [];
    let messageBytes = 0;
    let taken = 0;
    for (const append of this.#waiting) {
      const sizeBytes = append.batch.length;
      if (append.abandoned) {
        this.#waitingBytes -= sizeBytes;
        taken += 1;
        continue;
      }
      const room = this.#unansweredBytes === 0 || this.#unansweredBytes + sizeBytes <= this.#creditBytes;
      if (this.#creditBytes === 0 || !room) break;
      if (batches.length > 0 && messageBytes + sizeBytes > this.#options.maxMessageBytes) break;
      const correlationId = this.#nextCorrelationId++;
      this.#unanswered.set(correlationId, append);
      this.#unansweredBytes += sizeBytes;
      messageBytes += sizeBytes;
      taken += 1;
      append.onSent();
      entries.push(entryOf(correlationId, append));
      batches.push(append.batch);
    }
    if (taken > 0) this.#waiting = this.#waiting.slice(taken);
    this.#waitingBytes -= messageBytes;
    return batches.length === 0 ? undefined : { entries, batches };
  }

  #block(call: AppendCall): void {
    this.#blocked = true;
    call.drained().then(
      () => {
        if (this.#call !== call) return;
        this.#blocked = false;
        this.#flush();
      },
      // The receiving loop sees the same failure and tells everybody.
      () => undefined,
    );
  }

  #tryToOpen(): AppendCall | undefined {
    try {
      const call = this.#options.open();
      this.#call = call;
      this.#openedMs = this.#options.clock.monotonic();
      void this.#receive(call);
      return call;
    } catch (thrown) {
      this.#lose(toOttlaError(thrown));
      return undefined;
    }
  }

  async #receive(call: AppendCall): Promise<void> {
    let hadAnswers = false;
    let reason = new OttlaError("NETWORK_EXCEPTION", `storage node ${this.#options.nodeId} ended the stream`);
    try {
      for await (const response of call.received) {
        hadAnswers = true;
        this.#lastAnswerMs = this.#options.clock.monotonic();
        if (response.creditBytes > 0n) this.#creditBytes = Number(response.creditBytes);
        for (const answer of response.answers) this.#answer(answer);
        if (this.#waiting.length > 0) this.#scheduleFlush();
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

  #answer(answer: AppendAnswer): void {
    const append = this.#unanswered.get(answer.correlationId);
    if (append === undefined) return;
    this.#unanswered.delete(answer.correlationId);
    this.#unansweredBytes -= append.batch.length;
    append.onAnswer(answer);
  }

  #lose(reason: OttlaError): void {
    const unanswered = [...this.#unanswered.values()];
    const waiting = this.#waiting;
    this.#call = undefined;
    this.#creditBytes = 0;
    this.#unansweredBytes = 0;
    this.#unanswered.clear();
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#blocked = false;
    for (const append of unanswered) append.onLost(reason);
    const unsent = notAppended(reason.code, reason.message);
    for (const append of waiting) append.onLost(unsent);
  }
}

function entryOf(correlationId: bigint, append: OutgoingAppend): EntryInit {
  return {
    correlationId,
    topicId: append.topicId,
    partition: append.partition,
    leaderEpoch: append.leaderEpoch,
    acks: append.acks,
    timeoutMs: Math.ceil(append.timeoutMs),
    validated: append.validated,
    ...(append.expectedEndOffset === undefined
      ? {}
      : { expectedEndOffset: BigInt(append.expectedEndOffset) }),
    ...(append.ownerEpoch === undefined
      ? {}
      : { ownerEpoch: BigInt(append.ownerEpoch), beginsOwnership: append.beginsOwnership }),
    ...(append.traceparent === undefined ? {} : { traceparent: append.traceparent }),
  };
}
