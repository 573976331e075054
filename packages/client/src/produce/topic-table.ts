import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Random } from "@ottla/runtime";
import { Backoff } from "../backoff.ts";
import { type BatchSizeLimit, PartitionQueue } from "./partition-queue.ts";
import { Partitioner } from "./partitioner.ts";

export interface TopicTableOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly maxInFlight: number;
  readonly idempotent: boolean;
  readonly metadataMaxAgeMs: number;
  /** How long to go on looking for a topic that the server does not know or while no server answers. */
  readonly metadataTimeoutMs: number;
  readonly describe: (topic: string) => Promise<TopicFacts>;
  /** The topic is gone: what waits for it can only fail. */
  readonly onTopicGone: (topic: string, error: OttlaError) => void;
}

/** A topic may have been created a moment ago, at another gateway. */
const UNKNOWN_TOPIC_GRACE_MS = 1000;

/** What the server says of a topic. */
export interface TopicFacts {
  readonly partitionCount: number;
  /** Its max.message.bytes. */
  readonly maxMessageBytes: number | undefined;
  /** The server could not ask: partitions may have been added of which it has not heard. */
  readonly unconfirmed: boolean;
}

/** What the producer knows of one topic. */
export interface ProducerTopic {
  readonly name: string;
  readonly partitioner: Partitioner;
  readonly sizeLimit: BatchSizeLimit;
  /** By partition; a queue is made when the partition gets its first record. */
  readonly queues: (PartitionQueue | undefined)[];
  /** On the monotonic clock: when the partition count is asked for again. */
  refreshAtMs: number;
}

/**
 * The topics a producer writes to, with partition counts and limits, asked for again at times.
 */
export class TopicTable {
  readonly #options: TopicTableOptions;
  readonly #topics = new Map<string, ProducerTopic>();
  readonly #loading = new Map<string, Promise<ProducerTopic>>();

  constructor(options: TopicTableOptions) {
    this.#options = options;
  }

  find(name: string): ProducerTopic | undefined {
    return this.#topics.get(name);
  }

  /** Whether the topic has that partition as far as is known; partitions may have been added since. */
  has(topic: ProducerTopic, partition: number | undefined): boolean {
    return partition === undefined || partition < topic.partitioner.partitionCount;
  }

  /** Asks the server where the topic is not known, or the partition that somebody wants of it is not. */
  load(name: string, partition: number | undefined): Promise<ProducerTopic> {
    const known = this.#topics.get(name);
    if (known !== undefined) {
      const isKnown = partition === undefined || this.has(known, partition);
      return isKnown ? Promise.resolve(known) : this.#lookAgain(known, partition);
    }
    let loading = this.#loading.get(name);
    if (loading === undefined) {
      loading = this.#load(name).finally(() => this.#loading.delete(name));
      this.#loading.set(name, loading);
    }
    return loading;
  }

  /** Asks again where what is known is old. What goes on meanwhile uses the old one. */
  refreshIfOld(topic: ProducerTopic): void {
    if (this.#options.clock.monotonic() >= topic.refreshAtMs) this.refresh(topic);
  }

  refresh(topic: ProducerTopic): void {
    const { clock, describe, metadataMaxAgeMs, onTopicGone } = this.#options;
    topic.refreshAtMs = clock.monotonic() + Math.min(metadataMaxAgeMs, UNKNOWN_TOPIC_GRACE_MS);
    describe(topic.name).then(
      ({ partitionCount, maxMessageBytes }) => {
        topic.refreshAtMs = clock.monotonic() + metadataMaxAgeMs;
        topic.partitioner.setPartitionCount(partitionCount);
        topic.sizeLimit.maxBytes = maxMessageBytes ?? topic.sizeLimit.maxBytes;
      },
      (thrown: unknown) => {
        const error = toOttlaError(thrown);
        if (error.code !== "UNKNOWN_TOPIC_OR_PARTITION") return;
        this.#topics.delete(topic.name);
        onTopicGone(topic.name, error);
      },
    );
  }

  queue(topic: ProducerTopic, partition: number): PartitionQueue {
    let queue = topic.queues[partition];
    if (queue === undefined) {
      const { maxInFlight, idempotent } = this.#options;
      queue = new PartitionQueue({
        topic: topic.name,
        partition,
        maxInFlight,
        idempotent,
        sizeLimit: topic.sizeLimit,
      });
      topic.queues[partition] = queue;
    }
    return queue;
  }

  /** A server that cannot know yet whether there is such a partition is asked until it can. */
  async #lookAgain(topic: ProducerTopic, partition: number): Promise<ProducerTopic> {
    const { clock, random, metadataTimeoutMs } = this.#options;
    const backoff = new Backoff({ firstDelayMs: 50, maxDelayMs: 1000, random });
    const startMs = clock.monotonic();
    for (;;) {
      const { partitionCount, unconfirmed } = await this.#describe(topic.name);
      topic.partitioner.setPartitionCount(Math.max(partitionCount, topic.partitioner.partitionCount));
      const isSettled = !unconfirmed || this.has(topic, partition);
      if (isSettled || clock.monotonic() - startMs >= metadataTimeoutMs) return topic;
      await clock.sleep(backoff.nextDelayMs());
    }
  }

  async #load(name: string): Promise<ProducerTopic> {
    const { clock, random, metadataMaxAgeMs } = this.#options;
    const { partitionCount, maxMessageBytes } = await this.#describe(name);
    const topic: ProducerTopic = {
      name,
      partitioner: new Partitioner(partitionCount, random),
      sizeLimit: { maxBytes: maxMessageBytes },
      queues: [],
      refreshAtMs: clock.monotonic() + metadataMaxAgeMs,
    };
    this.#topics.set(name, topic);
    return topic;
  }

  async #describe(name: string): Promise<TopicFacts> {
    const { clock, random, describe, metadataTimeoutMs } = this.#options;
    const backoff = new Backoff({ firstDelayMs: 50, maxDelayMs: 1000, random });
    const startMs = clock.monotonic();
    for (;;) {
      try {
        return await describe(name);
      } catch (thrown) {
        const error = toOttlaError(thrown);
        const patienceMs =
          error.code === "UNKNOWN_TOPIC_OR_PARTITION" ? UNKNOWN_TOPIC_GRACE_MS : metadataTimeoutMs;
        if (!error.retriable || clock.monotonic() - startMs >= patienceMs) throw error;
      }
      await clock.sleep(backoff.nextDelayMs());
    }
  }
}
