import { OttlaError } from "@ottla/errors";
import { DiskError, type Timer } from "@ottla/runtime";
import { findBoundary, findFirstBatch } from "./batch-boundaries.ts";
import { writeCleanerCheckpoint } from "./compaction/cleaner-checkpoint.ts";
import type { SegmentSwapper } from "./compaction/log-compactor.ts";
import { INDEX_SUFFIX, LOG_SUFFIX, offsetFileName, SWAP_SUFFIX, TIME_INDEX_SUFFIX } from "./file-names.ts";
import type { LogAppender } from "./log-appender.ts";
import { logClosed, outOfRange } from "./log-errors.ts";
import type { LogState } from "./log-state.ts";
import { replayProducers } from "./producer-replay.ts";
import { encodeProducerSnapshot } from "./producer-snapshot.ts";
import { removeProducerSnapshots, writeProducerSnapshot } from "./producer-snapshots.ts";
import { chooseDeletable, closedBelow, isWorthLeaving } from "./retention.ts";
import type { Segment } from "./segment.ts";
import { refreshTimestamps } from "./segment-batches.ts";
import { Serial } from "./serial.ts";

/** What changes a log beside appends: truncation, deletion, retention, closing. One of them at a time. */
export class LogMaintenance implements SegmentSwapper {
  readonly #state: LogState;
  readonly #appender: LogAppender;
  readonly #serial = new Serial();
  readonly #removals = new Map<Segment, Timer>();
  #closed: Promise<void> | undefined;

  constructor(state: LogState, appender: LogAppender) {
    this.#state = state;
    this.#appender = appender;
  }

