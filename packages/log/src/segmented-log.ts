import type { OttlaError } from "@ottla/errors";
import type { ReplicaLog } from "@ottla/replication";

import type { Appended, AppendOptions } from "./append-checks.ts";
import type { CompactionBacklog } from "./compaction/cleanable-range.ts";
import { type CompactionReport, type CompactOptions, LogCompactor } from "./compaction/log-compactor.ts";
import { LogAppender } from "./log-appender.ts";
import type { LogConfig } from "./log-config.ts";
import { loadLog } from "./log-loader.ts";
import { LogMaintenance } from "./log-maintenance.ts";
import { LogReader, type ReadOptions, type ReadResult } from "./log-reader.ts";
import type { LogResources } from "./log-resources.ts";
import { LogState } from "./log-state.ts";
import { ensurePartitionMetadata } from "./partition-metadata.ts";
import type { ProducerEntry } from "./producer-entry.ts";
import type { RecoveryReport } from "./recovery-report.ts";
import type { TimestampedOffset } from "./timestamp-lookup.ts";

export interface OpenLogOptions {
  /** The partition's own directory; made when it is not there. */
  readonly directory: string;
  readonly resources: LogResources;
  readonly config: LogConfig;
  /** Written to `partition.metadata`, for people and Kafka's tools. */
  readonly topicId?: string;
  /** The data directory was closed cleanly: trust what the files say. */
  readonly cleanShutdown?: boolean;
  /**
   * After a failed sync: nothing from this offset on is proven to be on disk, so it is
   * cut (`flushedEndOffset` of the failed log).
   */
  readonly cutFrom?: number;
  /** Where an empty log begins; 0 when not given. */
  readonly startOffset?: number;
  /** The directory around it is not made when it is missing; throws `DiskError` ENOENT then. */
  readonly below?: string;
  /**
   * This log was opened here before: without its checkpoint it counts as damaged from its end on, since
   * what is gone may have been acknowledged (R9).
   */
  readonly wasThere?: boolean;
  /** Asked before each append; an error it returns refuses the append (the disk-space guard). */
  readonly refuseAppends?: () => OttlaError | undefined;
  /** Bytes that may wait to be written before appends are refused with THROTTLING_QUOTA_EXCEEDED. */
  readonly maxQueuedBytes?: number;
}

/** One partition replica's log on disk. See the package's README for what it promises. */
export class SegmentedLog implements ReplicaLog {
  readonly recoveryReport: RecoveryReport;
  readonly #state: LogState;
  readonly #appender: LogAppender;
  readonly #maintenance: LogMaintenance;
  readonly #compactor: LogCompactor;
  readonly #reader: LogReader;

  private constructor(state: LogState, report: RecoveryReport, options: OpenLogOptions) {
    this.#state = state;
    this.recoveryReport = report;
    this.#appender = new LogAppender(state, options);
    this.#maintenance = new LogMaintenance(state, this.#appender);
    this.#compactor = new LogCompactor(state, this.#maintenance);
    this.#reader = new LogReader(state);
  }

  /** Opens the log: creates it when the directory is empty, recovers it unless it was closed cleanly. */
  static async open(options: OpenLogOptions): Promise<SegmentedLog> {
    const { directory, resources, config } = options;
    const loaded = await loadLog({
      directory,
      resources,
      config,
      cleanShutdown: options.cleanShutdown ?? false,
      cutFrom: options.cutFrom ?? Number.MAX_SAFE_INTEGER,
      startOffset: options.startOffset ?? 0,
      below: options.below,
      wasThere: options.wasThere ?? false,
    });
    if (options.topicId !== undefined) {
      await ensurePartitionMetadata(resources.disk, directory, options.topicId);
    }
    return new SegmentedLog(new LogState({ directory, resources, config, loaded }), loaded.report, options);
  }

  get directory(): string {
    return this.#state.directory;
  }

  get config(): LogConfig {
    return this.#state.config;
  }

