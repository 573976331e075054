import type { OttlaError } from "@ottla/errors";
import type { BatchHeader } from "@ottla/records";
import type { DiskFile } from "@ottla/runtime";
import {
  type Appended,
  type AppendOptions,
  batchOf,
  checkContinuity,
  checkEpochs,
  checkExpectedEnd,
  checkOwner,
  findDuplicate,
} from "./append-checks.ts";
import { placeBatches, unpinned } from "./append-placement.ts";
import {
  AppendQueue,
  type AppendQueueOwner,
  isDiskFull,
  type PendingAppend,
  type PendingRoll,
  type PendingWrite,
} from "./append-queue.ts";
import { checkClientBatch, checkSegmentSize, readAppend } from "./append-validation.ts";
import { fencedEpoch, logClosed, queueFull } from "./log-errors.ts";
import type { LogState } from "./log-state.ts";
import { encodeProducerSnapshot } from "./producer-snapshot.ts";
import { writeProducerSnapshot } from "./producer-snapshots.ts";
import type { ProducerUndo } from "./producer-state.ts";
import type { Segment } from "./segment.ts";

export interface LogAppenderOptions {
  readonly refuseAppends?: () => OttlaError | undefined;
  readonly maxQueuedBytes?: number;
}

const DEFAULT_MAX_QUEUED_BYTES = 256 * 1024 * 1024;

/** Gives appends their offsets and sees them to the disk. */
export class LogAppender implements AppendQueueOwner {
  readonly #state: LogState;
  readonly #options: LogAppenderOptions;
  readonly #queue: AppendQueue;
  readonly #maxQueuedBytes: number;
  /** Why appends are refused just now: the log is closed, or being truncated. */
  #halted: OttlaError | undefined;
  #stopped = false;
  /** The epoch that this log's leader has begun, whether or not it has written a record. */
  #begunEpoch = -1;

  constructor(state: LogState, options: LogAppenderOptions) {
    this.#state = state;
    this.#options = options;
    this.#maxQueuedBytes = options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES;
    const { clock, metrics } = state.resources;
    this.#queue = new AppendQueue({ clock, metrics, owner: this });
  }

  append(bytes: Uint8Array, options: AppendOptions): Appended {
    this.#checkWritable();
    const { config } = this.#state;
    const nowMs = this.#state.resources.clock.now();
    const isReplica = options.origin === "replica";
    const headers = readAppend(bytes, options);
    if (options.origin === "client") for (const header of headers) checkClientBatch(header, config, nowMs);
    checkEpochs(this.#state, headers, options);
    if (!isReplica) {
      const duplicate = findDuplicate(this.#state, headers);
      if (duplicate !== undefined) return duplicate;
      checkOwner(this.#state, bytes, headers, options);
      this.#reachLogStart();
    }
    const endOffset = this.#state.segments.active.assignedEndOffset;
    checkExpectedEnd(options.expectedEndOffset, endOffset);
    const allowsGaps =
      options.allowsGaps === true || this.#state.hasGaps || config.cleanupPolicy.includes("compact");
    const hasGaps = isReplica && checkContinuity(headers, endOffset, allowsGaps);
    // A leader keeps an append together. A follower gets many at once, which need not fit one
    // segment; nor need one of them, where segment.bytes was larger when the leader took it.
    const units = isReplica ? headers.map((header) => [header]) : [headers];
    if (!isReplica) checkSegmentSize(sum(headers), config);
    if (isReplica) this.#followEpoch(headers[0]?.partitionLeaderEpoch ?? -1, endOffset);
    if (hasGaps) this.#noteGaps();
    const setsTime = !isReplica && config.messageTimestampType === "LogAppendTime";
    const logAppendTimeMs = setsTime ? nowMs : undefined;
    for (const unit of units) this.#enqueue(bytes, unit, { ...options, logAppendTimeMs, nowMs });
    const lastOffset = this.#state.segments.active.assignedEndOffset - 1;
    return {
      baseOffset: endOffset,
      lastOffset,
      recordCount: lastOffset + 1 - endOffset,
      logAppendTimeMs: logAppendTimeMs ?? -1,
      duplicate: false,
    };
  }

  /** Asks for no room on the disk: a node that starts with a full one leads, so that reads go on. */
  beginLeaderEpoch(epoch: number): void {
    this.#checkOpen();
    const latest = this.#state.epochs.latestEpoch ?? -1;
    if (epoch < latest) throw fencedEpoch(epoch, latest);
    this.#reachLogStart();
    this.#begunEpoch = epoch;
    this.#state.epochs.assign(epoch, this.#state.segments.active.assignedEndOffset);
  }

  /** A leader has come, whatever this log has begun to lead: epochs without a record yield to its. */
  #followEpoch(epoch: number, endOffset: number): void {
    this.#begunEpoch = -1;
    const { epochs } = this.#state;
    if (epoch < (epochs.latestEpoch ?? -1)) epochs.truncateFromEnd(endOffset);
  }

  #noteGaps(): void {
    this.#state.noteGaps().catch((error: unknown) => {
      const { logger } = this.#state.resources;
      logger.warn({ directory: this.#state.directory, err: error }, "cannot note that the log has gaps");
    });
  }

  /**
   * A replica that was filling offsets below its log start again, and leads now, goes on at the log start:
   * what it appended below would never be seen (R14).
   */
  #reachLogStart(): void {
    const { logStartOffset, segments } = this.#state;
    if (segments.active.assignedEndOffset < logStartOffset) this.#enqueueRoll({ baseOffset: logStartOffset });
  }

