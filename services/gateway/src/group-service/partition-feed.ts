import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError, toOttlaError } from "@ottla/errors";
import type { ReadResponseSchema } from "@ottla/proto/ottla/v1/log";
import {
  EARLIEST_TIMESTAMP,
  type FetchOutcome,
  LATEST_TIMESTAMP,
  type PartitionRouter,
} from "@ottla/routing";
import type { Clock, Tracer } from "@ottla/runtime";
import type { ByteBudget } from "../byte-budget.ts";
import { joinChunks, sliceRecords } from "../log-service/record-slices.ts";
import { tracedFetch } from "../traced-fetch.ts";
import type { MemberPartition } from "./group-member.ts";

export interface PartitionFeedOptions {
  readonly place: MemberPartition;
  readonly router: PartitionRouter;
  readonly clock: Clock;
  readonly tracer: Tracer | undefined;
  readonly format: "records" | "batches";
  readonly maxBytes: number;
  /** Where to go on when there is no offset, or none any more. */
  readonly start: "earliest" | "latest";
  /** Bytes of records that the client has not acknowledged, over all its partitions. */
  readonly unacknowledged: ByteBudget;
  readonly send: (message: MessageInitShape<typeof ReadResponseSchema>) => Promise<void>;
  readonly onSent: (sizeBytes: number) => void;
}

interface Sent {
  readonly nextOffset: number;
  readonly sizeBytes: number;
}

const LONG_POLL_MS = 30_000;
const RETRY_MS = 200;

/** The records of one partition on their way to a member: fetched, sent, acknowledged. */
export class PartitionFeed {
  readonly place: MemberPartition;
  readonly #options: PartitionFeedOptions;
  readonly #stopping = new AbortController();
  /** Sent and not acknowledged, in their order. */
  readonly #sent: Sent[] = [];
  #offset = -1;
  /** Up to where the client may have had records. */
  #highest = -1;
  /** What the group goes on from does not go back; -1 when it has no offset. */
  #acknowledged = -1;

  constructor(options: PartitionFeedOptions) {
    this.#options = options;
    this.place = options.place;
  }

  /** All that was sent is acknowledged. */
  get isDone(): boolean {
    return this.#sent.length === 0;
  }

  /** Of the next record; -1 before it is known where the feed begins. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Finds where the feed begins: at the offset, or at its start where that is -1. False when it was stopped
   * before that was known.
   */
  async seek(committed: number, signal: AbortSignal): Promise<boolean> {
    this.#acknowledged = committed;
    const ended = AbortSignal.any([signal, this.#stopping.signal]);
    try {
      this.#moveTo(committed >= 0 ? committed : await this.#startOffset(ended));
    } catch (thrown) {
      if (!this.#stopping.signal.aborted) throw thrown;
    }
    return !this.#stopping.signal.aborted;
  }

  /** Sends records until it is stopped; throws what ends the stream. */
  async run(signal: AbortSignal): Promise<void> {
    const ended = AbortSignal.any([signal, this.#stopping.signal]);
    while (!ended.aborted) {
      try {
        const fetched = await this.#fetch(ended);
        if (fetched.sizeBytes > 0) await this.#send(fetched, ended);
        this.#moveTo(Math.max(this.#offset, fetched.nextOffset));
      } catch (thrown) {
        if (ended.aborted) return;
        await this.#recover(toOttlaError(thrown), ended);
      }
    }
  }

  /** No more records are sent. */
  stop(): void {
    this.#stopping.abort();
  }

  /** Says whether that is new; throws where the client cannot have had the records. */
  acknowledge(nextOffset: number): boolean {
    if (nextOffset > this.#highest) {
      const { topic, partition } = this.place;
      const ends = `what was sent, which ends at ${this.#highest}`;
      const reason = `${nextOffset} of ${topic}-${partition} is beyond ${ends}`;
      throw invalidRequest("acknowledge.next_offset", reason, this.#highest);
    }
    let first = this.#sent[0];
    while (first !== undefined && first.nextOffset <= nextOffset) {
      this.#options.unacknowledged.give(first.sizeBytes);
      this.#sent.shift();
      first = this.#sent[0];
    }
    // Beyond the offset: of a log that has lost its end since.
    if (nextOffset <= this.#acknowledged || nextOffset > this.#offset) return false;
    this.#acknowledged = nextOffset;
    return true;
  }

  /** The client will acknowledge no more. */
  forget(): void {
    this.stop();
    for (const { sizeBytes } of this.#sent.splice(0)) this.#options.unacknowledged.give(sizeBytes);
  }

  #fetch(signal: AbortSignal): Promise<FetchOutcome> {
    const { router, maxBytes, tracer } = this.#options;
    const { topic, topicId, partition } = this.place;
    const wanted = { topicId, partition, offset: this.#offset, maxBytes, minBytes: 1, signal };
    const method = "ottla.v1.GroupService/Consume";
    return tracedFetch(
      { router, tracer, method, topic, traceparent: undefined },
      { ...wanted, maxWaitMs: LONG_POLL_MS, retryMs: LONG_POLL_MS },
    );
  }

  async #send({ chunks, sizeBytes, ...fetched }: FetchOutcome, signal: AbortSignal): Promise<void> {
    const { format, maxBytes, clock, send, unacknowledged, onSent } = this.#options;
    if (!(await unacknowledged.take(sizeBytes, signal))) return;
    const { topic, partition } = this.place;
    const { nextOffset } = fetched;
    const fromOffset = this.#offset;
    this.#moveTo(nextOffset);
    this.#sent.push({ nextOffset, sizeBytes });
    onSent(sizeBytes);
    const positions = {
      topic,
      partition,
      highWatermark: BigInt(fetched.highWatermark),
      logStartOffset: BigInt(fetched.logStartOffset),
    };
    const batches = joinChunks(chunks, sizeBytes);
    if (format === "batches") {
      await send({ ...positions, batches, nextOffset: BigInt(nextOffset) });
      return;
    }
    for await (const slice of sliceRecords(batches, { fromOffset, nextOffset, maxBytes, clock, signal })) {
      const more = { records: [...slice.records], nextOffset: BigInt(slice.nextOffset) };
      await send({ ...positions, ...more });
    }
  }

  #moveTo(offset: number): void {
    this.#offset = offset;
    this.#highest = Math.max(this.#highest, offset);
  }

  async #recover(error: OttlaError, signal: AbortSignal): Promise<void> {
    if (error.code === "OFFSET_OUT_OF_RANGE") {
      this.#moveTo(await this.#startOffset(signal));
      // The log does not reach that far any more: what comes now is to be kept.
      this.#acknowledged = Math.min(this.#acknowledged, this.#offset);
      return;
    }
    if (!error.retriable) throw error;
    await this.#options.clock.sleep(RETRY_MS, signal).catch(() => undefined);
  }

  async #startOffset(signal: AbortSignal): Promise<number> {
    const { router, clock, start } = this.#options;
    const { topicId, partition } = this.place;
    const timestampMs = start === "earliest" ? EARLIEST_TIMESTAMP : LATEST_TIMESTAMP;
    for (;;) {
      const [found] = await router.listOffsets([{ topicId, partition, timestampMs }], signal);
      if (found !== undefined && !(found instanceof OttlaError)) return found.offset;
      if (found?.retriable === false) throw found;
      signal.throwIfAborted();
      await clock.sleep(RETRY_MS, signal);
    }
  }
}
