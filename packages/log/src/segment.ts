import type { BatchHeader } from "@ottla/records";
import { DiskError } from "@ottla/runtime";
import { DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, offsetFileName, TIME_INDEX_SUFFIX } from "./file-names.ts";
import type { LogResources } from "./log-resources.ts";
import { OFFSET_INDEX_ENTRY_BYTES, OffsetIndex } from "./offset-index.ts";
import type { FileLease } from "./open-files.ts";
import { TIME_INDEX_ENTRY_BYTES, TimeIndex, type TimestampOffset } from "./time-index.ts";

/** What a segment notes of a batch that was given its place. */
export interface PlacedBatch {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly sizeBytes: number;
  readonly maxTimestampMs: number;
}

/** A batch that compaction has emptied keeps its times and has no record of them: to indexes it has none. */
export function largestTimestampOf(header: BatchHeader): number {
  return header.recordCount === 0 ? -1 : header.maxTimestamp;
}

export interface SegmentOptions {
  readonly directory: string;
  readonly baseOffset: number;
  readonly indexIntervalBytes: number;
  readonly resources: LogResources;
  /** Behind the names of its files, until they get their own. */
  readonly suffix?: string;
}

/** Unsaved index entries beyond this go to the file with the next write. */
const MAX_TAIL_ENTRIES = 512;
/** Readers in one segment at a time whose place is remembered. */
const MAX_READ_POSITIONS = 16;
const MAX_RELATIVE_OFFSET = 0x7fff_ffff;

/**
 * One `.log` file with its two indexes. Batches get their place here at once ("assigned")
 * and reach the file later ("written"); a failed write makes the two equal again.
 */
export class Segment {
  readonly baseOffset: number;
  readonly offsetIndex: OffsetIndex;
  readonly timeIndex: TimeIndex;
  readonly #resources: LogResources;
  #logPath: string;
  /** The next segment is on disk, so this one takes no more and may be deleted. */
  isClosed = false;
  writtenBytes = 0;
  /** The offset after the last batch written. For a closed segment, the next one's base offset. */
  writtenEndOffset: number;
  assignedBytes = 0;
  assignedEndOffset: number;
  /** Batches assigned and not written: each may need an index entry. */
  #unwrittenBatches = 0;
  /** The largest timestamp of the first batch, which `segment.ms` counts from. */
  firstTimestampMs: number | undefined;
  /** The largest timestamp written, and the last offset of the first batch that has it. */
  maxTimestamp: TimestampOffset | undefined;
  #bytesSinceIndexEntry = 0;
  /** Where the batches begin that readers going on in order will ask for next. */
  readonly #readPositions = new Map<number, number>();
  /** `index.interval.bytes` of the topic. */
  indexIntervalBytes: number;

  constructor(options: SegmentOptions) {
    const { directory, baseOffset, resources, suffix = "" } = options;
    this.baseOffset = baseOffset;
    this.indexIntervalBytes = options.indexIntervalBytes;
    this.writtenEndOffset = baseOffset;
    this.assignedEndOffset = baseOffset;
    this.#resources = resources;
    this.#logPath = `${directory}/${offsetFileName(baseOffset, LOG_SUFFIX + suffix)}`;
    const shared = {
      baseOffset,
      disk: resources.disk,
      openFiles: resources.openFiles,
      indexCache: resources.indexCache,
    };
    this.offsetIndex = new OffsetIndex({
      ...shared,
      path: `${directory}/${offsetFileName(baseOffset, INDEX_SUFFIX + suffix)}`,
    });
    this.timeIndex = new TimeIndex({
      ...shared,
      path: `${directory}/${offsetFileName(baseOffset, TIME_INDEX_SUFFIX + suffix)}`,
    });
  }

  get logPath(): string {
    return this.#logPath;
  }

  /** The larger of both indexes. */
  async indexBytes(): Promise<number> {
    const { offsetIndex, timeIndex } = this;
    await offsetIndex.file.open();
    await timeIndex.file.open();
    return Math.max(
      offsetIndex.file.entryCount * OFFSET_INDEX_ENTRY_BYTES,
      timeIndex.file.entryCount * TIME_INDEX_ENTRY_BYTES,
    );
  }

