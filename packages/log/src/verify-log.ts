import type { BatchHeader } from "@ottla/records";
import { type Disk, type DiskFile, readWholeFile } from "@ottla/runtime";
import { BatchScanner, findNextBatch } from "./batch-scanner.ts";
import {
  LEADER_EPOCH_CHECKPOINT,
  LOG_CHECKPOINT,
  OWNER_EPOCH_CHECKPOINT,
  parseOffsetFileName,
  SNAPSHOT_SUFFIX,
} from "./file-names.ts";
import { LeaderEpochCache, readLeaderEpochs } from "./leader-epoch-cache.ts";
import { readLogCheckpoint } from "./log-checkpoint.ts";
import { type LogProblem, LogProblems } from "./log-problems.ts";
import {
  listOfflineSegments,
  listOfflineSnapshots,
  type OfflineSegment,
  readOffsetIndex,
  readTimeIndex,
} from "./offline-log.ts";
import { readOwnerEpochs } from "./owner-epoch-cache.ts";
import { decodeProducerSnapshot } from "./producer-snapshot.ts";
import { OffsetIndexCheck, TimeIndexCheck } from "./verify-indexes.ts";

export interface LogVerification {
  readonly directory: string;
  readonly segmentCount: number;
  readonly batchCount: number;
  readonly recordCount: number;
  readonly sizeBytes: number;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly errorCount: number;
  readonly warningCount: number;
  /** The first of them, at most `maxProblems`. */
  readonly problems: readonly LogProblem[];
}

export interface VerifyLogOptions {
  readonly maxProblems?: number;
  /** Compacted topics have gaps between offsets. */
  readonly allowGaps?: boolean;
}

const EMPTY = "an empty file before the last segment; the next start removes it";
const INTERRUPTED = "a compaction was interrupted; the next start ends it";
const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;

/**
 * Checks all files of a partition directory against one another, reading only; for a
 * stopped node or a copy. Names file, position and offset of whatever is wrong.
 */
export async function verifyLog(
  directory: string,
  disk: Disk,
  options: VerifyLogOptions = {},
): Promise<LogVerification> {
  return new LogVerifier(directory, disk, options).run();
}

class LogVerifier {
  readonly #directory: string;
  readonly #disk: Disk;
  readonly #problems: LogProblems;
  #allowGaps: boolean;
  #recoveryPoint = 0;
  #logStartOffset = 0;
  #epochs = new LeaderEpochCache();
  #latestEpoch = -1;
  /** The last difference between a batch's epoch and the checkpoint that was told. */
  #toldEpochs = "";
  #expectedOffset = 0;
  #batchCount = 0;
  #recordCount = 0;

  constructor(directory: string, disk: Disk, options: VerifyLogOptions) {
    this.#directory = directory;
    this.#disk = disk;
    this.#problems = new LogProblems(options.maxProblems);
    this.#allowGaps = options.allowGaps ?? false;
  }

