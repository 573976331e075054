import { OttlaError, toOttlaError } from "@ottla/errors";
import { GroupStart } from "@ottla/proto/ottla/v1/group";
import { ReadFormat } from "@ottla/proto/ottla/v1/log";
import type { ClientStream } from "@ottla/rpc";
import type { Clock, Random, Timer } from "@ottla/runtime";
import { Backoff } from "../backoff.ts";
import { type ClientTracer, traceReceive } from "../tracing.ts";
import type { TopicPartition } from "./assigned-partition.ts";
import { ConsumedBatch, type ConsumedRecord } from "./consumed-batch.ts";
import type { ConsumeInit, ConsumeResponse, GroupConsumerSettings } from "./group-consumer-options.ts";
import { GroupPartitions } from "./group-partitions.ts";

export interface GroupConsumerDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly tracer: ClientTracer | undefined;
  readonly openConsume: () => ClientStream<ConsumeInit, ConsumeResponse>;
  readonly onConnectionLost: (error: OttlaError) => void;
  readonly closeTransport: () => Promise<void>;
}

export interface RunOptions {
  /** Partitions that are worked on at a time; within one, records come one after another. Default: all. */
  readonly concurrency?: number | undefined;
}

/** How long acknowledgements may wait for others to travel with. */
const ACKNOWLEDGE_MS = 20;
const CLOSE_TIMEOUT_MS = 10_000;

/** The gateway has asked the metadata store: a topic that it does not know does not exist. */
const FINAL: ReadonlySet<string> = new Set(["UNKNOWN_TOPIC_OR_PARTITION", "CORRUPT_MESSAGE"]);

/** Errors of the stream that trying again cures: the connection, the gateway, the group's owner. */
function isPassing(error: OttlaError): boolean {
  if (FINAL.has(error.code)) return false;
  return error.retriable || error.code === "CANCELLED" || error.code === "UNAVAILABLE";
}

/**
 * Reads topics as a member of a group: the server shares out partitions among the members and keeps
 * what is acknowledged. `for await (const record of consumer)` acknowledges a record when the next
 * one is asked for, so every record is worked on at least once. A broken connection is opened again.
 */
export class GroupConsumer implements AsyncIterable<ConsumedRecord> {
  readonly #settings: GroupConsumerSettings;
  readonly #dependencies: GroupConsumerDependencies;
  readonly #partitions = new GroupPartitions();
  readonly #running: Promise<void>;
  /** The same over reconnects: the group knows it again at once. */
  readonly #memberId: string;
  #stream: ClientStream<ConsumeInit, ConsumeResponse> | undefined;
  #timer: Timer | undefined;
  #failure: OttlaError | undefined;
  #paused = false;
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(settings: GroupConsumerSettings, dependencies: GroupConsumerDependencies) {
    this.#settings = settings;
    this.#dependencies = dependencies;
    this.#memberId = dependencies.random.uuid();
    this.#running = this.#run();
  }

  assignment(): TopicPartition[] {
    return this.#partitions.all().map(({ topic, partition }) => ({ topic, partition }));
  }

