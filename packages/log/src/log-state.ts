import type { OttlaError } from "@ottla/errors";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import { writeLogCheckpoint } from "./log-checkpoint.ts";
import type { LogConfig } from "./log-config.ts";
import { logFailed } from "./log-errors.ts";
import { LogFlusher } from "./log-flusher.ts";
import type { LoadedLog } from "./log-loader.ts";
import type { LogResources } from "./log-resources.ts";
import type { FileLease } from "./open-files.ts";
import type { OwnerEpochCache } from "./owner-epoch-cache.ts";
import type { ProducerState } from "./producer-state.ts";
import { Segment } from "./segment.ts";
import { SegmentList } from "./segment-list.ts";
import { Serial } from "./serial.ts";
import type { LogTail } from "./tail-cache.ts";

type AppendsFailedListener = (fromOffset: number, error: OttlaError) => void;

/** What the parts of one open log share. */
export class LogState {
  readonly directory: string;
  readonly resources: LogResources;
  readonly segments: SegmentList;
  readonly epochs: LeaderEpochCache;
  readonly owners: OwnerEpochCache;
  readonly producers: ProducerState;
  readonly tail: LogTail;
  readonly flusher: LogFlusher;
  /** One at a time: the small files that are replaced whole. Tasks never wait for writes of the log. */
  readonly smallFiles = new Serial();
  readonly indexRepair = new Serial();
  config: LogConfig;
  logStartOffset: number;
  /** Where the batch begins that holds the log start. */
  firstBatchOffset: number;
  highWatermark: number;
  damagedFrom: number | undefined;
  /** Batches were compacted away, here or on a leader; kept for ever. */
  hasGaps: boolean;
  /** Up to where the log was compacted. */
  cleanedOffset: number;
  /** When the first tombstone of the compacted part may go, as far as this run knows. */
  tombstonesDueMs = Number.POSITIVE_INFINITY;
  /** Rises when records disappear, so that a reader that was under way looks again. */
  generation = 0;
  /** Rises with each truncation. */
  truncations = 0;
  failure: OttlaError | undefined;
  /** The file being written; kept open until all in it is synced. */
  #writeLease: { readonly segment: Segment; readonly lease: FileLease } | undefined;
  #isWriting = false;
  readonly #progressListeners = new Set<() => void>();
  readonly #failedListeners = new Set<(error: OttlaError) => void>();
  readonly #appendsFailedListeners = new Set<AppendsFailedListener>();

  constructor(options: {
    readonly directory: string;
    readonly resources: LogResources;
    readonly config: LogConfig;
    readonly loaded: LoadedLog;
  }) {
    const { resources, loaded } = options;
    this.directory = options.directory;
    this.resources = resources;
    this.config = options.config;
    this.segments = new SegmentList(loaded.segments);
    this.epochs = loaded.epochs;
    this.owners = loaded.owners;
    this.producers = loaded.producers;
    this.logStartOffset = loaded.logStartOffset;
    this.firstBatchOffset = loaded.firstBatchOffset;
    this.highWatermark = loaded.highWatermark;
    this.damagedFrom = loaded.damagedFrom;
    this.hasGaps = loaded.hasGaps;
    this.cleanedOffset = loaded.cleanedOffset;
    this.tail = resources.tailCache.openTail();
    this.flusher = new LogFlusher({
      clock: resources.clock,
      syncScheduler: resources.syncScheduler,
      metrics: resources.metrics,
      config: options.config,
      endOffset: this.segments.active.writtenEndOffset,
      currentFile: () => this.#writeLease?.lease.file,
      onFlushed: () => this.#flushed(),
      onFailed: (error) => this.fail(error),
    });
  }

  /** A batch has its offsets: it may be the one that holds the log start. */
  noteFirstBatch(batch: { readonly baseOffset: number; readonly lastOffset: number }): void {
    const { logStartOffset } = this;
    if (batch.baseOffset <= logStartOffset && batch.lastOffset >= logStartOffset)
      this.firstBatchOffset = batch.baseOffset;
  }