  /** Closes the active segment; resolves when the new one is there. */
  async roll(): Promise<void>;
  async roll(roll: PendingRoll): Promise<void>;
  async roll(roll?: PendingRoll): Promise<void> {
    if (roll !== undefined) return this.#performRoll(roll);
    if (this.#state.segments.active.assignedBytes === 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#enqueueRoll({
        settled: (error) => {
          if (error === undefined) resolve();
          else reject(error);
        },
      });
    });
  }

  drained(): Promise<void> {
    return this.#queue.drained();
  }

  /** Refuses appends from now on, until `resume`. */
  halt(reason: OttlaError): void {
    this.#halted ??= reason;
  }

  resume(): void {
    if (!this.#stopped) this.#halted = undefined;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#halted = logClosed(this.#state.directory);
    await this.#queue.stop();
  }

  #checkOpen(): void {
    if (this.#state.failure !== undefined) throw this.#state.failure;
    if (this.#halted !== undefined) throw this.#halted;
  }

  #checkWritable(): void {
    this.#checkOpen();
    const refusal = this.#options.refuseAppends?.();
    if (refusal !== undefined) throw refusal;
    if (this.#queue.queuedBytes > this.#maxQueuedBytes) throw queueFull(this.#maxQueuedBytes);
  }

  #enqueue(
    bytes: Uint8Array,
    headers: readonly BatchHeader[],
    options: AppendOptions & { readonly logAppendTimeMs: number | undefined; readonly nowMs: number },
  ): void {
    const { segments, epochs, owners } = this.#state;
    const { logAppendTimeMs } = options;
    const baseOffset = segments.active.assignedEndOffset;
    const isReplica = options.origin === "replica";
    let undo = this.#applyProducers(headers, baseOffset, options);
    const placed = placeBatches(bytes, headers, {
      assign: isReplica ? undefined : { baseOffset, leaderEpoch: options.leaderEpoch },
      logAppendTimeMs,
    });
    const lastOffset = placed.batches.at(-1)?.lastOffset ?? baseOffset;
    const maxTimestampMs = Math.max(...placed.batches.map((batch) => batch.maxTimestampMs));
    if (
      segments.active.mustRollBefore(
        { sizeBytes: placed.sizeBytes, lastOffset, maxTimestampMs },
        this.#state.config,
      )
    ) {
      // The snapshot that goes with the new segment must not know what comes after its base offset.
      this.#state.producers.undo(undo, options.nowMs);
      this.#enqueueRoll();
      undo = this.#applyProducers(headers, baseOffset, options);
    }
    const { active } = segments;
    for (const [index, header] of headers.entries()) {
      const batch = placed.batches[index];
      if (batch === undefined) continue;
      active.assign(batch);
      this.#state.noteFirstBatch(batch);
      if (header.isControl) owners.take(header, batchOf(bytes, header), batch.baseOffset);
      epochs.assign(isReplica ? header.partitionLeaderEpoch : options.leaderEpoch, batch.baseOffset);
    }
    this.#queue.push({ kind: "append", segment: active, undo, ...placed });
  }

  /** Checks sequences and notes the batches, all or nothing. Returns what undoes it. */
  #applyProducers(
    headers: readonly BatchHeader[],
    baseOffset: number,
    options: AppendOptions & { readonly logAppendTimeMs: number | undefined; readonly nowMs: number },
  ): ProducerUndo[] {
    const { producers } = this.#state;
    const undo: ProducerUndo[] = [];
    let nextOffset = baseOffset;
    try {
      for (const header of headers) {
        if (header.producerId >= 0) {
          if (options.origin === "client") producers.check(header);
          const stored = { ...header, maxTimestamp: options.logAppendTimeMs ?? header.maxTimestamp };
          // A replica's batches have their offsets, with gaps between them where the leader has compacted.
          const offset = options.origin === "replica" ? header.baseOffset : nextOffset;
          undo.unshift(...producers.apply(stored, offset, options.nowMs));
        }
        nextOffset += header.lastOffsetDelta + 1;
      }
    } catch (error) {
      producers.undo(undo, options.nowMs);
      throw error;
    }
    return undo;
  }

  #enqueueRoll(options: { readonly baseOffset?: number; settled?: PendingRoll["settled"] } = {}): void {
    const { segments, producers } = this.#state;
    const { settled } = options;
    const previous = segments.active;
    const segment = this.#state.newSegment(options.baseOffset ?? previous.assignedEndOffset);
    segments.push(segment);
    const snapshot = encodeProducerSnapshot(producers.entries());
    this.#queue.push({ kind: "roll", segment, previous, snapshot, ...(settled && { settled }) });
  }

  writeFile(segment: Segment): Promise<DiskFile> {
    return this.#state.openWriteFile(segment);
  }

  written(group: readonly PendingAppend[]): void {
    this.#state.noteWriteEnded();
    if (this.#state.failure !== undefined) return;
    const { flusher, tail } = this.#state;
    const cached = group.flatMap((append) => append.cached);
    tail.push(unpinned(cached));
    const last = cached.at(-1);
    if (last !== undefined) flusher.noteWritten(last.lastOffset + 1, cached.length);
    this.#state.progressed();
  }

  /**
   * All of the previous segment is durable, and so is the new one's name, before anything
   * in it is acknowledged.
   */
  async #performRoll(roll: PendingRoll): Promise<void> {
    const { flusher, resources, directory } = this.#state;
    const { disk } = resources;
    const { previous, segment } = roll;
    await flusher.flush();
    if (this.#state.failure !== undefined) throw this.#state.failure;
    await previous.closeIndexes();
    await writeProducerSnapshot(disk, directory, segment.baseOffset, roll.snapshot);
    try {
      await segment.create();
      await disk.syncDirectory(directory);
    } catch (error) {
      // A full disk: the previous segment goes on, and no file may claim that it ended here.
      await segment.removeFiles();
      await disk.syncDirectory(directory);
      throw error;
    }
    if (segment.baseOffset > flusher.writtenEndOffset) flusher.reset(segment.baseOffset);
    await this.#checkpointRoll(segment);
    previous.noteClosed(previous.writtenBytes, segment.baseOffset);
    previous.isClosed = true;
    this.#state.releaseWriteFile();
  }

  /** The checkpoint only makes recovery shorter: when it finds no room, the segment begins without it. */
  async #checkpointRoll(segment: Segment): Promise<void> {
    try {
      await this.#state.writeCheckpoint({ recoveryPoint: segment.baseOffset });
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  discarded(writes: readonly PendingWrite[], error: OttlaError): void {
    const { producers, epochs, owners, segments, resources, directory } = this.#state;
    this.#state.noteWriteEnded();
    const nowMs = resources.clock.now();
    const never: Segment[] = [];
    for (const write of [...writes].reverse()) {
      if (write.kind === "append") producers.undo(write.undo, nowMs);
      else never.push(write.segment);
    }
    segments.remove(never);
    const { active } = segments;
    active.resetToWritten();
    epochs.truncateFromEnd(active.writtenEndOffset);
    if (this.#begunEpoch >= 0) epochs.assign(this.#begunEpoch, active.writtenEndOffset);
    owners.truncateTo(active.writtenEndOffset);
    resources.logger.error({ directory, fromOffset: active.writtenEndOffset }, error.message);
    this.#state.appendsFailed(active.writtenEndOffset, error);
  }

  failed(error: unknown): void {
    this.#state.fail(error);
  }
}

function sum(headers: readonly BatchHeader[]): number {
  return headers.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}
