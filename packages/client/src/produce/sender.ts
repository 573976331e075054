import { OttlaError, toOttlaError } from "@ottla/errors";
import type { ProduceResponse } from "@ottla/proto/ottla/v1/log";
import type { Acks, Error as WireError } from "@ottla/proto/ottla/v1/record";
import { errorFromMessage } from "@ottla/rpc";
import type { Clock, Random, Timer } from "@ottla/runtime";
import { Backoff } from "../backoff.ts";
import { type PartitionQueue, type ProducerIdentity, SEQUENCE_ERRORS } from "./partition-queue.ts";
import { ProduceConnection, type ProduceStream } from "./produce-connection.ts";
import type { BatchFate, ProducerBatch } from "./producer-batch.ts";

export interface SenderOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly acks: Acks;
  readonly deliveryTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly openStream: () => ProduceStream;
  /** Asks the server for a new producer id. */
  readonly initProducer: () => Promise<ProducerIdentity>;
  /** The server does not know a topic that it knew before. */
  readonly onUnknownTopic: (topic: string) => void;
  /** A batch of the queue left: it may have room for another. */
  readonly onRoom: (queue: PartitionQueue) => void;
  readonly onConnectionLost: (error: OttlaError) => void;
  /** The server refused a batch that is tried again. */
  readonly onRefused: (refusal: Refusal) => void;
}

/** A server's refusal of a batch, with its own reason. */
export interface Refusal {
  readonly topic: string;
  readonly partition: number;
  readonly error: OttlaError;
}

interface InFlight {
  readonly queue: PartitionQueue;
  readonly batch: ProducerBatch;
}

const RETRY_DELAY_MS = 100;

/** Errors of a whole stream or of InitProducer that trying again does not cure. */
const HOPELESS: ReadonlySet<string> = new Set([
  "UNIMPLEMENTED",
  "UNSUPPORTED_VERSION",
  "UNAUTHENTICATED",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "INVALID_REQUEST",
]);

/**
 * Sends closed batches, matches answers, tries again what may be tried again, and gives up what is too late.
 */