  /**
   * The first gap is noted on disk: a later checkpoint, with a recovery point beyond it, says so in any case,
   * so that a gap below a recovery point without that word is a wrong base offset (R12).
   */
  async noteGaps(): Promise<void> {
    if (this.hasGaps) return;
    this.hasGaps = true;
    await this.writeCheckpoint();
  }

  newSegment(baseOffset: number, suffix = ""): Segment {
    const { directory, resources } = this;
    const { indexIntervalBytes } = this.config;
    return new Segment({ directory, baseOffset, resources, indexIntervalBytes, suffix });
  }

  async openWriteFile(segment: Segment): Promise<FileLease["file"]> {
    if (this.failure !== undefined) throw this.failure;
    this.#isWriting = true;
    if (this.#writeLease?.segment !== segment) {
      this.releaseWriteFile();
      this.#writeLease = { segment, lease: await segment.openLog("write") };
    }
    return this.#writeLease.lease.file;
  }

  /** The write that `openWriteFile` was called for is over. */
  noteWriteEnded(): void {
    this.#isWriting = false;
  }

  #flushed(): void {
    const { writtenEndOffset, flushedEndOffset } = this.flusher;
    // A log that rests holds no descriptor, so that a node can have more partitions than open files.
    if (!this.#isWriting && writtenEndOffset === flushedEndOffset) this.releaseWriteFile();
    this.progressed();
  }

  /** Lets go of the file that was written; only when all in it is synced. */
  releaseWriteFile(): void {
    this.#writeLease?.lease.release();
    this.#writeLease = undefined;
  }

  /** Writes the checkpoint with what holds now; `change` gives values that shall hold once it is written. */
  writeCheckpoint(
    change: { readonly recoveryPoint?: number; readonly logStartOffset?: number } = {},
  ): Promise<void> {
    return this.smallFiles.run(async () => {
      const recoveryPoint = change.recoveryPoint ?? this.flusher.flushedEndOffset;
      this.owners.forgetBefore(this.highWatermark);
      // The checkpoints of epochs never know less than what lies below the recovery point.
      await this.epochs.write(this.resources.disk, this.directory);
      await this.owners.write(this.resources.disk, this.directory);
      const logStartOffset = Math.max(change.logStartOffset ?? 0, this.logStartOffset);
      const { highWatermark, damagedFrom, hasGaps } = this;
      const checkpoint = { recoveryPoint, logStartOffset, highWatermark, damagedFrom, hasGaps };
      await writeLogCheckpoint(this.resources.disk, this.directory, checkpoint);
      // Here and not by the caller: a checkpoint that waits for this one must not write the old value again.
      this.logStartOffset = logStartOffset;
    });
  }

  updateConfig(config: LogConfig): void {
    this.config = config;
    this.segments.active.indexIntervalBytes = config.indexIntervalBytes;
    this.producers.updateOptions({
      expirationMs: config.producerIdExpirationMs,
      maxProducers: config.maxProducers,
    });
    this.flusher.updateConfig(config);
    this.progressed();
  }

  progressed(): void {
    if (this.failure !== undefined) return;
    for (const listener of this.#progressListeners) listener();
  }

  /** After a failed write or sync nothing is known: all progress stops and the owner opens the log anew. */
  fail(cause: unknown): void {
    if (this.failure !== undefined) return;
    const error = logFailed(this.directory, cause);
    this.failure = error;
    this.resources.logger.error(
      { directory: this.directory, err: cause },
      "the log failed and takes no more writes",
    );
    for (const listener of this.#failedListeners) listener(error);
  }

  appendsFailed(fromOffset: number, error: OttlaError): void {
    for (const listener of this.#appendsFailedListeners) listener(fromOffset, error);
  }

  onProgress(listener: () => void): () => void {
    return subscribe(this.#progressListeners, listener);
  }

  onFailed(listener: (error: OttlaError) => void): () => void {
    return subscribe(this.#failedListeners, listener);
  }

  onAppendsFailed(listener: AppendsFailedListener): () => void {
    return subscribe(this.#appendsFailedListeners, listener);
  }
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}
