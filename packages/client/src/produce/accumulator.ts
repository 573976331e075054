import { OttlaError } from "@ottla/errors";
import type { Compression } from "@ottla/records";
import type { Clock, Timer } from "@ottla/runtime";
import { BuilderPool } from "./builder-pool.ts";
import type { PartitionQueue } from "./partition-queue.ts";
import { ProducerBatch } from "./producer-batch.ts";
import type { EncodedRecord } from "./record.ts";
import type { ProducerTopic, TopicTable } from "./topic-table.ts";

export interface AccumulatorOptions {
  readonly clock: Clock;
  readonly topics: TopicTable;
  readonly lingerMs: number;
  readonly batchBytes: number;
  readonly compression: Compression;
  readonly onBatchOpened: (batch: ProducerBatch) => void;
  /** The queue has one more closed batch. */
  readonly onBatchClosed: (queue: PartitionQueue) => void;
}

interface OpenBatch {
  readonly batch: ProducerBatch;
  readonly topic: ProducerTopic;
}

/**
 * Collects records into one open batch for each partition, and closes it when it is full
 * or has lingered. Where as many batches as may be are in flight, the open one stays open
 * and grows: small batches in a queue would only slow it.
 */
export class Accumulator {
  readonly #options: AccumulatorOptions;
  readonly #builders: BuilderPool;
  /** The oldest first: all linger equally long. */
  readonly #open = new Map<PartitionQueue, OpenBatch>();
  #timer: Timer | undefined;
  #turnScheduled = false;

  constructor(options: AccumulatorOptions) {
    this.#options = options;
    this.#builders = new BuilderPool(options.compression, options.batchBytes);
  }

  /**
   * Adds the record to its partition's open batch; throws when the partition does not
   * exist or the record is wrong.
   */
  append(topic: ProducerTopic, record: EncodedRecord): ProducerBatch {
    const queue = this.#queueFor(topic, record);
    const batchBytes = Math.min(this.#options.batchBytes, queue.sizeLimit.maxBytes ?? Infinity);
    let batch = queue.open;
    if (batch !== undefined && !batch.hasRoomFor(record.input, batchBytes)) {
      this.#close(topic, queue, batch);
      batch = undefined;
      // A record without a key now goes to the next sticky partition, which may have an
      // open batch of its own.
      if (record.partition === undefined && record.input.key === null) return this.append(topic, record);
    }
    batch ??= this.#openBatch(topic, queue);
    batch.append(record);
    if (batch.sizeBytes >= batchBytes) this.#close(topic, queue, batch);
    return batch;
  }

  /** Closes all open batches. */
  closeAll(): void {
    for (const [queue, { batch, topic }] of this.#open) this.#close(topic, queue, batch);
  }

  /**
   * Fewer batches of this queue are in flight: an open one that has lingered long enough
   * need not wait any more.
   */
  madeRoom(queue: PartitionQueue): void {
    const entry = this.#open.get(queue);
    if (entry === undefined || queue.isBackedUp) return;
    if (this.#hasLingered(entry.batch)) this.#close(entry.topic, queue, entry.batch);
    else this.#schedule();
  }

  #queueFor(topic: ProducerTopic, record: EncodedRecord): PartitionQueue {
    const { partitioner } = topic;
    const partition = record.partition ?? partitioner.partitionFor(record.input.key);
    if (partition >= partitioner.partitionCount) {
      this.#options.topics.refreshIfOld(topic);
      throw new OttlaError(
        "UNKNOWN_TOPIC_OR_PARTITION",
        `topic ${topic.name} has ${partitioner.partitionCount} partitions: there is no partition ${partition}`,
        { metadata: { topic: topic.name, partition: String(partition) } },
      );
    }
    return this.#options.topics.queue(topic, partition);
  }

  #openBatch(topic: ProducerTopic, queue: PartitionQueue): ProducerBatch {
    const { clock, onBatchOpened } = this.#options;
    const batch = new ProducerBatch({
      topic: queue.topic,
      partition: queue.partition,
      builders: this.#builders,
      createdAtMs: clock.monotonic(),
    });
    queue.open = batch;
    this.#open.set(queue, { batch, topic });
    onBatchOpened(batch);
    this.#schedule();
    return batch;
  }

  #close(topic: ProducerTopic, queue: PartitionQueue, batch: ProducerBatch): void {
    this.#open.delete(queue);
    if (this.#open.size === 0) this.#cancelTimer();
    queue.close(batch);
    topic.partitioner.batchClosed(queue.partition);
    this.#options.topics.refreshIfOld(topic);
    this.#options.onBatchClosed(queue);
  }

  #schedule(): void {
    const { clock, lingerMs } = this.#options;
    if (this.#timer !== undefined || this.#turnScheduled) return;
    for (const [queue, { batch }] of this.#open) {
      // Those wait for room in flight, not for time.
      if (queue.isBackedUp) continue;
      if (lingerMs === 0) {
        this.#turnScheduled = true;
        clock.nextTurn(() => this.#tick());
      } else {
        const delayMs = Math.max(0, batch.createdAtMs + lingerMs - clock.monotonic());
        this.#timer = clock.setTimer(delayMs, () => this.#tick());
      }
      return;
    }
  }

  /** A timer that has nothing to do would keep the process alive. */
  #cancelTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = undefined;
    this.#turnScheduled = false;
    for (const [queue, { batch, topic }] of this.#open) {
      if (!this.#hasLingered(batch)) break;
      if (!queue.isBackedUp) this.#close(topic, queue, batch);
    }
    this.#schedule();
  }

  /** Timers fire a little early: a batch that is due within half a millisecond is due now. */
  #hasLingered(batch: ProducerBatch): boolean {
    return this.#options.clock.monotonic() - batch.createdAtMs >= this.#options.lingerMs - 0.5;
  }
}
