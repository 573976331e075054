import { CLEANED_SUFFIX } from "../file-names.ts";
import { logClosed } from "../log-errors.ts";
import type { LogState } from "../log-state.ts";
import type { Segment } from "../segment.ts";
import { type CleanableRange, type CompactionBacklog, cleanableRange } from "./cleanable-range.ts";
import type { CompactionPace } from "./compaction-pace.ts";
import { noteDirtyKeys } from "./dirty-keys.ts";
import { KEY_HASH_SECRET_BYTES, KeyHash } from "./key-hash.ts";
import { OffsetMap } from "./offset-map.ts";
import { type CleanCounts, SegmentCleaner } from "./segment-cleaner.ts";
import type { CompactionWork } from "./source-batches.ts";

export interface CompactOptions {
  readonly nowMs: number;
  readonly highWatermark: number;
  readonly pace: CompactionPace;
  /** For the last offset of each key; with more keys, compaction takes several passes. */
  readonly maxMapBytes: number;
}

export interface CompactionReport extends Readonly<CleanCounts> {
  readonly passes: number;
  /** False when the log changed under it, by a truncation or retention: another time is better. */
  readonly isComplete: boolean;
  /** Up to where the log is compacted now. */
  readonly endOffset: number;
}

/** What the log does for compaction, between everything else that changes its segments. */
export interface SegmentSwapper {
  /**
   * Puts `fresh` in the place of `sources`; false, and nothing happened, when they are not there any more as
   * they were, or the log was truncated since `truncations`.
   */
  swapSegments(sources: readonly Segment[], fresh: Segment, truncations: number): Promise<boolean>;
  noteCleaned(offset: number, truncations: number): Promise<boolean>;
}

/** A batch may hold sixteen times as much as its topic allows it on the wire, as at the gateway. */
const DECOMPRESSED_RATIO = 16;
const MIN_DECOMPRESSED_BYTES = 64 * 1024 * 1024;

/** Offsets in an index are relative to the segment's base, an int32. */
const MAX_OFFSET_RANGE = 0x7fff_ffff;

