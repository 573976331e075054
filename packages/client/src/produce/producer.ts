import { OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Random } from "@ottla/runtime";
import { type ClientTracer, type TracedRecord, traceSend } from "../tracing.ts";
import { Accumulator } from "./accumulator.ts";
import { BufferBudget } from "./buffer-budget.ts";
import type { ProducerIdentity } from "./partition-queue.ts";
import type { ProduceStream } from "./produce-connection.ts";
import type { ProducerBatch } from "./producer-batch.ts";
import type { ProducerSettings } from "./producer-options.ts";
import {
  type DeliveredRecord,
  type EncodedRecord,
  encodeRecord,
  type ProducerRecord,
  RECORD_OVERHEAD_BYTES,
} from "./record.ts";
import { type Refusal, Sender } from "./sender.ts";
import { type ProducerTopic, type TopicFacts, TopicTable } from "./topic-table.ts";

/** What a producer needs from its surroundings. */
export interface ProducerDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly tracer: ClientTracer | undefined;
  readonly openStream: () => ProduceStream;
  readonly initProducer: () => Promise<ProducerIdentity>;
  readonly describeTopic: (topic: string) => Promise<TopicFacts>;
  readonly onConnectionLost: (error: OttlaError) => void;
  /** The server refused a batch that is tried again. */
  readonly onRefused: (refusal: Refusal) => void;
  /** Closes the producer's connection. */
  readonly closeTransport: () => Promise<void>;
}

/**
 * Sends records. They are collected into batches for each partition, sent in order, and stored once: see
 * `PartitionQueue` for how. Memory is bounded by `bufferBytes`.
 */
export class Producer {
  readonly #settings: ProducerSettings;
  readonly #dependencies: ProducerDependencies;
  readonly #budget: BufferBudget;
  readonly #topics: TopicTable;
  readonly #accumulator: Accumulator;
  readonly #sender: Sender;
  /** Batches that are open or on their way. */
  readonly #live = new Set<ProducerBatch>();
  /** Topics whose partitions are being asked for, with what waits for the answer. */
  readonly #pending = new Map<string, Promise<void>>();
  /** Of posted records, since the last `flush`. */
  #postFailure: OttlaError | undefined;
  #closed = false;