export class Sender {
  readonly #options: SenderOptions;
  readonly #connection: ProduceConnection;
  readonly #inFlight = new Map<bigint, InFlight>();
  /** Queues that may have something to send now. */
  readonly #ready = new Set<PartitionQueue>();
  /** Queues with any batch that is closed and not settled. */
  readonly #outstanding = new Set<PartitionQueue>();
  readonly #identityBackoff: Backoff;
  #nextCorrelationId = 1n;
  #sweep: Timer | undefined;
  #firstIdentity: ProducerIdentity | undefined;
  #identityWanted: PartitionQueue[] = [];
  #closed = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#identityBackoff = new Backoff({ firstDelayMs: 50, maxDelayMs: 1000, random: options.random });
    this.#connection = new ProduceConnection({
      clock: options.clock,
      random: options.random,
      open: options.openStream,
      onAnswer: (answer) => this.#answered(answer),
      onLost: (error) => this.#connectionLost(error),
      onWritable: () => this.drain(),
    });
  }

  /** All batches that are closed and not settled. */
  outstanding(): ProducerBatch[] {
    return [...this.#outstanding].flatMap((queue) => queue.outstanding());
  }

  /** A batch of this queue was closed. */
  closed(queue: PartitionQueue): void {
    this.#outstanding.add(queue);
    this.#ready.add(queue);
    this.#startSweep();
    this.drain();
  }

  /** Sends as much as partitions and connection take, one batch of each partition at a time. */
  drain(): void {
    let progress = true;
    while (progress && this.#connection.writable) {
      progress = false;
      for (const queue of this.#ready) {
        if (!this.#connection.writable) return;
        if (queue.needsIdentity && queue.hasWaiting) this.#provideIdentity(queue);
        if (queue.maySend(this.#options.clock.monotonic())) {
          this.#send(queue);
          progress = true;
        } else {
          this.#ready.delete(queue);
        }
      }
    }
  }

  /** Fails everything that is not settled. */
  failAll(error: OttlaError, topic?: string): void {
    for (const queue of this.#outstanding) {
      if (topic === undefined || queue.topic === topic) this.#expire(queue, Infinity, () => error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#connection.close();
  }

  abandon(error: OttlaError): void {
    this.#closed = true;
    this.failAll(error);
    this.#sweep?.cancel();
    this.#connection.abandon();
  }

  #send(queue: PartitionQueue): void {
    const next = queue.next(this.#options.clock.monotonic());
    if (next === undefined) return;
    const { batch, identity } = next;
    let bytes: Uint8Array;
    try {
      bytes = batch.encode(identity);
    } catch (thrown) {
      queue.refused(batch, toOttlaError(thrown));
      this.#moved(queue);
      return;
    }
    const correlationId = this.#nextCorrelationId++;
    this.#inFlight.set(correlationId, { queue, batch });
    this.#connection.send({
      correlationId,
      topic: batch.topic,
      partition: batch.partition,
      acks: this.#options.acks,
      payload: { case: "batch", value: bytes },
      ...(batch.traceparent === undefined ? {} : { traceparent: batch.traceparent }),
    });
  }

  #answered(answer: ProduceResponse): void {
    const sent = this.#inFlight.get(answer.correlationId);
    if (sent === undefined) return;
    this.#inFlight.delete(answer.correlationId);
    const { queue, batch } = sent;
    if (answer.outcome.case === "result") {
      const { baseOffset, logAppendTimeMs } = answer.outcome.value;
      queue.stored(batch);
      batch.succeed(baseOffset, logAppendTimeMs);
    } else {
      this.#refused(queue, batch, answer.outcome.value);
    }
    this.#moved(queue);
    this.drain();
  }

  #refused(queue: PartitionQueue, batch: ProducerBatch, wireError: WireError | undefined): void {
    // One that was given up in the meantime is no longer anybody's.
    if (batch.settled) return;
    const error = errorOf(wireError);
    if (error.code === "DUPLICATE_SEQUENCE_NUMBER") {
      queue.stored(batch);
      batch.succeed(-1n, undefined);
      return;
    }
    const verdict = queue.refused(batch, error);
    if (verdict !== "retry") return;
    if (error.code === "UNKNOWN_TOPIC_OR_PARTITION") this.#options.onUnknownTopic(queue.topic);
    const { clock, onRefused } = this.#options;
    // A sequence that does not follow is the consequence of an earlier refusal.
    if (!SEQUENCE_ERRORS.has(error.code)) {
      onRefused({ topic: queue.topic, partition: queue.partition, error });
    }
    queue.notBeforeMs = clock.monotonic() + RETRY_DELAY_MS;
    clock.setTimer(RETRY_DELAY_MS + 1, () => {
      this.#ready.add(queue);
      this.drain();
    });
  }

  /** Something of this queue was answered: it may send more, or be done. */
  #moved(queue: PartitionQueue): void {
    if (queue.hasWaiting) this.#ready.add(queue);
    else if (!queue.hasOutstanding) this.#outstanding.delete(queue);
    this.#options.onRoom(queue);
  }

  #connectionLost(error: OttlaError): void {
    this.#inFlight.clear();
    if (HOPELESS.has(error.code)) {
      this.failAll(error);
      return;
    }
    if (this.#closed) return;
    for (const queue of this.#outstanding) {
      queue.connectionLost(error);
      this.#moved(queue);
    }
    this.#options.onConnectionLost(error);
  }

  #provideIdentity(queue: PartitionQueue): void {
    if (this.#identityWanted.includes(queue)) return;
    if (this.#firstIdentity !== undefined && queue.isNew) {
      queue.setIdentity(this.#firstIdentity);
      return;
    }
    this.#identityWanted.push(queue);
    if (this.#identityWanted.length === 1) void this.#fetchIdentity();
  }

  async #fetchIdentity(): Promise<void> {
    const { clock, initProducer } = this.#options;
    while (this.#identityWanted.length > 0 && !this.#closed) {
      try {
        const identity = await initProducer();
        this.#identityBackoff.reset();
        this.#firstIdentity ??= identity;
        const queues = this.#identityWanted;
        this.#identityWanted = [];
        for (const queue of queues) {
          queue.setIdentity(identity);
          this.#ready.add(queue);
        }
        this.drain();
      } catch (thrown) {
        const error = toOttlaError(thrown);
        if (HOPELESS.has(error.code)) this.failAll(error);
        else this.#options.onConnectionLost(error);
        this.#identityWanted = this.#identityWanted.filter((queue) => queue.hasOutstanding);
        await clock.sleep(this.#identityBackoff.nextDelayMs());
      }
    }
  }

  #startSweep(): void {
    if (this.#sweep !== undefined || this.#closed) return;
    const { clock, deliveryTimeoutMs } = this.#options;
    this.#sweep = clock.setTimer(Math.min(1000, Math.max(10, deliveryTimeoutMs / 4)), () => {
      this.#sweep = undefined;
      this.#sweepOnce();
      if (this.#outstanding.size > 0) this.#startSweep();
    });
  }

  #sweepOnce(): void {
    const { clock, deliveryTimeoutMs, requestTimeoutMs } = this.#options;
    const nowMs = clock.monotonic();
    let stalled = false;
    for (const queue of this.#outstanding) {
      this.#expire(queue, nowMs - deliveryTimeoutMs, (batch) => tooLate(batch, deliveryTimeoutMs));
      const sentAtMs = queue.oldestSentAtMs();
      if (sentAtMs !== undefined && nowMs - sentAtMs > requestTimeoutMs) stalled = true;
    }
    // A connection whose answers stopped may be half open: only a new one tells.
    if (stalled) this.#connection.reset();
    this.drain();
  }

  #expire(queue: PartitionQueue, deadlineMs: number, describe: (batch: ProducerBatch) => OttlaError): void {
    if (queue.expire(deadlineMs, describe).length > 0) this.#moved(queue);
  }
}

function errorOf(error: WireError | undefined): OttlaError {
  if (error !== undefined) return errorFromMessage(error);
  return new OttlaError("UNKNOWN_SERVER_ERROR", "the server's answer to a batch is empty");
}

function tooLate(batch: ProducerBatch, deliveryTimeoutMs: number): OttlaError {
  const { topic, partition, recordCount, lastError } = batch;
  const because = lastError === undefined ? "" : `${lastError.message} (${lastError.code}); `;
  return new OttlaError(
    "REQUEST_TIMED_OUT",
    `${because}a batch of ${count(recordCount, "record")} for ${topic}-${partition} was not acknowledged ` +
      `within deliveryTimeoutMs ${deliveryTimeoutMs}. ${FATES[batch.fate]}`,
    { cause: lastError, metadata: { topic, partition: String(partition) } },
  );
}

const FATES: Readonly<Record<BatchFate, string>> = {
  "not sent": "It was not sent",
  refused: "It was refused each time: nothing of it was stored",
  unknown: "It may have been stored",
};

function count(number: number, noun: string): string {
  return number === 1 ? `1 ${noun}` : `${number} ${noun}s`;
}
