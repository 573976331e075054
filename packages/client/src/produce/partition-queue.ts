import { NOT_APPENDED, OttlaError } from "@ottla/errors";
import { addToSequence } from "@ottla/records";
import type { BatchIdentity } from "./batch-stamp.ts";
import type { ProducerBatch } from "./producer-batch.ts";

/** A producer id, as the server handed it out. */
export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** The largest batch that a topic takes, one for all its partitions; undefined while it is not known. */
export interface BatchSizeLimit {
  maxBytes: number | undefined;
}

export interface PartitionQueueOptions {
  readonly topic: string;
  readonly partition: number;
  readonly maxInFlight: number;
  readonly idempotent: boolean;
  readonly sizeLimit: BatchSizeLimit;
}

/** What follows from an answer. */
export type Verdict = "settled" | "retry" | "split";

/**
 * Errors that say that the server does not have the batch before: the sequence has a gap,
 * or its memory is lost.
 */
export const SEQUENCE_ERRORS: ReadonlySet<string> = new Set([
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
]);

/** Errors after which the producer id is of no use for the partition any more. */
const FENCING_ERRORS: ReadonlySet<string> = new Set(["INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED"]);

/**
 * The batches of one partition on their way: an open one, closed ones that wait, and
 * those in flight, all in order.
 *
 * Order and "once" hold like this. Batches are sent in order, at most `maxInFlight` unanswered; the first
 * one under a producer id goes alone until it is stored, because a server that does not know the producer
 * takes any sequence from it (KIP-360), also that of a batch whose predecessor it refused (R11).
 * When one comes back for another try, nothing more is sent until all in flight are answered;
 * then everything unacknowledged is sent again in order, under the same sequences, so that the
 * server recognises what it has (R11). When a batch is given up, the sequences after it have a
 * gap: the server refuses what follows, which proves that it was not stored, and only then (or
 * when nothing that follows was ever sent) does the partition go on under a new producer id.
 */
