import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { Sending, SentPartition } from "./sent-partition.ts";

export interface SendingLaneOptions {
  /** Partitions that catch up have a lane of their own, so that they take nothing from the others. */
  readonly isCatchingUp: boolean;
  readonly maxReadBytes: number;
  readonly maxConcurrentReads: number;
  /** Whether reads may start now. */
  readonly mayRead: () => boolean;
  /** Something can be taken. */
  readonly onRecords: () => void;
  readonly onReadFailed: (partition: SentPartition, sending: Sending, error: OttlaError) => void;
}

/** What was read of one partition and waits to be sent. */
export interface ReadRecords {
  readonly partition: SentPartition;
  readonly sending: Sending;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Paid for from the catch-up credit. */
  readonly isCatchingUp: boolean;
}

/**
 * Reads for one stream the partitions that have something to send, in turn and a bounded piece each, within
 * the credit that the follower has granted. What it holds is bounded by that and by the number of reads.
 */
export class SendingLane {
  readonly #options: SendingLaneOptions;
  /** In line for a read. The order of a set is that of insertion. */
  readonly #ready = new Set<SentPartition>();
  #held: ReadRecords[] = [];
  #heldBytes = 0;
  #creditBytes = 0;
  #reservedBytes = 0;
  #reading = 0;

  constructor(options: SendingLaneOptions) {
    this.#options = options;
  }

  grant(creditBytes: number): void {
    this.#creditBytes += creditBytes;
    if (this.#held.length > 0 && this.#creditBytes > 0) this.#options.onRecords();
    this.pump();
  }

  /** The partition may have more to send. */
  queue(partition: SentPartition): void {
    const { sending } = partition;
    if (sending === undefined) return;
    if (partition.isQueued) {
      partition.hasMore = true;
      return;
    }
    if (sending.nextOffset >= sending.replica.head().logEndOffset) return;
    partition.isQueued = true;
    this.#ready.add(partition);
    this.pump();
  }

  /** It left, or goes on in the other lane, which then reads again what was not sent. */
  remove(partition: SentPartition): void {
    if (this.#ready.delete(partition)) partition.isQueued = false;
    const { sending } = partition;
    const first = this.#held.find((records) => records.sending === sending);
    if (sending === undefined || first === undefined) return;
    sending.nextOffset = first.baseOffset;
    this.#held = this.#held.filter((records) => records.sending !== sending);
    this.#heldBytes = this.#held.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** Starts as many reads as credit and their number allow. */
  pump(): void {
    const { maxConcurrentReads, maxReadBytes, mayRead } = this.#options;
    while (this.#ready.size > 0 && this.#reading < maxConcurrentReads && mayRead()) {
      const freeBytes = this.#creditBytes - this.#reservedBytes - this.#heldBytes;
      if (freeBytes <= 0) return;
      const [partition] = this.#ready;
      if (partition === undefined) return;
      this.#ready.delete(partition);
      const { sending } = partition;
      if (sending === undefined) partition.isQueued = false;
      else void this.#read(partition, sending, Math.min(maxReadBytes, freeBytes));
    }
  }

  /** The next to be sent, paid for from the credit, which the last one may overdraw. */
  take(): ReadRecords | undefined {
    while (this.#creditBytes > 0) {
      const next = this.#held.shift();
      if (next === undefined) return undefined;
      this.#heldBytes -= next.sizeBytes;
      if (next.partition.sending !== next.sending) continue;
      this.#creditBytes -= next.sizeBytes;
      return next;
    }
    return undefined;
  }

  /** The stream is over: what is still being read has nobody to go to. */
  close(): void {
    this.#ready.clear();
    this.#held = [];
    this.#heldBytes = 0;
  }

  async #read(partition: SentPartition, sending: Sending, maxBytes: number): Promise<void> {
    const { isCatchingUp, onReadFailed, onRecords } = this.#options;
    this.#reading += 1;
    this.#reservedBytes += maxBytes;
    partition.hasMore = false;
    const { nextOffset: baseOffset, replica } = sending;
    let error: OttlaError | undefined;
    try {
      const { chunks, nextOffset, sizeBytes } = await replica.readForFollower(baseOffset, maxBytes);
      // What nobody asks for any more is dropped: another position was asked from, or the partition left.
      if (partition.sending !== sending || partition.isCatchingUp !== isCatchingUp) partition.hasMore = true;
      else if (sizeBytes > 0) {
        sending.nextOffset = nextOffset;
        this.#held.push({ partition, sending, baseOffset, nextOffset, chunks, sizeBytes, isCatchingUp });
        this.#heldBytes += sizeBytes;
        partition.hasMore ||= nextOffset < replica.head().logEndOffset;
        onRecords();
      }
    } catch (thrown) {
      error = toOttlaError(thrown);
    }
    this.#reading -= 1;
    this.#reservedBytes -= maxBytes;
    partition.isQueued = false;
    if (error !== undefined && partition.sending === sending) onReadFailed(partition, sending, error);
    else if (error !== undefined || partition.hasMore) partition.sender.changed(partition);
    this.pump();
  }
}
