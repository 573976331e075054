import { outOfRange } from "./log-errors.ts";
import type { LogState } from "./log-state.ts";
import { ReadAhead } from "./read-ahead.ts";
import type { Segment } from "./segment.ts";
import { rebuildIndexes } from "./segment-batches.ts";
import { readSegment } from "./segment-reader.ts";
import { findMaxTimestamp, findOffsetForTimestamp, type TimestampedOffset } from "./timestamp-lookup.ts";

export interface ReadOptions {
  readonly maxBytes: number;
  /**
   * Batches that reach to it or beyond are not given: the high watermark for readers. A follower gets what is
   * written, whatever is given beyond that.
   */
  readonly endOffset: number;
  /** Gives the first batch even when it alone is larger than `maxBytes`. True when not given. */
  readonly atLeastOneBatch?: boolean;
  /**
   * For followers: also what begins below the log start, in the batch that holds it (`firstBatchOffset`), so
   * that a replica which starts anew gets that batch whole. False when not given.
   */
  readonly forReplica?: boolean;
}

export interface ReadResult {
  /** Whole batches, one after another, cut into pieces anywhere. Never to be changed. */
  readonly chunks: readonly Uint8Array[];
  /** The offset after the last batch given, or the offset asked for. */
  readonly nextOffset: number;
  readonly sizeBytes: number;
}

type DiskRead = Required<Omit<ReadOptions, "forReplica">>;

/** Truncations and deletions under a reader make it look again, but not for ever. */
const MAX_READ_ATTEMPTS = 16;

/** Reads one open log: the newest from memory, the rest from its segments. */
export class LogReader {
  readonly #state: LogState;
  readonly #readAhead: ReadAhead;

  constructor(state: LogState) {
    this.#state = state;
    this.#readAhead = new ReadAhead(state.resources.readAhead);
  }

  /** See `SegmentedLog.read`. */
  async read(offset: number, options: ReadOptions): Promise<ReadResult> {
    for (let attempt = 0; attempt < MAX_READ_ATTEMPTS; attempt += 1) {
      const { generation } = this.#state;
      this.#checkRange(offset, options.forReplica ?? false);
      const endOffset = Math.min(options.endOffset, this.#state.flusher.writtenEndOffset);
      if (offset >= endOffset) break;
      const atLeastOneBatch = options.atLeastOneBatch ?? true;
      const cached = this.#state.tail.read(offset, endOffset, options.maxBytes, atLeastOneBatch);
      if (cached !== undefined) {
        this.#state.resources.metrics?.countTailCacheHit();
        return cached;
      }
      this.#state.resources.metrics?.countTailCacheMiss();
      try {
        const { maxBytes } = options;
        const result = await this.#readOn(offset, { maxBytes, endOffset, atLeastOneBatch });
        if (generation === this.#state.generation) return result;
      } catch (error) {
        if (generation !== this.#state.generation) continue;
        this.#state.resources.metrics?.countCorruptRead();
        throw error;
      }
    }
    return { chunks: [], nextOffset: offset, sizeBytes: 0 };
  }

  async offsetForTimestamp(timestampMs: number, endOffset: number): Promise<TimestampedOffset | undefined> {
    return this.#lookUp(() => findOffsetForTimestamp(timestampMs, this.#lookupOptions(endOffset)));
  }

  async maxTimestampOffset(endOffset: number): Promise<TimestampedOffset | undefined> {
    return this.#lookUp(() => findMaxTimestamp(this.#lookupOptions(endOffset)));
  }

  close(): void {
    this.#readAhead.close();
  }

  /** Looks again when records disappeared under a lookup: what it found, or failed with, may be of before. */
  async #lookUp<T>(task: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const { generation } = this.#state;
      const isLast = attempt === MAX_READ_ATTEMPTS;
      try {
        const found = await task();
        if (generation === this.#state.generation || isLast) return found;
      } catch (error) {
        if (generation === this.#state.generation || isLast) throw error;
      }
    }
  }

  #checkRange(offset: number, forReplica: boolean): void {
    const { firstBatchOffset, logStartOffset, segments } = this.#state;
    // While a replica fills offsets below its log start again, its readers wait at the log start.
    const endOffset = Math.max(segments.active.assignedEndOffset, logStartOffset);
    if (offset >= (forReplica ? firstBatchOffset : logStartOffset) && offset <= endOffset) return;
    throw outOfRange(offset, logStartOffset, endOffset);
  }

  /** Reads from the disk, unless that has been done already; what probably comes next is read meanwhile. */
  async #readOn(offset: number, options: DiskRead): Promise<ReadResult> {
    if (!options.atLeastOneBatch) return this.#readDisk(offset, options);
    const wanted = { offset, generation: this.#state.generation, ...options };
    const result = (await this.#readAhead.take(wanted)) ?? (await this.#readDisk(offset, options));
    const { nextOffset } = result;
    if (!this.#state.tail.contains(nextOffset)) {
      const next = { ...wanted, offset: nextOffset };
      this.#readAhead.expect(offset, next, () => this.#readDisk(nextOffset, options));
    }
    return result;
  }

  async #readDisk(offset: number, options: DiskRead): Promise<ReadResult> {
    const { segments, epochs, resources } = this.#state;
    const { hasGaps: allowGaps } = this.#state;
    // Compaction may have taken all from the log start up to the first segment.
    let segment: Segment | undefined = segments.floor(offset) ?? (allowGaps ? segments.all[0] : undefined);
    while (segment !== undefined) {
      const { indexWrong, ...result } = await readSegment(segment, {
        ...options,
        offset,
        allowGaps,
        epochs,
        buffers: resources.readBuffers,
      });
      if (indexWrong) {
        resources.logger.warn({ path: segment.offsetIndex.file.path }, "an index is wrong and is made anew");
        if (segment !== segments.active)
          await this.#state.indexRepair.run(() => rebuildIndexes(segment as Segment));
      }
      // Compaction may have taken the segment's last records: the next one has what is looked for.
      if (result.chunks.length > 0 || !allowGaps) return result;
      segment = segments.after(segment);
    }
    return { chunks: [], nextOffset: offset, sizeBytes: 0 };
  }

  #lookupOptions(endOffset: number): Parameters<typeof findMaxTimestamp>[0] {
    return {
      segments: this.#state.segments.all,
      logStartOffset: this.#state.logStartOffset,
      endOffset: Math.min(endOffset, this.#state.flusher.writtenEndOffset),
    };
  }
}