  /** R14: persisted, and only grows. */
  get logStartOffset(): number {
    return this.#state.logStartOffset;
  }

  /**
   * Where the batch begins that holds the log start, which may lie inside one after `deleteRecordsBefore`.
   */
  get firstBatchOffset(): number {
    return this.#state.firstBatchOffset;
  }

  /** The offset that the next record gets; appends below it may still wait for the disk. */
  get logEndOffset(): number {
    return this.#state.segments.active.assignedEndOffset;
  }

  /** Batches below are in the file and can be read. */
  get writtenEndOffset(): number {
    return this.#state.flusher.writtenEndOffset;
  }

  /**
   * Batches below count as on disk under the topic's flush policy: with `flush.messages=1` they are synced.
   */
  get syncedEndOffset(): number {
    return this.#state.flusher.syncedEndOffset;
  }

  /** Batches below were synced, whatever the flush policy says. */
  get flushedEndOffset(): number {
    return this.#state.flusher.flushedEndOffset;
  }

  /** The high watermark that was last given to `checkpoint`. */
  get checkpointedHighWatermark(): number {
    return this.#state.highWatermark;
  }

  /** R12: from here on records of this replica are lost or damaged, until `clearDamage`; kept on disk. */
  get damagedFrom(): number | undefined {
    return this.#state.damagedFrom;
  }

  /** R13: the owner epoch that may append; -1 when the log has had no owner. */
  get ownerEpoch(): number {
    return this.#state.owners.latest;
  }

  get latestLeaderEpoch(): number | undefined {
    return this.#state.epochs.latestEpoch;
  }

  get sizeBytes(): number {
    return this.#state.segments.writtenBytes;
  }

  get segmentCount(): number {
    return this.#state.segments.all.length;
  }

  get producerCount(): number {
    return this.#state.producers.producerCount;
  }

  /**
   * Set once a write or sync has failed: the log takes nothing more and must be opened
   * anew, as after a crash.
   */
  get failure(): OttlaError | undefined {
    return this.#state.failure;
  }

  /** Called whenever `writtenEndOffset` or `syncedEndOffset` has moved. Returns what ends it. */
  onProgress(listener: () => void): () => void {
    return this.#state.onProgress(listener);
  }

  /** Called once when the log fails; appends at or above `syncedEndOffset` then have an unknown outcome. */
  onFailed(listener: (error: OttlaError) => void): () => void {
    return this.#state.onFailed(listener);
  }

  /**
   * The disk is full: appends at or above `fromOffset` were not stored, and the log ends
   * there again. It goes on.
   */
  onAppendsFailed(listener: (fromOffset: number, error: OttlaError) => void): () => void {
    return this.#state.onAppendsFailed(listener);
  }

  /**
   * Validates one or more record batches, gives them offsets and queues them for the
   * disk, at once and all or nothing. They are durable when `syncedEndOffset` has passed
   * `lastOffset`. Throws what refuses them; see the README.
   */
  append(bytes: Uint8Array, options: AppendOptions): Appended {
    return this.#appender.append(bytes, options);
  }

  /** Notes that `epoch` begins at the log's end, before its leader appends anything. */
  beginLeaderEpoch(epoch: number): void {
    this.#appender.beginLeaderEpoch(epoch);
  }

  leaderEpochAt(offset: number): number | undefined {
    return this.#state.epochs.epochAt(offset);
  }

  /** What is remembered of idempotent producers, those not seen for longest first. */
  producers(): Iterable<ProducerEntry> {
    return this.#state.producers.entries();
  }

  /** The largest epoch at or below `epoch` that this log knows, and where it ends (R6). */
  endOffsetForEpoch(epoch: number): { readonly epoch: number; readonly endOffset: number } | undefined {
    return this.#state.epochs.endOffsetFor(epoch, this.logEndOffset);
  }

