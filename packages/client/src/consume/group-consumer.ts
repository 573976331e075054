import { AsyncLocalStorage } from "node:async_hooks";
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
import { GroupPartitions, type TakenBatch } from "./group-partitions.ts";

export interface GroupConsumerDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly tracer: ClientTracer | undefined;
  readonly openConsume: () => ClientStream<ConsumeInit, ConsumeResponse>;
  readonly onConnectionLost: (error: OttlaError) => void;
  readonly closeTransport: () => Promise<void>;
}

type Work = (record: ConsumedRecord) => Promise<void> | void;

export interface RunOptions {
  /** Partitions that are worked on at a time; within one, records come one after another. Default: all. */
  readonly concurrency?: number | undefined;
}

/** Whose `work` calls: a consumer that is closed there cannot wait for it. */
const inWorkOf = new AsyncLocalStorage<GroupConsumer>();

/** How long acknowledgements may wait for others to travel with. */
const ACKNOWLEDGE_MS = 20;
const CLOSE_TIMEOUT_MS = 10_000;

/** The gateway has asked the metadata store: a topic that it does not know does not exist. */
const FINAL: ReadonlySet<string> = new Set(["UNKNOWN_TOPIC_OR_PARTITION", "CORRUPT_MESSAGE"]);

/**
 * Passing as well: the client has ended the stream, or a former stream of its own, which its gateway has not
 * given up yet, has taken the place of this one. No other member has its id.
 */
const PASSING: ReadonlySet<string> = new Set(["CANCELLED", "UNAVAILABLE", "FENCED_MEMBER_EPOCH"]);