/** Compacts one log, pass after pass, as far as it may: of each key the record with the last offset stays. */
export class LogCompactor {
  readonly #state: LogState;
  readonly #swapper: SegmentSwapper;
  readonly #closing = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  constructor(state: LogState, swapper: SegmentSwapper) {
    this.#state = state;
    this.#swapper = swapper;
  }

  backlog(nowMs: number, highWatermark: number): Promise<CompactionBacklog> {
    return cleanableRange(this.#state, { nowMs, highWatermark });
  }

  /** Compacts what may be compacted now, whether or not it is due. */
  compact(options: CompactOptions): Promise<CompactionReport> {
    const running = this.#running.then(() => this.#compact(options));
    this.#running = running.catch(() => undefined);
    return running;
  }

  /** Ends what is under way and resolves when it has; a half-written segment is left for the next start. */
  async close(): Promise<void> {
    this.#closing.abort(logClosed(this.#state.directory));
    await this.#running;
  }

  async #compact(options: CompactOptions): Promise<CompactionReport> {
    const { config } = this.#state;
    const work: CompactionWork = {
      state: this.#state,
      pace: options.pace,
      signal: this.#closing.signal,
      maxDecompressedBytes: Math.max(MIN_DECOMPRESSED_BYTES, DECOMPRESSED_RATIO * config.maxMessageBytes),
    };
    const counts: CleanCounts = {
      readBytes: 0,
      writtenBytes: 0,
      keptRecords: 0,
      removedRecords: 0,
      removedBatches: 0,
    };
    let passes = 0;
    let isComplete = true;
    const { endOffset } = await cleanableRange(this.#state, options);
    while (isComplete) {
      work.signal.throwIfAborted();
      const range = await cleanableRange(this.#state, options);
      if (range.firstDirtyOffset >= endOffset && !range.hasDueTombstones) break;
      passes += 1;
      isComplete = await this.#pass(work, { ...range, endOffset }, options, counts);
    }
    return { ...counts, passes, isComplete, endOffset: this.#state.cleanedOffset };
  }

  /** False when the log changed under it, so that another time is better. */
  async #pass(
    work: CompactionWork,
    range: CleanableRange,
    { nowMs, maxMapBytes }: CompactOptions,
    counts: CleanCounts,
  ): Promise<boolean> {
    const { segments, truncations } = this.#state;
    const { firstDirtyOffset: fromOffset, endOffset } = range;
    const mapBytes = Math.min(maxMapBytes, OffsetMap.bytesFor(endOffset - fromOffset));
    const map = new OffsetMap(
      mapBytes,
      new KeyHash(this.#state.resources.random.bytes(KEY_HASH_SECRET_BYTES)),
    );
    const cleanable = segments.all.filter(({ baseOffset }) => baseOffset < endOffset);
    const dirty = cleanable.filter(({ writtenEndOffset }) => writtenEndOffset > fromOffset);
    const mappedEnd = await noteDirtyKeys(work, { segments: dirty, fromOffset, endOffset }, map);
    const reached = cleanable.filter(({ baseOffset }) => baseOffset < mappedEnd);
    await this.#state.noteGaps();
    const horizon = { firstMs: Number.POSITIVE_INFINITY };
    const options = { work, map, mappedEnd, nowMs, counts, horizon };
    for (const sources of await this.#groups(reached)) {
      if (!(await this.#cleanGroup(sources, options, truncations))) return false;
    }
    this.#state.tombstonesDueMs = horizon.firstMs;
    return this.#swapper.noteCleaned(mappedEnd, truncations);
  }

  async #cleanGroup(
    sources: readonly Segment[],
    options: ConstructorParameters<typeof SegmentCleaner>[1],
    truncations: number,
  ): Promise<boolean> {
    const [first] = sources;
    if (first === undefined) return true;
    const target = this.#state.newSegment(first.baseOffset, CLEANED_SUFFIX);
    const cleaner = new SegmentCleaner(target, options);
    try {
      await cleaner.clean(sources);
      if (sources.length === 1 && !cleaner.hasChanged) return true;
      return await this.#swapper.swapSegments(sources, target, truncations);
    } catch (error) {
      const { all } = this.#state.segments;
      if (sources.every((source) => all.includes(source))) throw error;
      // Retention has taken the files away.
      return false;
    } finally {
      // A swap that has begun is ended, now or by the next start, which needs its files.
      const isLeftOver = target.logPath.endsWith(CLEANED_SUFFIX) && this.#state.failure === undefined;
      if (isLeftOver && !this.#closing.signal.aborted) await target.removeFiles();
    }
  }

  /** Neighbours that fit one segment become one, so that compaction leaves no crowd of small files. */
  async #groups(segments: readonly Segment[]): Promise<Segment[][]> {
    const { segmentBytes, segmentIndexBytes } = this.#state.config;
    const groups: Segment[][] = [];
    let group: Segment[] = [];
    let sizeBytes = 0;
    let indexBytes = 0;
    for (const segment of segments) {
      const base = group[0]?.baseOffset ?? segment.baseOffset;
      const addedIndexBytes = await segment.indexBytes();
      const fits =
        sizeBytes + segment.writtenBytes <= segmentBytes &&
        indexBytes + addedIndexBytes <= segmentIndexBytes &&
        segment.writtenEndOffset - base <= MAX_OFFSET_RANGE;
      if (group.length > 0 && !fits) {
        groups.push(group);
        group = [];
        sizeBytes = 0;
        indexBytes = 0;
      }
      group.push(segment);
      sizeBytes += segment.writtenBytes;
      indexBytes += addedIndexBytes;
    }
    if (group.length > 0) groups.push(group);
    return groups;
  }
}