  openLog(mode: "read" | "write"): Promise<FileLease> {
    return this.#resources.openFiles.acquire(this.#logPath, mode);
  }

  /** Whether a batch must go to a new segment: size, time, a full index, or offsets too far from the base. */
  mustRollBefore(
    batch: { readonly sizeBytes: number; readonly lastOffset: number; readonly maxTimestampMs: number },
    config: { readonly segmentBytes: number; readonly segmentMs: number; readonly segmentIndexBytes: number },
  ): boolean {
    if (batch.lastOffset - this.baseOffset > MAX_RELATIVE_OFFSET) return true;
    if (this.assignedBytes === 0) return false;
    if (this.assignedBytes + batch.sizeBytes > config.segmentBytes) return true;
    if (
      this.firstTimestampMs !== undefined &&
      batch.maxTimestampMs - this.firstTimestampMs > config.segmentMs
    ) {
      return true;
    }
    const offsetEntries = this.offsetIndex.file.entryCount + this.#unwrittenBatches + 1;
    // One place in the time index stays free for the entry that closes the segment.
    const timeEntries = this.timeIndex.file.entryCount + this.#unwrittenBatches + 2;
    return (
      offsetEntries * OFFSET_INDEX_ENTRY_BYTES > config.segmentIndexBytes ||
      timeEntries * TIME_INDEX_ENTRY_BYTES > config.segmentIndexBytes
    );
  }

  assign(batch: PlacedBatch): void {
    if (this.assignedBytes === 0) {
      this.firstTimestampMs = batch.maxTimestampMs >= 0 ? batch.maxTimestampMs : undefined;
    }
    this.assignedBytes += batch.sizeBytes;
    this.assignedEndOffset = batch.lastOffset + 1;
    this.#unwrittenBatches += 1;
  }

  /** After a failed write: what was assigned and not written never was. */
  resetToWritten(): void {
    this.assignedBytes = this.writtenBytes;
    this.assignedEndOffset = this.writtenEndOffset;
    this.#unwrittenBatches = 0;
    if (this.writtenBytes === 0) this.firstTimestampMs = undefined;
  }

  noteWritten(batch: PlacedBatch): void {
    this.#index(batch);
    this.#unwrittenBatches -= 1;
  }

  /** A segment that was closed, as found on disk. */
  noteClosed(sizeBytes: number, endOffset: number): void {
    this.writtenBytes = sizeBytes;
    this.writtenEndOffset = endOffset;
    this.resetToWritten();
  }

  /** The active segment as a clean shutdown left it. */
  noteReopened(found: {
    readonly sizeBytes: number;
    readonly endOffset: number;
    readonly firstTimestampMs: number | undefined;
    readonly lastIndexedPosition: number;
  }): void {
    this.noteClosed(found.sizeBytes, found.endOffset);
    this.firstTimestampMs = found.firstTimestampMs;
    this.#bytesSinceIndexEntry = found.sizeBytes - found.lastIndexedPosition;
  }

  /** Takes a batch found in the file by recovery. */
  noteRecovered(batch: PlacedBatch, position: number): void {
    if (position === 0) {
      this.firstTimestampMs = batch.maxTimestampMs >= 0 ? batch.maxTimestampMs : undefined;
    }
    this.#bytesSinceIndexEntry += position - this.writtenBytes;
    this.writtenBytes = position;
    this.#index(batch);
    this.assignedBytes = this.writtenBytes;
    this.assignedEndOffset = this.writtenEndOffset;
  }