  /**
   * Whole batches from the one that holds `offset`. Throws OFFSET_OUT_OF_RANGE below the
   * log start and above the log end, and CORRUPT_MESSAGE when the batch is damaged;
   * `nextOffset` in its metadata is where the damage ends.
   */
  read(offset: number, options: ReadOptions): Promise<ReadResult> {
    return this.#reader.read(offset, options);
  }

  /** The first record at or after a time, below `endOffset`. */
  offsetForTimestamp(timestampMs: number, endOffset: number): Promise<TimestampedOffset | undefined> {
    return this.#reader.offsetForTimestamp(timestampMs, endOffset);
  }

  /** The first record that has the largest timestamp of all below `endOffset`. */
  maxTimestampOffset(endOffset: number): Promise<TimestampedOffset | undefined> {
    return this.#reader.maxTimestampOffset(endOffset);
  }

  /**
   * Cuts the log at the last batch boundary at or below `offset`; returns the new end
   * (R6), which is below the log start when that lies inside the batch that went.
   * Durable when it returns.
   */
  truncateTo(offset: number): Promise<number> {
    return this.#maintenance.truncateTo(offset);
  }

  /**
   * Forgets all records and begins anew at `offset`. The log start offset never goes back (R14): a replica
   * that begins below it has nothing to show until it is filled that far.
   */
  truncateFullyAndStartAt(offset: number): Promise<void> {
    return this.#maintenance.truncateFullyAndStartAt(offset);
  }

  /**
   * Moves the log start offset, durably (R14), and deletes segments that are wholly
   * below; returns the log start.
   */
  deleteRecordsBefore(offset: number): Promise<number> {
    return this.#maintenance.deleteRecordsBefore(offset);
  }

  /**
   * Deletes segments that `retention.ms` and `retention.bytes` are done with; returns how many. When space is
   * short the files go at once, and so do those of earlier times that wait for `file.delete.delay.ms`.
   */
  runRetention(nowMs: number, highWatermark: number, spaceIsShort = false): Promise<number> {
    return this.#maintenance.runRetention(nowMs, highWatermark, spaceIsShort);
  }

  /** What waits for compaction, and whether it is due; for a topic whose `cleanup.policy` has `compact`. */
  compactionBacklog(nowMs: number, highWatermark: number): Promise<CompactionBacklog> {
    return this.#compactor.backlog(nowMs, highWatermark);
  }

  /**
   * Keeps of each key the last record, in all that is closed and committed. Appends, reads and truncations go
   * on meanwhile. Throws CORRUPT_MESSAGE when it comes upon damage, and changes nothing there.
   */
  compact(options: CompactOptions): Promise<CompactionReport> {
    return this.#compactor.compact(options);
  }

  /**
   * Writes recovery point, log start offset and the given high watermark; called now and then by the owner.
   */
  checkpoint(highWatermark: number): Promise<void> {
    return this.#maintenance.checkpoint(highWatermark);
  }

  /** Resolves when all appends accepted so far are on disk; rejects when the log has failed. */
  async flush(): Promise<void> {
    await this.#appender.drained();
    await this.#state.flusher.flush();
    if (this.failure !== undefined) throw this.failure;
  }

  /** R12: notes durably that records from `offset` on are lost or damaged here; a lower mark stays. */
  markDamaged(offset: number): Promise<void> {
    return this.#maintenance.markDamaged(offset);
  }

  /** All that was lost is there again, on disk. */
  clearDamage(): Promise<void> {
    return this.#maintenance.clearDamage();
  }

  updateConfig(config: LogConfig): void {
    this.#state.updateConfig(config);
  }

  /** Writes all there is and closes. A log closed so opens without a scan. */
  async close(): Promise<void> {
    this.#reader.close();
    await this.#compactor.close();
    return this.#maintenance.close();
  }

  /** Stops as in a crash: nothing more is written. Resolves when what is in flight has ended. */
  async abandon(): Promise<void> {
    this.#reader.close();
    await this.#compactor.close();
    return this.#maintenance.abandon();
  }
}