/** Errors of the stream that trying again cures: the connection, the gateway, the group's owner. */
function isPassing(error: OttlaError): boolean {
  if (FINAL.has(error.code)) return false;
  return error.retriable || PASSING.has(error.code);
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
  #leaving: Promise<void> | undefined;
  /** Work of `run`, a line for each partition. */
  readonly #lines = new Set<Promise<void>>();
  readonly #waiting: (() => void)[] = [];

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

  /**
   * The records, each acknowledged when the next one is asked for. A loop that is left early loses
   * nothing: the next loop begins with the record at which it was left, with `acknowledge: "manual"`
   * after it.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<ConsumedRecord, void, undefined> {
    const isAuto = this.#settings.acknowledge === "auto";
    for (let taken = await this.#next(); taken !== undefined; taken = await this.#next()) {
      try {
        for (const record of taken.batch) {
          if (this.#paused) await this.#untilResumed();
          if (!this.#handOut(taken, record.offset + 1n)) break;
          yield record;
          if (isAuto) this.#done(taken, record.offset + 1n);
        }
        this.#finish(taken, isAuto);
      } finally {
        this.#partitions.giveBack([taken], isAuto);
      }
    }
  }

  /** What came together, acknowledged when the next batch is asked for: faster than record by record. */
  async *batches(): AsyncGenerator<ConsumedBatch, void, undefined> {
    const isAuto = this.#settings.acknowledge === "auto";
    for (let taken = await this.#next(); taken !== undefined; taken = await this.#next()) {
      try {
        if (!this.#handOut(taken, taken.batch.nextOffset)) continue;
        yield taken.batch;
        taken.isRead = true;
        if (isAuto) this.#done(taken, taken.batch.nextOffset);
      } finally {
        this.#partitions.giveBack([taken], isAuto);
      }
    }
  }

  /**
   * Calls `work` for each record, partition by partition in order, many partitions at a time, and
   * acknowledges what it has done. Ends when the consumer is closed; rejects with what `work` rejects
   * with, and that record comes first when it is called again.
   */
  async run(work: Work, { concurrency = Number.POSITIVE_INFINITY }: RunOptions = {}): Promise<void> {
    const lines = new Map<string, Promise<void>>();
    const unread = new Set<TakenBatch>();
    let failed: { readonly reason: unknown } | undefined;
    const isOver = (): boolean => failed !== undefined;
    const fail = (reason: unknown): void => {
      failed ??= { reason };
      this.#wake();
    };
    try {
      for (let taken = await this.#next(isOver); taken !== undefined; taken = await this.#next(isOver)) {
        const present = taken;
        unread.add(present);
        const key = `${present.batch.topic}/${present.batch.partition}`;
        while (lines.size >= concurrency && !lines.has(key)) await Promise.race(lines.values());
        const line = (lines.get(key) ?? Promise.resolve())
          .then(() => this.#workOn(present, work, isOver))
          .then(() => present.isRead && unread.delete(present))
          .catch(fail)
          .then(() => {
            this.#lines.delete(line);
            if (lines.get(key) === line) lines.delete(key);
          });
        lines.set(key, line);
        this.#lines.add(line);
      }
    } finally {
      await Promise.all(lines.values());
      this.#partitions.giveBack([...unread], true);
    }
    if (failed !== undefined) await Promise.reject(failed.reason);
    await this.#leaving;
  }

  /**
   * Lets work that `run` has in hand end, within the grace for revoked partitions, stores what is
   * acknowledged, leaves the group and closes the connection. Within `work` it only begins with that,
   * and `run` waits for it.
   */
  async close(): Promise<void> {
    this.#leaving ??= this.#leave();
    // Its own work would wait for itself.
    if (inWorkOf.getStore() !== this) await this.#leaving;
  }

  async #leave(): Promise<void> {
    const { closeTransport } = this.#dependencies;
    this.#closed = true;
    this.#wake();
    await this.#within(this.#settings.revocationGraceMs, Promise.all(this.#lines));
    this.#tell();
    this.#stream?.end();
    await this.#within(CLOSE_TIMEOUT_MS, this.#running);
    await closeTransport();
  }

  async #within(limitMs: number, awaited: Promise<unknown>): Promise<void> {
    const inTime = new AbortController();
    const timeout = this.#dependencies.clock.sleep(limitMs, inTime.signal).catch(() => undefined);
    await Promise.race([awaited, timeout]);
    inTime.abort();
  }

  async #workOn(taken: TakenBatch, work: Work, isOver: () => boolean): Promise<void> {
    for (const record of taken.batch) {
      if (this.#paused) await this.#untilResumed(isOver);
      if (isOver() || !this.#handOut(taken, record.offset + 1n)) return;
      await inWorkOf.run(this, work, record);
      this.#done(taken, record.offset + 1n);
    }
    this.#finish(taken, true);
  }

  /** The next batch to hand out; undefined when the consumer is closed, or nobody wants one any more. */
  async #next(isOver: () => boolean = () => false): Promise<TakenBatch | undefined> {
    for (;;) {
      if (this.#closed || isOver()) return undefined;
      if (this.#failure !== undefined) throw this.#failure;
      const taken = this.#paused ? undefined : this.#partitions.take();
      if (taken !== undefined) {
        const { tracer } = this.#dependencies;
        if (tracer !== undefined) traceReceive(tracer, taken.batch, this.#settings.group);
        return taken;
      }
      // Nothing else to do: what is done with is told at once.
      this.#tell();
      await this.#woken();
    }
  }

  async #untilResumed(isOver: () => boolean = () => false): Promise<void> {
    while (this.#paused && !this.#closed && this.#failure === undefined && !isOver()) {
      this.#tell();
      await this.#woken();
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #woken(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** False when it is somebody else's: who has the partition goes on from what was acknowledged. */
  #handOut({ held }: TakenBatch, nextOffset: bigint): boolean {
    if (this.#closed || !this.#partitions.isPresent(held)) return false;
    held.handedOut = nextOffset;
    return true;
  }

  #done({ held }: TakenBatch, nextOffset: bigint): void {
    const { topic, partition } = held;
    if (this.#partitions.find(topic, partition) === held) this.#acknowledge(topic, partition, nextOffset);
  }

  /** Offsets without a record at the end of a batch are done with, too. */
  #finish(taken: TakenBatch, isDone: boolean): void {
    const { nextOffset } = taken.batch;
    if (!this.#handOut(taken, nextOffset)) return;
    taken.isRead = true;
    if (isDone) this.#done(taken, nextOffset);
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
