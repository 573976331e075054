import { invalidRequest, OttlaError } from "@ottla/errors";
import type { ClientStream } from "@ottla/rpc";
import type { Clock, Random } from "@ottla/runtime";
import { type ClientTracer, traceReceive } from "../tracing.ts";
import {
  AssignedPartition,
  type AssignmentInput,
  type StartOffset,
  type TopicPartition,
} from "./assigned-partition.ts";
import type { ConsumedBatch, ConsumedRecord } from "./consumed-batch.ts";
import type { ConsumerSettings, ReadInit, ReadResponse } from "./consumer-options.ts";
import { type Fetched, PrefetchQueue } from "./prefetch-queue.ts";
import { ReadLoop } from "./read-loop.ts";

/** What a consumer needs from its surroundings. */
export interface ConsumerDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly tracer: ClientTracer | undefined;
  readonly openRead: (request: ReadInit) => ClientStream<never, ReadResponse>;
  readonly countPartitions: (topic: string) => Promise<number>;
  readonly offsetForTimestamp: (topic: string, partition: number, timestampMs: number) => Promise<bigint>;
  readonly onConnectionLost: (error: OttlaError) => void;
  readonly closeTransport: () => Promise<void>;
}

export interface IterationOptions {
  /**
   * End the iteration once every assigned partition that is not paused was read to its end. Default false.
   */
  readonly stopAtEnd?: boolean | undefined;
}

/**
 * Reads assigned partitions in the order of their offsets. `for await (const record of consumer)`
 * hands out records; `batches()` hands out what came together, which is faster. A broken
 * connection is opened again and reading goes on at the next offset. One iteration at a time.
 */
export class Consumer implements AsyncIterable<ConsumedRecord> {
  readonly #settings: ConsumerSettings;
  readonly #dependencies: ConsumerDependencies;
  readonly #queue: PrefetchQueue;
  readonly #loop: ReadLoop;
  #assigned = new Map<string, AssignedPartition>();
  /** Partitions whose end was reached at some time since their start or the last seek. */
  #ended = new Set<AssignedPartition>();
  #failure: OttlaError | undefined;
  #closed = false;