  async run(): Promise<LogVerification> {
    const all = await listOfflineSegments(this.#directory, this.#disk);
    const segments = all.filter((segment) => segment.sizeBytes > 0 || segment === all.at(-1));
    await this.#readSmallFiles();
    for (const segment of all) {
      const isCompacted = this.#allowGaps || segment.baseOffset < this.#logStartOffset;
      if (segments.includes(segment) || isCompacted) continue;
      this.#warning({ file: segment.logFile, problem: EMPTY });
    }
    this.#expectedOffset = segments[0]?.baseOffset ?? 0;
    this.#logStartOffset = Math.max(this.#logStartOffset, this.#expectedOffset);
    let sizeBytes = 0;
    for (const [index, segment] of segments.entries()) {
      sizeBytes += segment.sizeBytes;
      const next = segments[index + 1];
      // Wholly below the log start offset: a deletion that a crash interrupted, ended by the next start.
      const isDeleted = next !== undefined && next.baseOffset <= this.#logStartOffset;
      if (isDeleted) this.#expectedOffset = next.baseOffset;
      else await this.#verifySegment(segment, next);
    }
    if (segments.length === 0) this.#error({ file: this.#directory, problem: "there is no segment" });
    this.#verifyEnd();
    for (const file of await listOfflineSnapshots(this.#directory, this.#disk))
      await this.#verifySnapshot(file);
    return {
      directory: this.#directory,
      segmentCount: segments.length,
      batchCount: this.#batchCount,
      recordCount: this.#recordCount,
      sizeBytes,
      logStartOffset: this.#logStartOffset,
      logEndOffset: this.#expectedOffset,
      errorCount: this.#problems.errorCount,
      warningCount: this.#problems.warningCount,
      problems: this.#problems.kept,
    };
  }

  async #readSmallFiles(): Promise<void> {
    const checkpoint = await readLogCheckpoint(this.#disk, this.#directory);
    if (checkpoint === "damaged") {
      this.#error({ file: `${this.#directory}/${LOG_CHECKPOINT}`, problem: "the checkpoint is damaged" });
    } else if (checkpoint !== undefined) {
      this.#recoveryPoint = checkpoint.recoveryPoint;
      this.#allowGaps ||= checkpoint.hasGaps === true;
      this.#logStartOffset = checkpoint.logStartOffset;
    }
    if ((await readOwnerEpochs(this.#disk, this.#directory)) === "damaged") {
      const file = `${this.#directory}/${OWNER_EPOCH_CHECKPOINT}`;
      this.#warning({ file, problem: "the checkpoint of owner epochs is damaged" });
    }
    const epochs = await readLeaderEpochs(this.#disk, this.#directory);
    if (epochs === "damaged") {
      const file = `${this.#directory}/${LEADER_EPOCH_CHECKPOINT}`;
      this.#warning({ file, problem: "the checkpoint of leader epochs is damaged" });
    } else if (epochs !== undefined) {
      this.#epochs = new LeaderEpochCache(epochs);
    }
  }

  async #verifySegment(segment: OfflineSegment, next: OfflineSegment | undefined): Promise<void> {
    const { baseOffset, logFile, isSwap } = segment;
    if (isSwap) this.#warning({ file: logFile, problem: INTERRUPTED });
    const isHole =
      baseOffset !== this.#expectedOffset && !(this.#allowGaps && baseOffset > this.#expectedOffset);
    if (isHole) {
      const offset = this.#expectedOffset;
      const problem = `offsets ${offset} to ${baseOffset - 1} are missing before it`;
      const severity = offset < this.#recoveryPoint ? "error" : "warning";
      this.#problems.add({ severity, file: logFile, offset, problem });
    }
    this.#expectedOffset = baseOffset;
    // Indexes at or behind the recovery point are made anew by the next start after a crash.
    const isProven = !isSwap && next !== undefined && next.baseOffset <= this.#recoveryPoint;
    const report = (problem: Omit<LogProblem, "severity">): void =>
      this.#problems.add({ ...problem, severity: isProven ? "error" : "warning" });
    const index = await readOffsetIndex(segment, this.#disk);
    const timeIndex = await readTimeIndex(segment, this.#disk);
    if (index === undefined) report({ file: segment.indexFile, problem: "the file is missing" });
    if (timeIndex === undefined) report({ file: segment.timeIndexFile, problem: "the file is missing" });
    const none = { entries: [], oddBytes: 0 } as const;
    const offsetCheck = new OffsetIndexCheck(segment.indexFile, index ?? none, report);
    const timeCheck = new TimeIndexCheck(segment.timeIndexFile, timeIndex ?? none, report);
    const file = await this.#disk.open(logFile, "read");
    try {
      await this.#verifyBatches(segment, next?.baseOffset, file, (position, header) => {
        offsetCheck.see(position, header);
        timeCheck.see(header);
      });
    } finally {
      await file.close();
    }
    offsetCheck.end();
    timeCheck.end();
  }

  async #verifyBatches(
    segment: OfflineSegment,
    nextBase: number | undefined,
    file: DiskFile,
    see: (position: number, header: BatchHeader) => void,
  ): Promise<void> {
    const endPosition = segment.sizeBytes;
    const scanner = new BatchScanner({ file, position: 0, endPosition, chunkBytes: 1024 * 1024 });
    for (let step = await scanner.next(); step.kind !== "end"; step = await scanner.next()) {
      const reason = step.kind === "damaged" ? step.reason : this.#discontinuity(step.header);
      if (reason === undefined && step.kind === "batch" && this.#expectedOffset !== nextBase) {
        this.#compareEpoch(segment.logFile, step.position, step.header);
        this.#take(step.header);
        see(step.position, step.header);
        continue;
      }
      const { position } = step;
      if (this.#expectedOffset === nextBase) {
        const problem = "bytes behind the segment's last batch, which belong to no record";
        this.#warning({ file: segment.logFile, position, problem });
        return;
      }
      const next = await findNextBatch(file, {
        fromPosition: position + 1,
        endPosition,
        minBaseOffset: this.#expectedOffset + 1,
        maxBaseOffset: Number.MAX_SAFE_INTEGER,
      });
      const offset = this.#expectedOffset;
      const isTornTail = offset >= this.#recoveryPoint;
      const fate = isTornTail ? " (behind the recovery point: the next start cuts it)" : "";
      const problem = `${reason ?? "damaged"}${fate}`;
      this.#problems.add({
        severity: isTornTail ? "warning" : "error",
        file: segment.logFile,
        position,
        offset,
        problem,
      });
      if (next === undefined) return;
      this.#expectedOffset = next.header.baseOffset;
      scanner.seek(next.position);
    }
  }

  #discontinuity(header: BatchHeader): string | undefined {
    const { baseOffset, partitionLeaderEpoch } = header;
    const follows = this.#allowGaps
      ? baseOffset >= this.#expectedOffset
      : baseOffset === this.#expectedOffset;
    if (!follows) return `base offset ${baseOffset} where ${this.#expectedOffset} is expected`;
    if (partitionLeaderEpoch < this.#latestEpoch) {
      return `leader epoch ${partitionLeaderEpoch} after epoch ${this.#latestEpoch}`;
    }
    return undefined;
  }

  /** The batches may be right and the checkpoint wrong, so a difference is told once and ends nothing. */
  #compareEpoch(file: string, position: number, header: BatchHeader): void {
    const { baseOffset, lastOffset, partitionLeaderEpoch } = header;
    // Nothing is known of epochs below the log start, where the first batch may begin.
    if (lastOffset < this.#logStartOffset) return;
    const known = this.#epochs.epochAt(lastOffset) ?? partitionLeaderEpoch;
    // The checkpoint may lag behind the log's end after a crash, never behind its recovery point.
    const differs = known !== partitionLeaderEpoch && baseOffset < this.#recoveryPoint;
    const pair = differs ? `${partitionLeaderEpoch} ${known}` : "";
    if (differs && pair !== this.#toldEpochs) {
      const problem = `leader epoch ${partitionLeaderEpoch}, but ${LEADER_EPOCH_CHECKPOINT} says ${known}`;
      this.#error({ file, position, offset: baseOffset, problem });
    }
    this.#toldEpochs = pair;
  }

  #take(header: BatchHeader): void {
    this.#expectedOffset = header.lastOffset + 1;
    this.#latestEpoch = header.partitionLeaderEpoch;
    this.#batchCount += 1;
    this.#recordCount += header.recordCount;
  }