  /** Hands out nothing until `resume`; the member keeps its partitions. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  /** This record, and all before it in its partition, are done with. */
  acknowledge({ topic, partition, offset }: ConsumedRecord): void {
    this.#acknowledge(topic, partition, offset + 1n);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ConsumedRecord, void, undefined> {
    const isAuto = this.#settings.acknowledge === "auto";
    for (let batch = await this.#next(); batch !== undefined; batch = await this.#next()) {
      const { topic, partition } = batch;
      for (const record of batch) {
        const held = this.#partitions.find(topic, partition);
        // Another member goes on from what was acknowledged.
        if (held === undefined || held.isRevoked || this.#closed) break;
        held.handedOut = record.offset + 1n;
        yield record;
        if (isAuto) this.#acknowledge(topic, partition, record.offset + 1n);
      }
      this.#finished(batch, isAuto);
    }
  }

  /**
   * Calls `work` for each record, partition by partition in order, many partitions at a time, and
   * acknowledges what it has done. Ends when the consumer is closed; rejects with what `work` rejects with.
   */
  async run(
    work: (record: ConsumedRecord) => Promise<void> | void,
    { concurrency = Number.POSITIVE_INFINITY }: RunOptions = {},
  ): Promise<void> {
    const lines = new Map<string, Promise<void>>();
    let failed: { readonly reason: unknown } | undefined;
    const isOver = (): boolean => failed !== undefined;
    for (let batch = await this.#next(isOver); batch !== undefined; batch = await this.#next(isOver)) {
      const key = `${batch.topic}/${batch.partition}`;
      while (lines.size >= concurrency && !lines.has(key)) await Promise.race(lines.values());
      if (failed !== undefined) break;
      const present = batch;
      const line = (lines.get(key) ?? Promise.resolve())
        .then(() => (failed === undefined ? this.#work(present, work) : undefined))
        .catch((thrown: unknown) => {
          failed ??= { reason: thrown };
          this.#wake();
        })
        .finally(() => {
          if (lines.get(key) === line) lines.delete(key);
        });
      lines.set(key, line);
    }
    await Promise.all(lines.values());
    if (failed !== undefined) await Promise.reject(failed.reason);
  }

  /** Stores what is acknowledged, leaves the group and closes the connection. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake();
    this.#tell();
    this.#stream?.end();
    const { clock, closeTransport } = this.#dependencies;
    const late = new AbortController();
    const timeout = clock.sleep(CLOSE_TIMEOUT_MS, late.signal).catch(() => undefined);
    await Promise.race([this.#running, timeout]);
    late.abort();
    await closeTransport();
  }

  async #work(batch: ConsumedBatch, work: (record: ConsumedRecord) => Promise<void> | void): Promise<void> {
    const { topic, partition } = batch;
    for (const record of batch) {
      const held = this.#partitions.find(topic, partition);
      if (held === undefined || held.isRevoked || this.#closed) break;
      held.handedOut = record.offset + 1n;
      await work(record);
      this.#acknowledge(topic, partition, record.offset + 1n);
    }
    this.#finished(batch, true);
  }

  /** The next batch to hand out; undefined when the consumer is closed, or nobody wants one any more. */
  async #next(isOver: () => boolean = () => false): Promise<ConsumedBatch | undefined> {
    for (;;) {
      if (this.#closed || isOver()) return undefined;
      if (this.#failure !== undefined) throw this.#failure;
      const batch = this.#paused ? undefined : this.#partitions.take();
      if (batch !== undefined) {
        const { tracer } = this.#dependencies;
        if (tracer !== undefined) traceReceive(tracer, batch, this.#settings.group);
        return batch;
      }
      // Nothing else to do: what is done with is told at once.
      this.#tell();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Offsets without a record at the end of a batch are done with, too. */
  #finished({ topic, partition, nextOffset }: ConsumedBatch, isDone: boolean): void {
    const held = this.#partitions.find(topic, partition);
    if (held === undefined || held.isRevoked) return;
    held.handedOut = nextOffset;
    if (isDone) this.#acknowledge(topic, partition, nextOffset);
  }

  #acknowledge(topic: string, partition: number, nextOffset: bigint): void {
    if (!this.#partitions.acknowledge(topic, partition, nextOffset)) return;
    if (this.#partitions.find(topic, partition)?.isRevoked === true) this.#tell();
    else this.#timer ??= this.#dependencies.clock.setTimer(ACKNOWLEDGE_MS, () => this.#tell());
  }

  #tell(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const untold = this.#partitions.takeUntold();
    if (untold.length === 0) return;
    const offsets = untold.map(({ topic, partition, acknowledged }) => ({
      topic,
      partition,
      nextOffset: acknowledged,
    }));
    this.#stream?.send({ request: { case: "acknowledge", value: { offsets } } });
    const done = untold.filter(
      ({ isRevoked, acknowledged, handedOut }) => isRevoked && acknowledged >= handedOut,
    );
    if (done.length > 0) this.#release(done);
  }

  #release(partitions: readonly TopicPartition[]): void {
    const places = partitions.map(({ topic, partition }) => ({ topic, partition }));
    this.#stream?.send({ request: { case: "release", value: { partitions: places } } });
    for (const { topic, partition } of partitions) this.#partitions.drop(topic, partition);
  }

  async #run(): Promise<void> {
    const { clock, random, onConnectionLost } = this.#dependencies;
    const backoff = new Backoff({ firstDelayMs: 50, maxDelayMs: 2_000, random });
    while (!this.#closed) {
      try {
        await this.#follow(() => backoff.reset());
      } catch (thrown) {
        const error = toOttlaError(thrown);
        if (this.#closed) return;
        if (!isPassing(error)) {
          this.#failure = error;
          this.#wake();
          return;
        }
        onConnectionLost(error);
      } finally {
        const lost = this.#partitions.clear();
        if (lost.length > 0) this.#settings.onRevoked(lost, !this.#closed);
      }
      if (!this.#closed) await clock.sleep(backoff.nextDelayMs());
    }
  }

  async #follow(onEvent: () => void): Promise<void> {
    const { openConsume } = this.#dependencies;
    const { group, topics, topicPattern, from, instanceId, assignor, ...settings } = this.#settings;
    const stream = openConsume();
    this.#stream = stream;
    stream.send({
      request: {
        case: "subscribe",
        value: {
          group,
          topics: [...topics],
          topicPattern,
          start: from === "latest" ? GroupStart.LATEST : GroupStart.EARLIEST,
          format: ReadFormat.BATCHES,
          maxUnacknowledgedBytes: settings.maxUnacknowledgedBytes,
          revocationGraceMs: settings.revocationGraceMs,
          instanceId,
          assignor,
          memberId: this.#memberId,
        },
      },
    });
    for await (const { event } of stream.received) {
      onEvent();
      this.#take(event);
    }
    if (!this.#closed) throw new OttlaError("UNAVAILABLE", "the gateway has ended the stream");
  }

  #take(event: ConsumeResponse["event"]): void {
    const { onAssigned, onRevoked, checkCrcs } = this.#settings;
    if (event.case === "assigned") {
      const { partitions } = event.value;
      for (const { topic, partition, nextOffset } of partitions) {
        this.#partitions.assign(topic, partition, nextOffset);
      }
      onAssigned(partitions.map(({ topic, partition }) => ({ topic, partition })));
    } else if (event.case === "revoked") {
      const places = event.value.partitions.map(({ topic, partition }) => ({ topic, partition }));
      this.#tell();
      const free = places.filter(({ topic, partition }) => this.#partitions.revoke(topic, partition));
      if (event.value.lost)
        for (const { topic, partition } of places) this.#partitions.drop(topic, partition);
      else if (free.length > 0) this.#release(free);
      onRevoked(places, event.value.lost);
    } else if (event.case === "records") {
      const { topic, partition, batches: bytes, nextOffset, highWatermark } = event.value;
      const fromOffset = Number(this.#partitions.find(topic, partition)?.handedOut ?? 0n);
      const batch = { topic, partition, bytes, fromOffset, nextOffset, highWatermark, checkCrcs };
      this.#partitions.push(new ConsumedBatch(batch));
      this.#wake();
    }
  }
}