  constructor(settings: ConsumerSettings, dependencies: ConsumerDependencies) {
    this.#settings = settings;
    this.#dependencies = dependencies;
    this.#queue = new PrefetchQueue(settings.prefetchBytes);
    this.#loop = new ReadLoop({
      clock: dependencies.clock,
      random: dependencies.random,
      settings,
      queue: this.#queue,
      openRead: dependencies.openRead,
      offsetForTimestamp: dependencies.offsetForTimestamp,
      find: (topic, partition) => this.#assigned.get(keyOf(topic, partition)),
      active: () => [...this.#assigned.values()].filter((assigned) => assigned.active),
      onFailed: (error) => this.#fail(error),
      onConnectionLost: dependencies.onConnectionLost,
    });
  }

  /**
   * Replaces what is read. A topic's name alone means all partitions it has now, from
   * `"latest"` on. Positions of partitions that stay assigned start anew. Throws
   * UNKNOWN_TOPIC_OR_PARTITION for a topic that does not exist.
   */
  async assign(assignments: readonly (string | AssignmentInput)[]): Promise<void> {
    const assigned = new Map<string, AssignedPartition>();
    for (const assignment of assignments) {
      const {
        topic,
        partition,
        offset = "latest",
      } = typeof assignment === "string" ? { topic: assignment, partition: undefined } : assignment;
      const partitions = partition === undefined ? await this.#allPartitions(topic) : [partition];
      for (const each of partitions) {
        if (!Number.isSafeInteger(each) || each < 0) {
          throw invalidRequest("partition", `must be a whole number from 0, not ${String(each)}`);
        }
        assigned.set(keyOf(topic, each), new AssignedPartition(topic, each, offset));
      }
    }
    this.#checkOpen();
    this.#assigned = assigned;
    this.#ended.clear();
    this.#failure = undefined;
    this.#changed();
  }

  assignment(): TopicPartition[] {
    return [...this.#assigned.values()].map(({ topic, partition }) => ({ topic, partition }));
  }

  /** Goes on at another place; what was fetched from the old one is dropped. */
  seek(topic: string, partition: number, offset: StartOffset): void {
    const assigned = this.#find(topic, partition);
    assigned.seek(offset);
    this.#ended.delete(assigned);
    this.#changed();
  }

  /** Stops handing out records of these partitions; without an argument of all. */
  pause(partitions: readonly TopicPartition[] = this.assignment()): void {
    for (const { topic, partition } of partitions) {
      const assigned = this.#find(topic, partition);
      if (assigned.paused) continue;
      assigned.rewind();
      assigned.paused = true;
    }
    this.#changed();
  }

  /** Goes on where the partitions were paused. */
  resume(partitions: readonly TopicPartition[] = this.assignment()): void {
    for (const { topic, partition } of partitions) this.#find(topic, partition).paused = false;
    this.#changed();
  }

  /** Bytes fetched and not handed out yet. */
  get prefetchedBytes(): number {
    return this.#queue.bytes;
  }

  /**
   * The offset of the next record to be handed out; undefined while the server has not
   * said where the start is.
   */
  position(topic: string, partition: number): bigint | undefined {
    return this.#find(topic, partition).position;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ConsumedRecord, void, undefined> {
    yield* this.records();
  }

  /** The records one by one, in order within each partition. */
  async *records(options: IterationOptions = {}): AsyncGenerator<ConsumedRecord, void, undefined> {
    for (;;) {
      const fetched = await this.#next(options);
      if (fetched === undefined) return;
      const { assigned, version, batch } = fetched;
      if (batch !== undefined) {
        for (const record of batch) {
          assigned.handedOut(record.offset + 1n);
          yield record;
          if (assigned.version !== version || this.#closed) break;
        }
      }
      this.#finished(fetched);
    }
  }

  /** The records as they came together. A batch counts as handed out, for `position`, when it is yielded. */
  async *batches(options: IterationOptions = {}): AsyncGenerator<ConsumedBatch, void, undefined> {
    for (;;) {
      const fetched = await this.#next(options);
      if (fetched === undefined) return;
      const { assigned, batch, nextOffset } = fetched;
      if (batch !== undefined) {
        assigned.handedOut(nextOffset);
        yield batch;
      }
      this.#finished(fetched);
    }
  }

  /** Ends the iteration and closes the connection. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.close();
    this.#queue.discard(() => true);
    this.#queue.wake();
    await this.#dependencies.closeTransport();
  }

  /** The next thing fetched that is still wanted; undefined at the end of the iteration. */
  async #next(options: IterationOptions): Promise<Fetched | undefined> {
    for (;;) {
      if (this.#closed) return undefined;
      const fetched = this.#queue.take();
      if (fetched !== undefined) {
        if (fetched.assigned.version !== fetched.version || fetched.assigned.paused) continue;
        if (fetched.error !== undefined) throw fetched.error;
        const { tracer } = this.#dependencies;
        if (tracer !== undefined && fetched.batch !== undefined) traceReceive(tracer, fetched.batch);
        return fetched;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (options.stopAtEnd === true && this.#atEnd()) return undefined;
      await this.#queue.arrival();
    }
  }

  #atEnd(): boolean {
    for (const assigned of this.#assigned.values()) {
      if (!assigned.paused && !this.#ended.has(assigned)) return false;
    }
    return true;
  }

  #finished({ assigned, version, nextOffset, caughtUp }: Fetched): void {
    if (assigned.version !== version) return;
    assigned.handedOut(nextOffset);
    const { topic, partition } = assigned;
    const reached = caughtUp && !assigned.caughtUp;
    assigned.caughtUp = caughtUp;
    if (caughtUp) this.#ended.add(assigned);
    if (reached) this.#settings.onCaughtUp?.({ topic, partition, offset: nextOffset });
  }

  #changed(): void {
    this.#checkOpen();
    this.#queue.discard(({ assigned, version }) => {
      const current = this.#assigned.get(keyOf(assigned.topic, assigned.partition));
      return current !== assigned || assigned.version !== version || assigned.paused;
    });
    this.#loop.restart();
    this.#queue.wake();
  }

  #fail(error: OttlaError): void {
    this.#failure = error;
    this.#queue.wake();
  }

  async #allPartitions(topic: string): Promise<number[]> {
    const count = await this.#dependencies.countPartitions(topic);
    return Array.from({ length: count }, (_, partition) => partition);
  }

  #find(topic: string, partition: number): AssignedPartition {
    const assigned = this.#assigned.get(keyOf(topic, partition));
    if (assigned === undefined) {
      throw invalidRequest("partition", `${topic}-${partition} is not assigned: call assign first`);
    }
    return assigned;
  }

  #checkOpen(): void {
    if (this.#closed) throw new OttlaError("CANCELLED", "the consumer is closed");
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}