  #verifyEnd(): void {
    const endOffset = this.#expectedOffset;
    const file = `${this.#directory}/${LOG_CHECKPOINT}`;
    if (endOffset < this.#recoveryPoint) {
      const problem = `the log ends at ${endOffset}, but was synced up to ${this.#recoveryPoint}`;
      this.#error({ file, offset: endOffset, problem });
    }
  }

  async #verifySnapshot(file: string): Promise<void> {
    const bytes = (await readWholeFile(this.#disk, file, MAX_SNAPSHOT_BYTES)) ?? new Uint8Array(0);
    const decoded = decodeProducerSnapshot(bytes);
    if (!Array.isArray(decoded))
      this.#warning({ file, problem: `the snapshot is damaged: ${decoded.damage}` });
    const offset = parseOffsetFileName(file.slice(file.lastIndexOf("/") + 1), SNAPSHOT_SUFFIX) ?? 0;
    if (offset > this.#expectedOffset)
      this.#warning({ file, offset, problem: "the snapshot lies behind the log's end" });
  }

  #error(problem: Omit<LogProblem, "severity">): void {
    this.#problems.add({ ...problem, severity: "error" });
  }

  #warning(problem: Omit<LogProblem, "severity">): void {
    this.#problems.add({ ...problem, severity: "warning" });
  }
}