  #index(batch: PlacedBatch): void {
    if (this.maxTimestamp === undefined || batch.maxTimestampMs > this.maxTimestamp.timestampMs) {
      this.maxTimestamp = { timestampMs: batch.maxTimestampMs, offset: batch.lastOffset };
    }
    if (this.#bytesSinceIndexEntry > this.indexIntervalBytes) {
      this.offsetIndex.append(batch.lastOffset, this.writtenBytes);
      this.#appendMaxTimestamp();
      this.#bytesSinceIndexEntry = 0;
    }
    this.#bytesSinceIndexEntry += batch.sizeBytes;
    this.writtenBytes += batch.sizeBytes;
    this.writtenEndOffset = batch.lastOffset + 1;
  }

  #appendMaxTimestamp(): void {
    const { maxTimestamp } = this;
    if (maxTimestamp !== undefined && maxTimestamp.timestampMs >= 0) {
      this.timeIndex.maybeAppend(maxTimestamp.timestampMs, maxTimestamp.offset);
    }
  }

  /** Saves index entries that pile up in memory. */
  async saveLongTails(): Promise<void> {
    if (this.offsetIndex.file.tailCount >= MAX_TAIL_ENTRIES) await this.offsetIndex.file.save();
    if (this.timeIndex.file.tailCount >= MAX_TAIL_ENTRIES) await this.timeIndex.file.save();
  }

  /** Completes both indexes and makes them durable: those of a closed segment are believed after a crash. */
  async closeIndexes(): Promise<void> {
    this.#appendMaxTimestamp();
    await Promise.all([this.offsetIndex.file.finish(), this.timeIndex.file.finish()]);
  }

  /** Makes the three files; the caller syncs the directory before anything in them is acknowledged. */
  async create(): Promise<void> {
    const lease = await this.openLog("write");
    try {
      await lease.file.truncate(0);
    } finally {
      lease.release();
    }
    await this.offsetIndex.file.reset();
    await this.timeIndex.reset();
  }

  async resetIndexes(): Promise<void> {
    await this.offsetIndex.file.reset();
    await this.timeIndex.reset();
    this.maxTimestamp = undefined;
    this.#bytesSinceIndexEntry = 0;
  }

  /** Cuts the file and its indexes; `position` is where the batch that would begin with `endOffset` stood. */
  async truncateTo(endOffset: number, position: number): Promise<void> {
    const lease = await this.openLog("write");
    try {
      await lease.file.truncate(position);
      await lease.file.sync();
    } finally {
      lease.release();
    }
    await this.offsetIndex.truncateTo(endOffset);
    await this.timeIndex.truncateTo(endOffset);
    const lastEntry = await this.offsetIndex.last();
    this.#bytesSinceIndexEntry = position - (lastEntry?.position ?? 0);
    this.#readPositions.clear();
    this.isClosed = false;
    this.writtenBytes = position;
    this.writtenEndOffset = endOffset;
    this.resetToWritten();
  }

  /** Where the batch with this base offset begins, if a reader has just come that far. */
  readPosition(offset: number): number | undefined {
    return this.#readPositions.get(offset);
  }

  noteReadPosition(offset: number, position: number): void {
    this.#readPositions.delete(offset);
    this.#readPositions.set(offset, position);
    if (this.#readPositions.size <= MAX_READ_POSITIONS) return;
    for (const [oldest] of this.#readPositions) {
      this.#readPositions.delete(oldest);
      return;
    }
  }

  /**
   * The largest timestamp of a segment that may not be in memory; the file's own time
   * when the index knows none.
   */
  async largestTimestampMs(): Promise<number> {
    this.maxTimestamp ??= await this.timeIndex.last();
    if (this.maxTimestamp !== undefined && this.maxTimestamp.timestampMs >= 0)
      return this.maxTimestamp.timestampMs;
    const stat = await this.#resources.disk.stat(this.#logPath);
    return stat?.modifiedMs ?? 0;
  }

  /** Takes the files' names away; readers that hold the file read on. */
  async renameToDeleted(): Promise<void> {
    const { logPath } = this;
    try {
      await this.renameLog(logPath + DELETED_SUFFIX);
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== "ENOENT") throw error;
    }
    for (const { file } of [this.offsetIndex, this.timeIndex]) await file.rename(file.path + DELETED_SUFFIX);
  }

  async renameLog(path: string): Promise<void> {
    const from = this.#logPath;
    this.#logPath = path;
    this.#resources.openFiles.forget(from);
    await this.#resources.disk.rename(from, path);
  }

  async removeFiles(): Promise<void> {
    for (const path of [this.#logPath, this.offsetIndex.file.path, this.timeIndex.file.path]) {
      this.#resources.openFiles.forget(path);
      await this.#resources.disk.remove(path);
    }
  }
}
