import { OttlaError } from "@ottla/errors";
import { type Clock, DiskError, type DiskFile } from "@ottla/runtime";
import type { LogMetrics } from "./log-metrics.ts";
import type { ProducerUndo } from "./producer-state.ts";
import type { PlacedBatch, Segment } from "./segment.ts";
import type { CachedBatch } from "./tail-cache.ts";

/** One append that was accepted: it has its offsets and waits for the disk. */
export interface PendingAppend {
  readonly kind: "append";
  readonly segment: Segment;
  readonly batches: readonly PlacedBatch[];
  readonly buffers: readonly Uint8Array[];
  readonly cached: readonly CachedBatch[];
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly undo: readonly ProducerUndo[];
}

/** The place in the queue where a new segment begins. */
export interface PendingRoll {
  readonly kind: "roll";
  readonly segment: Segment;
  readonly previous: Segment;
  /** The producers as they are at the new segment's base offset. */
  readonly snapshot: Uint8Array;
  readonly settled?: (error?: OttlaError) => void;
}

export type PendingWrite = PendingAppend | PendingRoll;

export interface AppendQueueOptions {
  readonly clock: Clock;
  readonly metrics: LogMetrics | undefined;
  readonly owner: AppendQueueOwner;
}

/** What the log does when the queue gets somewhere. */
export interface AppendQueueOwner {
  /** The open file of the segment that is being written. */
  writeFile(segment: Segment): Promise<DiskFile>;
  written(group: readonly PendingAppend[]): void;
  /** Closes the previous segment and creates the new one, durably. */
  roll(roll: PendingRoll): Promise<void>;
  /** The disk is full and nothing of these was stored: the log's end goes back. */
  discarded(writes: readonly PendingWrite[], error: OttlaError): void;
  /** The disk failed in a way after which nothing is known. */
  failed(error: unknown): void;
}

/** One group is at most so large: larger ones only make everybody wait longer. */
const MAX_GROUP_BYTES = 8 * 1024 * 1024;
/** Linux writes at most this many buffers at once (IOV_MAX). */
const MAX_GROUP_BUFFERS = 1024;

/** Keeps one write in flight; whatever comes meanwhile forms the next group, written with one call. */
export class AppendQueue {
  readonly #clock: Clock;
  readonly #metrics: LogMetrics | undefined;
  readonly #owner: AppendQueueOwner;
  #waiting: PendingWrite[] = [];
  #running: Promise<void> | undefined;
  #stopped = false;
  #queuedBytes = 0;

  constructor(options: AppendQueueOptions) {
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#owner = options.owner;
  }

  /** Bytes accepted and not yet written. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get isIdle(): boolean {
    return this.#running === undefined;
  }

  push(write: PendingWrite): void {
    this.#waiting.push(write);
    if (write.kind === "append") this.#queuedBytes += write.sizeBytes;
    // The first write waits for the end of this turn's work, so that appends made one
    // after another travel together.
    this.#running ??= Promise.resolve().then(() => this.#run());
  }

  /** Resolves when everything accepted so far is written, or came to nothing. */
  async drained(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Nothing more is written; resolves when the write in flight has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.drained();
  }

  async #run(): Promise<void> {
    try {
      for (let next = this.#waiting[0]; next !== undefined && !this.#stopped; next = this.#waiting[0]) {
        if (next.kind === "roll") await this.#roll(next);
        else await this.#writeGroup(next.segment);
      }
    } catch (error) {
      this.#stopped = true;
      this.#owner.failed(error);
    } finally {
      this.#running = undefined;
      if (this.#stopped) this.#forgetWaiting();
    }
  }

  /** A log that stopped keeps no memory, and nobody waits for its rolls. */
  #forgetWaiting(): void {
    const error = new OttlaError("KAFKA_STORAGE_ERROR", "the log was closed or failed");
    for (const write of this.#waiting) if (write.kind === "roll") write.settled?.(error);
    this.#waiting = [];
    this.#queuedBytes = 0;
  }

  async #writeGroup(segment: Segment): Promise<void> {
    const group = this.#takeGroup(segment);
    const buffers: Uint8Array[] = [];
    let batchCount = 0;
    let sizeBytes = 0;
    for (const append of group) {
      for (const buffer of append.buffers) buffers.push(buffer);
      batchCount += append.batches.length;
      sizeBytes += append.sizeBytes;
    }
    const startedMs = this.#clock.monotonic();
    let file: DiskFile | undefined;
    try {
      file = await this.#owner.writeFile(segment);
      await file.write(segment.writtenBytes, buffers);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      await this.#cutBack(segment, file, error);
      return;
    }
    this.#metrics?.observeWrite(this.#clock.monotonic() - startedMs, batchCount, sizeBytes);
    this.#waiting.splice(0, group.length);
    this.#queuedBytes -= sizeBytes;
    for (const append of group) for (const batch of append.batches) segment.noteWritten(batch);
    this.#owner.written(group);
    await this.#saveIndexTails(segment);
  }

  #takeGroup(segment: Segment): PendingAppend[] {
    const group: PendingAppend[] = [];
    let sizeBytes = 0;
    let bufferCount = 0;
    for (const write of this.#waiting) {
      if (write.kind === "roll" || write.segment !== segment) break;
      sizeBytes += write.sizeBytes;
      bufferCount += write.buffers.length;
      if (group.length > 0 && (sizeBytes > MAX_GROUP_BYTES || bufferCount > MAX_GROUP_BUFFERS)) break;
      group.push(write);
    }
    return group;
  }

  async #roll(roll: PendingRoll): Promise<void> {
    try {
      await this.#owner.roll(roll);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#discard(error);
      return;
    }
    this.#waiting.shift();
    roll.settled?.();
  }

  /** Removes what a full disk let through of a group, so that the next group follows the last whole batch. */
  async #cutBack(segment: Segment, file: DiskFile | undefined, cause: DiskError): Promise<void> {
    await file?.truncate(segment.writtenBytes);
    // A power cut must not bring the removed bytes back behind what was synced before them.
    await file?.sync();
    this.#discard(cause);
  }

  #discard(cause: DiskError): void {
    const error = new OttlaError("KAFKA_STORAGE_ERROR", `the disk is full: ${cause.message}`, { cause });
    const writes = this.#waiting;
    this.#waiting = [];
    this.#queuedBytes = 0;
    this.#owner.discarded(writes, error);
    for (const write of writes) if (write.kind === "roll") write.settled?.(error);
  }

  /** Index entries that find no place on a full disk stay in memory: the log itself is what counts. */
  async #saveIndexTails(segment: Segment): Promise<void> {
    try {
      await segment.saveLongTails();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }
}

export function isDiskFull(error: unknown): error is DiskError {
  return error instanceof DiskError && error.code === "ENOSPC";
}
