import { type ErrorCode, OttlaError, toOttlaError } from "@ottla/errors";
import type { FetchOutcome, PartitionRouter } from "@ottla/routing";
import type { Clock, Tracer } from "@ottla/runtime";
import type { Topic } from "../topics.ts";
import { tracedFetch } from "../traced-fetch.ts";

/** Something that a partition has for its reader. */
export interface ReaderItem {
  readonly reader: PartitionReader;
  /** The offset that was asked for. */
  readonly fromOffset: number;
  readonly outcome: FetchOutcome | OttlaError;
  /** The reader has reached the high watermark for the first time. */
  readonly caughtUp: boolean;
}

export interface PartitionReaderOptions {
  readonly topic: Topic;
  readonly partition: number;
  readonly offset: number;
  readonly router: PartitionRouter;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly tracer: Tracer | undefined;
  /** The stream that it reads for, and its caller's trace. */
  readonly method: string;
  readonly traceparent: string | undefined;
  /** Takes the item, or refuses it because too much waits for the client: the reader then pauses. */
  readonly onItem: (item: ReaderItem) => boolean;
}

/** These end a partition's reading; anything else that is retriable is waited out. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["CORRUPT_MESSAGE", "UNKNOWN_TOPIC_OR_PARTITION"]);

const LONG_POLL_MS = 30_000;
const RETRY_MS = 200;

/** Follows one partition: one fetch at a time, each waiting at the leader once the end is reached. */
export class PartitionReader {
  readonly topic: Topic;
  readonly partition: number;
  readonly #options: PartitionReaderOptions;
  #offset: number;
  #highWatermark = -1;
  #caughtUp = false;
  #fetching = false;
  #ended = false;

  constructor(options: PartitionReaderOptions) {
    this.topic = options.topic;
    this.partition = options.partition;
    this.#options = options;
    this.#offset = options.offset;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Its fetches wait at the leader for what arrives. */
  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  /** Starts the next fetch unless one is under way. */
  fetch(maxBytes: number): void {
    if (this.#fetching || this.#ended || this.#options.signal.aborted) return;
    this.#fetching = true;
    void this.#fetch(maxBytes);
  }

  async #fetch(maxBytes: number): Promise<void> {
    for (;;) {
      const item = await this.#fetchOnce(maxBytes);
      if (item === undefined) continue;
      this.#fetching = false;
      if (this.#options.signal.aborted) return;
      const before = { offset: this.#offset, caughtUp: this.#caughtUp };
      if (item.outcome instanceof OttlaError) this.#ended = true;
      else this.#offset = item.outcome.nextOffset;
      this.#caughtUp ||= item.caughtUp;
      if (this.#options.onItem(item)) return;
      // Refused: as if it had not been fetched.
      this.#offset = before.offset;
      this.#caughtUp = before.caughtUp;
      this.#ended = false;
      return;
    }
  }

  /** Undefined when there is nothing to tell the client. */
  async #fetchOnce(maxBytes: number): Promise<ReaderItem | undefined> {
    const { clock, signal } = this.#options;
    const fromOffset = this.#offset;
    try {
      const fetched = await tracedFetch(
        { ...this.#options, topic: this.topic.name },
        {
          topicId: this.topic.topicId,
          partition: this.partition,
          offset: fromOffset,
          maxBytes,
          minBytes: 1,
          // Until the end is reached nothing waits, so that the client learns where it is.
          maxWaitMs: this.#caughtUp ? LONG_POLL_MS : 0,
          // While leaders change the reader has nothing better to do than to wait for the next one.
          retryMs: LONG_POLL_MS,
          signal,
        },
      );
      // A follower and a new leader may know of less: for the reader it never moves back (R4).
      this.#highWatermark = Math.max(this.#highWatermark, fetched.highWatermark);
      const outcome = { ...fetched, highWatermark: this.#highWatermark };
      const isAtEnd = outcome.nextOffset >= outcome.highWatermark && !fetched.endUnknown;
      const caughtUp = !this.#caughtUp && isAtEnd;
      const empty = outcome.sizeBytes === 0 && outcome.nextOffset === fromOffset;
      if (!empty || caughtUp) return { reader: this, fromOffset, outcome, caughtUp };
      // Behind the high watermark with nothing to read: a new leader has not reached it yet (R5).
      if (!this.#caughtUp) await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      return signal.aborted ? { reader: this, fromOffset, outcome, caughtUp } : undefined;
    } catch (thrown) {
      const error = toOttlaError(thrown);
      const final = FINAL.has(error.code) || !error.retriable || signal.aborted;
      if (final) return { reader: this, fromOffset, outcome: error, caughtUp: false };
      await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      return undefined;
    }
  }
}