export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  readonly #maxInFlight: number;
  readonly #idempotent: boolean;
  open: ProducerBatch | undefined = undefined;
  /** Not sent again before this moment of the monotonic clock. */
  notBeforeMs = 0;
  readonly sizeLimit: BatchSizeLimit;
  #waiting: ProducerBatch[] = [];
  #inFlight: ProducerBatch[] = [];
  #recordsClosed = 0;
  #identity: ProducerIdentity | undefined = undefined;
  #hadIdentity = false;
  /** Some batch was stored under the producer id: the server holds what follows to the sequence. */
  #isKnown = false;
  #nextSequence = 0;
  /**
   * The first record of the last batch that was given up although it had a sequence:
   * those after it can only be stored under a new producer id.
   */
  #gapAt: number | undefined = undefined;
  /** Some batch waits for another try: nothing is sent until what is in flight came back. */
  #recovering = false;

  constructor(options: PartitionQueueOptions) {
    this.topic = options.topic;
    this.partition = options.partition;
    this.#maxInFlight = options.maxInFlight;
    this.#idempotent = options.idempotent;
    this.sizeLimit = options.sizeLimit;
  }

  get hasOutstanding(): boolean {
    return this.#waiting.length > 0 || this.#inFlight.length > 0;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  get #mostInFlight(): number {
    return this.#idempotent && !this.#isKnown ? 1 : this.#maxInFlight;
  }

  /** Whether one more closed batch would only wait. */
  get isBackedUp(): boolean {
    return this.#waiting.length > 0 || this.#inFlight.length >= this.#mostInFlight;
  }

  /**
   * Whether it never had a producer id: all partitions may begin with the same one, but none may begin twice.
   */
  get isNew(): boolean {
    return !this.#hadIdentity;
  }

  get needsIdentity(): boolean {
    return this.#idempotent && this.#identity === undefined;
  }

  setIdentity(identity: ProducerIdentity): void {
    this.#identity = identity;
    this.#hadIdentity = true;
    this.#isKnown = false;
    this.#nextSequence = 0;
  }

  outstanding(): ProducerBatch[] {
    return [...this.#inFlight, ...this.#waiting];
  }

  close(batch: ProducerBatch): void {
    this.open = undefined;
    batch.firstRecord = this.#recordsClosed;
    this.#recordsClosed += batch.recordCount;
    this.#waiting.push(batch);
  }

  /** Whether `next` would return a batch now. */
  maySend(nowMs: number): boolean {
    if (this.#waiting.length === 0 || this.#inFlight.length >= this.#mostInFlight) return false;
    if (this.#recovering && this.#inFlight.length > 0) return false;
    return nowMs >= this.notBeforeMs && !this.needsIdentity;
  }

  /**
   * The next batch to send with the identity to send it under; it is in flight from now
   * on. Call `maySend` first.
   */
  next(nowMs: number): { batch: ProducerBatch; identity: BatchIdentity | undefined } | undefined {
    const batch = this.#waiting.shift();
    if (batch === undefined) return undefined;
    this.#recovering = false;
    this.#inFlight.push(batch);
    batch.sentAtMs = nowMs;
    batch.attempts++;
    let identity = batch.identity;
    if (identity === undefined && this.#identity !== undefined) {
      identity = { ...this.#identity, baseSequence: this.#nextSequence };
      this.#nextSequence = addToSequence(this.#nextSequence, batch.recordCount);
    }
    return { batch, identity };
  }

  /** The server stored the batch. */
  stored(batch: ProducerBatch): void {
    this.#removeInFlight(batch);
    if (isOf(batch, this.#identity)) this.#isKnown = true;
    // That it was accepted proves that it and every batch before it was stored, also one that was given up.
    if (this.#gapAt !== undefined && batch.firstRecord >= this.#gapAt) this.#gapAt = undefined;
  }

  /** The server refused the batch. Says what to do; a batch that is "settled" has failed. */
  refused(batch: ProducerBatch, error: OttlaError): Verdict {
    this.#removeInFlight(batch);
    batch.lastError = error;
    if (saysNotStored(error)) batch.refusals++;
    if (error.code === "MESSAGE_TOO_LARGE")
      this.sizeLimit.maxBytes = limitOf(error) ?? this.sizeLimit.maxBytes;
    if (error.code === "MESSAGE_TOO_LARGE" && batch.recordCount > 1) {
      for (const piece of batch.split(this.sizeLimit.maxBytes)) this.#putBack(piece);
      return "split";
    }
    if (this.#idempotent && SEQUENCE_ERRORS.has(error.code)) return this.#sequenceRefused(batch, error);
    if (error.retriable) {
      // Whatever the error says, an earlier attempt or this one may still be stored: only the sequence tells.
      batch.outcomeUnknown = true;
      this.#putBack(batch);
      return "retry";
    }
    this.#giveUp(batch, error);
    if (FENCING_ERRORS.has(error.code)) this.#renewIdentity();
    return "settled";
  }

  /** The connection broke: all in flight go again, in order, ahead of what waits. */
  connectionLost(error: OttlaError): void {
    if (this.#inFlight.length === 0) return;
    for (const batch of this.#inFlight) {
      batch.outcomeUnknown = true;
      batch.lastError = error;
    }
    this.#waiting = [...this.#inFlight, ...this.#waiting].toSorted(byOrder);
    this.#inFlight = [];
    this.#recovering = false;
  }

  /** Fails and returns the batches that were created before `deadlineMs`. */
  expire(deadlineMs: number, describe: (batch: ProducerBatch) => OttlaError): ProducerBatch[] {
    const late = this.outstanding().filter((batch) => batch.createdAtMs <= deadlineMs);
    for (const batch of late) {
      this.#removeInFlight(batch);
      this.#waiting = this.#waiting.filter((other) => other !== batch);
      this.#giveUp(batch, describe(batch));
    }
    return late;
  }

  oldestSentAtMs(): number | undefined {
    return this.#inFlight[0]?.sentAtMs;
  }

  #sequenceRefused(batch: ProducerBatch, error: OttlaError): Verdict {
    const isOldest = this.outstanding().every((other) => other.firstRecord > batch.firstRecord);
    if (!isOldest) {
      // It only follows a batch that goes again: so does it. A known gap explains the
      // refusal: it is not stored.
      if (this.#gapAt !== undefined) batch.outcomeUnknown = false;
      this.#putBack(batch);
      this.#renewIfSafe();
      return "retry";
    }
    if (this.#gapAt !== undefined || !batch.outcomeUnknown) {
      // Proven not stored: the server wants the sequence of a batch that was given up, or
      // has forgotten the producer.
      batch.outcomeUnknown = false;
      this.#putBack(batch);
      this.#gapAt ??= batch.firstRecord;
      this.#renewIfSafe();
      return "retry";
    }
    // It may have been stored before the server lost the producer's state: sending it
    // under a new id could store it twice, so its sender has to decide.
    this.#giveUp(
      batch,
      new OttlaError(
        error.code,
        `${error.message}; an earlier attempt may have been stored, so it is not repeated under a new producer id`,
        { cause: error },
      ),
    );
    return "settled";
  }

  #giveUp(batch: ProducerBatch, error: OttlaError): void {
    if (batch.identity !== undefined) this.#gapAt = Math.max(this.#gapAt ?? 0, batch.firstRecord);
    batch.fail(error);
    this.#renewIfSafe();
  }

  /** A new producer id once nothing that waits can have been stored under the old one. */
  #renewIfSafe(): void {
    if (this.#gapAt === undefined || this.#inFlight.length > 0) return;
    if (this.#waiting.some((batch) => batch.identity !== undefined && batch.outcomeUnknown)) return;
    this.#renewIdentity();
  }

  #renewIdentity(): void {
    this.#identity = undefined;
    this.#gapAt = undefined;
    for (const batch of this.#waiting) batch.identity = undefined;
  }

  #putBack(batch: ProducerBatch): void {
    this.#recovering = true;
    this.#waiting.push(batch);
    this.#waiting.sort(byOrder);
  }

  #removeInFlight(batch: ProducerBatch): void {
    const index = this.#inFlight.indexOf(batch);
    if (index >= 0) this.#inFlight.splice(index, 1);
  }
}

/** One that was fenced may be answered after the next producer id has come. */
function isOf({ identity }: ProducerBatch, producer: ProducerIdentity | undefined): boolean {
  return identity?.producerId === producer?.producerId && identity?.producerEpoch === producer?.producerEpoch;
}

/** Other errors that may be tried again can come from a server that has the batch, such as a timeout. */
function saysNotStored(error: OttlaError): boolean {
  return !error.retriable || SEQUENCE_ERRORS.has(error.code) || error.metadata[NOT_APPENDED] === "true";
}

function limitOf(error: OttlaError): number | undefined {
  const limit = Number(error.metadata["limit"]);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : undefined;
}

function byOrder(a: ProducerBatch, b: ProducerBatch): number {
  return a.firstRecord - b.firstRecord;
}