  truncateTo(offset: number): Promise<number> {
    return this.#exclusively(async () => {
      const { segments, logStartOffset } = this.#state;
      const endOffset = segments.active.writtenEndOffset;
      if (offset >= endOffset) return endOffset;
      const segment = segments.floor(Math.max(offset, logStartOffset)) ?? segments.active;
      const cut = await findBoundary(segment, Math.max(offset, logStartOffset), this.#state.hasGaps);
      // The log start lies inside the batch that goes: nothing visible is left, and the next
      // leader's batch begins where this one began.
      if (cut.offset < logStartOffset) {
        await this.#startAnew(cut.offset);
        return cut.offset;
      }
      // A crash on the way must not take the shorter log for one that lost synced records.
      this.#state.highWatermark = Math.min(this.#state.highWatermark, cut.offset);
      await this.#forgetCleaned(cut.offset);
      await this.#state.writeCheckpoint({
        recoveryPoint: Math.min(cut.offset, this.#state.flusher.flushedEndOffset),
      });
      this.#forget(cut.offset);
      const beyond = segments.all.filter(({ baseOffset }) => baseOffset > segment.baseOffset);
      for (const gone of [...beyond].reverse()) await this.#dispose(gone);
      segments.remove(beyond);
      if (beyond.length > 0) await this.#state.resources.disk.syncDirectory(this.#state.directory);
      await segment.truncateTo(cut.offset, cut.position);
      await refreshTimestamps(segment);
      await this.#settleAt(cut.offset);
      return cut.offset;
    });
  }

  truncateFullyAndStartAt(offset: number): Promise<void> {
    return this.#exclusively(() => this.#startAnew(offset));
  }

  deleteRecordsBefore(offset: number): Promise<number> {
    return this.#serially(async () => {
      const { logStartOffset } = this.#state;
      const endOffset = Math.max(this.#state.flusher.writtenEndOffset, logStartOffset);
      if (offset > endOffset) throw outOfRange(offset, logStartOffset, endOffset);
      if (offset > logStartOffset) {
        await this.#moveStart(offset);
        const { segments } = this.#state;
        // On a full disk it may stay: its records are deleted all the same.
        if (isWorthLeaving(segments.active, offset)) await this.#appender.roll().catch(() => undefined);
        await this.#delete(closedBelow(segments.all, offset));
      }
      return this.#state.logStartOffset;
    });
  }

  runRetention(nowMs: number, highWatermark: number, spaceIsShort: boolean): Promise<number> {
    return this.#serially(async () => {
      this.#state.producers.expire(nowMs);
      const { segments, config, logStartOffset } = this.#state;
      const { deletable, includesActive } = await chooseDeletable({
        segments: segments.all,
        config,
        nowMs,
        highWatermark,
        logStartOffset,
        ownedFrom: this.#state.owners.latestOffset,
      });
      // Closed segments first: on a full disk they make the room that closing the active one needs.
      let deleted = await this.#deleteOldest(
        deletable.filter(({ isClosed }) => isClosed),
        highWatermark,
      );
      if (spaceIsShort) await this.#removeNow();
      if (includesActive) {
        const { active } = segments;
        await this.#appender.roll();
        deleted += await this.#deleteOldest([active], highWatermark);
        if (spaceIsShort) await this.#removeNow();
      }
      return deleted;
    });
  }

  /** Deletes the log's first segments unless something above the high watermark has come into them. */
  async #deleteOldest(oldest: readonly Segment[], highWatermark: number): Promise<number> {
    const { segments } = this.#state;
    const last = oldest.at(-1);
    const next = last && segments.after(last);
    if (next === undefined || !last?.isClosed || next.baseOffset > highWatermark) return 0;
    await this.#moveStart(Math.max(next.baseOffset, this.#state.logStartOffset));
    await this.#delete(oldest);
    return oldest.length;
  }

  checkpoint(highWatermark: number): Promise<void> {
    return this.#serially(async () => {
      // What a truncation has taken meanwhile is not known to be committed here.
      this.#state.highWatermark = Math.min(highWatermark, this.#state.flusher.writtenEndOffset);
      try {
        await this.#state.writeCheckpoint();
      } catch (thrown) {
        // Its directory is gone under it: what is written now nobody finds again.
        if (thrown instanceof DiskError && thrown.code === "ENOENT") this.#state.fail(thrown);
        throw thrown;
      }
    });
  }

  /** R12: durable before anybody is told of the damage, so that no later run leads with it. */
  async markDamaged(offset: number): Promise<void> {
    if (this.#closed !== undefined) throw logClosed(this.#state.directory);
    if (offset >= (this.#state.damagedFrom ?? Infinity)) return;
    this.#state.damagedFrom = offset;
    await this.#state.writeCheckpoint();
  }

  async clearDamage(): Promise<void> {
    if (this.#closed !== undefined) throw logClosed(this.#state.directory);
    if (this.#state.damagedFrom === undefined) return;
    this.#state.damagedFrom = undefined;
    await this.#state.writeCheckpoint();
  }

  close(): Promise<void> {
    this.#closed ??= this.#serial.run(() => this.#close());
    return this.#closed;
  }

  abandon(): Promise<void> {
    this.#closed ??= this.#abandon();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      if (this.#state.failure === undefined) await this.#writeAll();
    } finally {
      await this.#abandon();
    }
  }

  async #writeAll(): Promise<void> {
    const { flusher, segments, producers, resources, directory } = this.#state;
    this.#appender.halt(logClosed(directory));
    await this.#appender.drained();
    await flusher.flush();
    if (this.#state.failure !== undefined) throw this.#state.failure;
    const { active } = segments;
    await active.closeIndexes();
    const snapshot = encodeProducerSnapshot(producers.entries());
    await writeProducerSnapshot(resources.disk, directory, active.writtenEndOffset, snapshot);
    for (const segment of this.#removals.keys()) await segment.removeFiles();
    await this.#state.writeCheckpoint();
  }

  async #abandon(): Promise<void> {
    for (const timer of this.#removals.values()) timer.cancel();
    this.#removals.clear();
    await this.#appender.stop();
    await this.#state.flusher.stop();
    this.#state.tail.clear();
    this.#state.releaseWriteFile();
    for (const { logPath, offsetIndex, timeIndex } of this.#state.segments.all) {
      for (const path of [logPath, offsetIndex.file.path, timeIndex.file.path]) {
        this.#state.resources.openFiles.forget(path);
        this.#state.resources.indexCache.delete(path);
      }
    }
  }

  async #startAnew(startOffset: number): Promise<void> {
    const { segments, resources, directory, epochs, owners, producers } = this.#state;
    this.#state.highWatermark = startOffset;
    await this.#forgetCleaned(startOffset);
    await this.#state.writeCheckpoint({ recoveryPoint: 0, logStartOffset: startOffset });
    this.#forget(0);
    const all = [...segments.all];
    for (const gone of [...all].reverse()) await this.#dispose(gone);
    const fresh = this.#state.newSegment(startOffset);
    await fresh.create();
    segments.remove(all);
    segments.push(fresh);
    this.#state.firstBatchOffset = this.#state.logStartOffset;
    epochs.clear();
    owners.truncateTo(startOffset);
    owners.forgetBefore(startOffset);
    producers.clear();
    await removeProducerSnapshots(resources.disk, directory, () => true);
    await this.#settleAt(startOffset);
  }

  /** After a truncation: the epochs, the producers and the small files follow the log's new end. */
  async #settleAt(endOffset: number): Promise<void> {
    const { epochs, owners, producers, flusher, resources, directory, segments } = this.#state;
    epochs.truncateFromEnd(endOffset);
    owners.truncateTo(endOffset);
    flusher.reset(endOffset);
    await removeProducerSnapshots(resources.disk, directory, (offset) => offset > endOffset);
    await replayProducers(producers, { directory, offset: endOffset, segments: segments.all, resources });
    await resources.disk.syncDirectory(directory);
    await this.#state.writeCheckpoint();
    this.#state.progressed();
  }

  swapSegments(sources: readonly Segment[], fresh: Segment, truncations: number): Promise<boolean> {
    return this.#serially(async () => {
      const { segments, tail } = this.#state;
      const { all } = segments;
      const begin = all.indexOf(sources[0] ?? fresh);
      const isThere = begin >= 0 && sources.every((source, index) => all[begin + index] === source);
      const next = all[begin + sources.length];
      if (!isThere || next === undefined || truncations !== this.#state.truncations) return false;
      const firstBatchOffset = await this.#firstBatchWith(fresh, next.baseOffset);
      // Where nothing is left, the segment before reaches up to the next; the log's first one always stays.
      const previous = fresh.writtenBytes === 0 ? all[begin - 1] : undefined;
      try {
        if (previous === undefined) await this.#swapFiles(sources, fresh);
        else for (const source of [...sources].reverse()) await this.#dispose(source);
      } catch (error) {
        // What the directory says is not known: the next start ends the swap.
        this.#state.fail(error);
        throw error;
      }
      const kept = previous ?? fresh;
      kept.noteClosed(kept.writtenBytes, next.baseOffset);
      kept.isClosed = true;
      if (previous === undefined) segments.replace(sources, fresh);
      else segments.remove(sources);
      this.#state.generation += 1;
      this.#state.firstBatchOffset = firstBatchOffset;
      tail.forgetBefore(next.baseOffset);
      await this.#removeSnapshots(previous === undefined ? sources.slice(1) : sources);
      return true;
    });
  }

  /** Where the log's first batch will begin when `fresh`, which ends at `endOffset`, is part of it. */
  async #firstBatchWith(fresh: Segment, endOffset: number): Promise<number> {
    const { firstBatchOffset, logStartOffset } = this.#state;
    const holdsStart = fresh.baseOffset <= logStartOffset && logStartOffset < endOffset;
    return holdsStart ? findFirstBatch([fresh], logStartOffset) : firstBatchOffset;
  }

  /** Of segments that are no more; what is left over does no harm. */
  async #removeSnapshots(gone: readonly Segment[]): Promise<void> {
    const { resources, directory } = this.#state;
    const offsets = new Set(gone.map(({ baseOffset }) => baseOffset));
    try {
      await removeProducerSnapshots(resources.disk, directory, (offset) => offsets.has(offset));
    } catch (error) {
      resources.logger.warn({ directory, err: error }, "cannot remove producer snapshots");
    }
  }

  /** See `compaction/segment-swap.ts`. */
  async #swapFiles(sources: readonly Segment[], fresh: Segment): Promise<void> {
    const { directory, resources } = this.#state;
    const { disk } = resources;
    const path = (suffix: string): string => `${directory}/${offsetFileName(fresh.baseOffset, suffix)}`;
    await disk.syncDirectory(directory);
    await fresh.renameLog(path(LOG_SUFFIX + SWAP_SUFFIX));
    await disk.syncDirectory(directory);
    for (const source of [...sources].reverse()) await this.#dispose(source);
    await fresh.offsetIndex.file.rename(path(INDEX_SUFFIX));
    await fresh.timeIndex.file.rename(path(TIME_INDEX_SUFFIX));
    await disk.syncDirectory(directory);
    await fresh.renameLog(path(LOG_SUFFIX));
    await disk.syncDirectory(directory);
  }

  noteCleaned(offset: number, truncations: number): Promise<boolean> {
    return this.#serially(async () => {
      if (truncations !== this.#state.truncations) return false;
      await writeCleanerCheckpoint(this.#state.resources.disk, this.#state.directory, offset);
      this.#state.cleanedOffset = offset;
      return true;
    });
  }

  /** What comes in the place of truncated records is not compacted, whatever was there. */
  async #forgetCleaned(offset: number): Promise<void> {
    if (offset >= this.#state.cleanedOffset) return;
    await writeCleanerCheckpoint(this.#state.resources.disk, this.#state.directory, offset);
    this.#state.cleanedOffset = offset;
  }

  /** Readers and the tail cache lose sight of what begins at `offset`. */
  #forget(offset: number): void {
    this.#state.generation += 1;
    this.#state.truncations += 1;
    this.#state.tail.truncateTo(offset);
    this.#state.releaseWriteFile();
  }

  /** R14: on disk before anybody is told. */
  async #moveStart(offset: number): Promise<void> {
    const firstBatchOffset = await findFirstBatch(this.#state.segments.all, offset);
    await this.#state.writeCheckpoint({ logStartOffset: offset });
    this.#state.firstBatchOffset = firstBatchOffset;
    // Written with the next checkpoint: an old beginning in the file does no harm.
    this.#state.epochs.truncateFromStart(offset);
  }

  async #delete(gone: readonly Segment[]): Promise<void> {
    if (gone.length === 0) return;
    const { segments, resources, directory } = this.#state;
    this.#state.generation += 1;
    segments.remove(gone);
    for (const segment of gone) await this.#dispose(segment);
    const firstBase = segments.all[0]?.baseOffset ?? 0;
    await removeProducerSnapshots(resources.disk, directory, (offset) => offset < firstBase);
  }

  /**
   * Takes the names away now and the files after `file.delete.delay.ms`, for readers that are still in them.
   */
  async #dispose(segment: Segment): Promise<void> {
    await segment.renameToDeleted();
    const remove = (): void => {
      this.#removals.delete(segment);
      segment.removeFiles().catch((error: unknown) => {
        const { logger } = this.#state.resources;
        logger.warn(
          { path: segment.logPath, err: error },
          "cannot remove a deleted segment; it goes at the next start",
        );
      });
    };
    const { clock } = this.#state.resources;
    const delayMs = Math.min(this.#state.config.fileDeleteDelayMs, 0x7fff_ffff);
    this.#removals.set(segment, clock.setTimer(delayMs, remove, { background: true }));
  }

  /** Removes what waits for `file.delete.delay.ms`; a reader that has a file open keeps it to the end. */
  async #removeNow(): Promise<void> {
    for (const [segment, timer] of this.#removals) {
      timer.cancel();
      await segment.removeFiles();
      this.#removals.delete(segment);
    }
  }

  #serially<T>(task: () => Promise<T>): Promise<T> {
    return this.#serial.run(async () => {
      this.#checkOpen();
      return task();
    });
  }

  /** Waits for all writes, keeps appends out, and runs the task; an error in it leaves the log failed. */
  #exclusively<T>(task: () => Promise<T>): Promise<T> {
    return this.#serially(async () => {
      this.#appender.halt(new OttlaError("KAFKA_STORAGE_ERROR", "the log is being truncated"));
      try {
        await this.#appender.drained();
        await this.#state.flusher.flush();
        this.#checkOpen();
        return await task();
      } catch (error) {
        this.#state.fail(error);
        throw error;
      } finally {
        this.#appender.resume();
      }
    });
  }

  #checkOpen(): void {
    if (this.#state.failure !== undefined) throw this.#state.failure;
    if (this.#closed !== undefined) throw logClosed(this.#state.directory);
  }
}