  constructor(settings: ProducerSettings, dependencies: ProducerDependencies) {
    const { clock, random } = dependencies;
    this.#settings = settings;
    this.#dependencies = dependencies;
    this.#budget = new BufferBudget(settings.bufferBytes);
    this.#topics = new TopicTable({
      clock,
      random,
      maxInFlight: settings.maxInFlight,
      idempotent: settings.idempotent,
      metadataMaxAgeMs: settings.metadataMaxAgeMs,
      metadataTimeoutMs: settings.metadataTimeoutMs,
      describe: dependencies.describeTopic,
      onTopicGone: (topic, error) => this.#sender.failAll(error, topic),
    });
    this.#accumulator = new Accumulator({
      clock,
      topics: this.#topics,
      lingerMs: settings.lingerMs,
      batchBytes: settings.batchBytes,
      compression: settings.compression,
      onBatchOpened: (batch) => this.#follow(batch),
      onBatchClosed: (queue) => this.#sender.closed(queue),
    });
    this.#sender = new Sender({
      clock,
      random,
      acks: settings.acks,
      deliveryTimeoutMs: settings.deliveryTimeoutMs,
      requestTimeoutMs: settings.requestTimeoutMs,
      openStream: dependencies.openStream,
      initProducer: dependencies.initProducer,
      onUnknownTopic: (name) => this.#lookAgain(name),
      onRoom: (queue) => this.#accumulator.madeRoom(queue),
      onConnectionLost: dependencies.onConnectionLost,
      onRefused: dependencies.onRefused,
    });
  }

  /** Bytes of records that are buffered or in flight. */
  get bufferedBytes(): number {
    return this.#budget.usedBytes;
  }

  /**
   * Sends a record and resolves when it is as durable as `acks` asks. While the buffer is full the
   * record waits outside, first come first served; at most as much may wait as the buffer holds, beyond
   * that THROTTLING_QUOTA_EXCEEDED is thrown: await `ready()`, or the promises of earlier records.
   */
  send(record: ProducerRecord): Promise<DeliveredRecord> {
    let traced: TracedRecord | undefined;
    let delivered: Promise<DeliveredRecord>;
    try {
      const untraced = this.#encode(record);
      traced = this.#trace(untraced);
      const encoded = traced?.record ?? untraced;
      const hasRoom = this.#budget.tryTake(encoded.sizeBytes);
      delivered = hasRoom ? this.#deliver(encoded) : this.#deliverLater(encoded);
    } catch (thrown) {
      delivered = Promise.reject(toOttlaError(thrown));
    }
    if (traced !== undefined) follow(traced, delivered);
    return delivered;
  }

  /**
   * Sends a record without a promise of its own, the cheap way for bulk. Returns false
   * when the buffer is full: await `ready()` before the next one. A failure shows in the
   * next `flush()` (the first one) and in `onBatch`.
   */
  post(record: ProducerRecord): boolean {
    const untraced = this.#encode(record);
    if (!this.#budget.hasRoom) throw this.#bufferFull();
    const traced = this.#trace(untraced);
    try {
      this.#post(traced?.record ?? untraced, traced);
    } catch (thrown) {
      traced?.failed(toOttlaError(thrown));
      throw thrown;
    }
    return this.#budget.hasRoom;
  }

  /** Resolves when the buffer has room for another record. */
  ready(): Promise<void> {
    if (this.#budget.hasRoom) return Promise.resolve();
    return new Promise((resolve) => {
      this.#budget.whenTaken(0, resolve);
    });
  }

  /**
   * Sends what is buffered without lingering, and resolves when everything sent or posted before this call is
   * acknowledged or has failed. Rejects with the first failure of a posted record since the last flush.
   */
  async flush(): Promise<void> {
    await Promise.allSettled(this.#pending.values());
    this.#accumulator.closeAll();
    await Promise.all([...this.#live].map(untilSettled));
    const failure = this.#postFailure;
    this.#postFailure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Flushes, then closes the connection. Records sent from now on are refused. Rejects as `flush` does. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.flush();
    } finally {
      this.#sender.close();
      await this.#dependencies.closeTransport();
    }
  }

  /** Closes at once: what is not acknowledged yet fails with CANCELLED (and may still be stored). */
  async abandon(): Promise<void> {
    this.#closed = true;
    this.#accumulator.closeAll();
    this.#sender.abandon(
      new OttlaError("CANCELLED", "the producer was closed before the batch was acknowledged"),
    );
    await this.#dependencies.closeTransport();
  }

  #encode(record: ProducerRecord): EncodedRecord {
    if (this.#closed) throw new OttlaError("CANCELLED", "the producer is closed");
    const encoded = encodeRecord(record, this.#dependencies.clock.now());
    if (encoded.sizeBytes > this.#budget.limitBytes) {
      throw new OttlaError(
        "MESSAGE_TOO_LARGE",
        `a record of ${encoded.sizeBytes} bytes is larger than bufferBytes ${this.#budget.limitBytes}`,
        { metadata: { limit: String(this.#budget.limitBytes), value: String(encoded.sizeBytes) } },
      );
    }
    return encoded;
  }

  #trace(record: EncodedRecord): TracedRecord | undefined {
    const { tracer } = this.#dependencies;
    return tracer && traceSend(tracer, record);
  }

  #post(record: EncodedRecord, traced: TracedRecord | undefined): void {
    this.#budget.take(record.sizeBytes);
    const { timestampMs } = record.input;
    const batch = this.#add(record);
    if (batch !== undefined) {
      batch.posted = true;
      if (traced !== undefined) follow(traced, deliveryOf(batch, batch.recordCount - 1, timestampMs));
      return;
    }
    const added = this.#addLater(record);
    if (traced !== undefined) {
      follow(
        traced,
        added.then(({ batch: later, index }) => deliveryOf(later, index, timestampMs)),
      );
    }
    added.then(
      ({ batch: later }) => {
        later.posted = true;
      },
      (thrown: unknown) => this.#notePostFailure(toOttlaError(thrown)),
    );
  }

  #deliver(record: EncodedRecord): Promise<DeliveredRecord> {
    const { timestampMs } = record.input;
    const batch = this.#add(record);
    if (batch !== undefined) return deliveryOf(batch, batch.recordCount - 1, timestampMs);
    return this.#addLater(record).then(({ batch, index }) => deliveryOf(batch, index, timestampMs));
  }

  #deliverLater(record: EncodedRecord): Promise<DeliveredRecord> {
    if (this.#budget.waitingBytes + record.sizeBytes > this.#budget.limitBytes) throw this.#bufferFull();
    return new Promise((resolve, reject) => {
      // Added in the same breath as the bytes are granted, so that nothing sent later slips in before it.
      this.#budget.whenTaken(record.sizeBytes, () => {
        try {
          this.#deliver(record).then(resolve, reject);
        } catch (thrown) {
          reject(toOttlaError(thrown));
        }
      });
    });
  }

  #bufferFull(): OttlaError {
    const { bufferBytes } = this.#settings;
    return new OttlaError(
      "THROTTLING_QUOTA_EXCEEDED",
      `the producer's buffer of ${bufferBytes} bytes is full and callers do not wait: await ready() or send()`,
      { metadata: { limit: String(bufferBytes), field: "bufferBytes" } },
    );
  }

  /** Undefined when the topic's partitions are not known (any more), or others wait for them. */
  #add(record: EncodedRecord): ProducerBatch | undefined {
    const topic = this.#topics.find(record.topic);
    if (topic === undefined || this.#pending.has(record.topic)) return undefined;
    if (!this.#topics.has(topic, record.partition)) return undefined;
    return this.#append(topic, record);
  }

  /** The batch that the record is now the last of. */
  #append(topic: ProducerTopic, record: EncodedRecord): ProducerBatch {
    try {
      return this.#accumulator.append(topic, record);
    } catch (thrown) {
      this.#budget.give(record.sizeBytes);
      throw thrown;
    }
  }

  /** Adds the record when the topic's partitions are known, after those that wait for them already. */
  #addLater(record: EncodedRecord): Promise<{ batch: ProducerBatch; index: number }> {
    const name = record.topic;
    const before = this.#pending.get(name) ?? Promise.resolve();
    const added = before
      .then(() => this.#topics.load(name, record.partition))
      .then(
        (topic) => {
          const batch = this.#append(topic, record);
          return { batch, index: batch.recordCount - 1 };
        },
        (thrown: unknown) => {
          this.#budget.give(record.sizeBytes);
          throw thrown;
        },
      );
    const settled = added.then(
      () => undefined,
      () => undefined,
    );
    this.#pending.set(name, settled);
    void settled.then(() => {
      if (this.#pending.get(name) === settled) this.#pending.delete(name);
    });
    return added;
  }

  /** Gives the buffer its bytes back and tells what became of the batch, or of each piece of it. */
  #follow(batch: ProducerBatch): void {
    this.#live.add(batch);
    batch.delivery.then(
      ({ baseOffset, pieces }) => {
        if (pieces.length === 0) {
          this.#settled(batch, baseOffset, undefined);
          return;
        }
        this.#live.delete(batch);
        for (const piece of pieces) this.#follow(piece);
      },
      (thrown: unknown) => this.#settled(batch, -1n, toOttlaError(thrown)),
    );
  }

  #settled(batch: ProducerBatch, baseOffset: bigint, error: OttlaError | undefined): void {
    this.#live.delete(batch);
    this.#budget.give(batch.accountedBytes);
    if (error !== undefined && batch.posted) this.#notePostFailure(error);
    this.#settings.onBatch?.({
      topic: batch.topic,
      partition: batch.partition,
      recordCount: batch.recordCount,
      sizeBytes: batch.accountedBytes - batch.recordCount * RECORD_OVERHEAD_BYTES,
      latencyMs: this.#dependencies.clock.monotonic() - batch.createdAtMs,
      baseOffset,
      error,
    });
  }

  #notePostFailure(error: OttlaError): void {
    this.#postFailure ??= error;
  }

  #lookAgain(name: string): void {
    const topic = this.#topics.find(name);
    if (topic !== undefined) this.#topics.refresh(topic);
  }
}

function deliveryOf(batch: ProducerBatch, index: number, timestampMs: number): Promise<DeliveredRecord> {
  return batch.delivery.then((delivery) => delivery.at(index, timestampMs));
}

/** The record's span ends with its delivery. */
function follow(traced: TracedRecord, delivered: Promise<DeliveredRecord>): void {
  delivered.then(
    ({ partition, offset }) => traced.delivered(partition, offset),
    (thrown: unknown) => traced.failed(toOttlaError(thrown)),
  );
}

/** Resolves when the batch and every piece of it is acknowledged or has failed. */
async function untilSettled({ delivery }: ProducerBatch): Promise<void> {
  const pieces = await delivery.then(
    (delivered) => delivered.pieces,
    () => [],
  );
  await Promise.all(pieces.map(untilSettled));
}
