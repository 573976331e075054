import { makeDirectoryDurably } from "@ottla/runtime";
import { findFirstBatch } from "./batch-boundaries.ts";
import { BatchScanner } from "./batch-scanner.ts";
import { type FoundLog, findLog, type LoadLogOptions } from "./found-log.ts";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import { writeLogCheckpoint } from "./log-checkpoint.ts";
import { recoverLog } from "./log-recovery.ts";
import type { OwnerEpochCache } from "./owner-epoch-cache.ts";
import { replayProducers } from "./producer-replay.ts";
import { removeProducerSnapshots } from "./producer-snapshots.ts";
import type { ProducerState } from "./producer-state.ts";
import type { DamagedRange, RecoveryReport } from "./recovery-report.ts";
import { Segment } from "./segment.ts";

export interface LoadedLog {
  readonly segments: Segment[];
  readonly logStartOffset: number;
  readonly firstBatchOffset: number;
  readonly highWatermark: number;
  readonly damagedFrom: number | undefined;
  readonly epochs: LeaderEpochCache;
  readonly owners: OwnerEpochCache;
  readonly producers: ProducerState;
  readonly hasGaps: boolean;
  /** Up to where the log was compacted. */
  readonly cleanedOffset: number;
  readonly report: RecoveryReport;
}

/** Opens a partition's directory: as a clean shutdown left it, or by recovery. */
export async function loadLog(options: LoadLogOptions): Promise<LoadedLog> {
  const { directory, resources } = options;
  // Where the data directory is gone, nothing of it is made anew: a start would take it for what is left.
  const { below } = options;
  await makeDirectoryDurably(resources.disk, directory, below === undefined ? {} : { below });
  const found = await findLog(options);
  if (found.isLost) {
    const text =
      "the files of a partition went while nobody had them open: what its replica held here is lost";
    resources.logger.error({ directory }, text);
  }
  if (found.segments.length === 0) return createLog(options, found);
  const mayBeClean = options.cleanShutdown && !found.lacksOwners && !found.isLost;
  const isClean = mayBeClean && (await openClean(options, found));
  if (isClean) {
    return finish(found, { kind: "clean", cutBytes: 0, removedSegments: 0, damagedRanges: [] });
  }
  const { report, ...recovered } = await recoverLog(options, found);
  const { cutBytes, damagedRanges } = report;
  if (damagedRanges.length > 0) {
    resources.logger.error({ directory, damagedRanges }, "synced records of the log are damaged");
  } else if (cutBytes > 0) {
    resources.logger.info({ directory, cutBytes }, "cut what a crash left behind the last whole batch");
  }
  return finish({ ...found, ...recovered }, report);
}

/**
 * Takes the active segment as it was closed; false when anything disagrees, and then it is recovered instead.
 */
async function openClean(options: LoadLogOptions, found: FoundLog): Promise<boolean> {
  const active = found.segments.at(-1);
  if (active === undefined || found.recoveryPoint < active.baseOffset) return false;
  const sizeBytes = active.writtenBytes;
  // Of records below the log start no epochs are kept.
  const hasRecords = sizeBytes > 0 && found.recoveryPoint > found.logStartOffset;
  if (hasRecords && found.epochs.latestEpoch === undefined) return false;
  const entry = await active.offsetIndex.last();
  const lastIndexedPosition = entry?.position ?? 0;
  const lease = await active.openLog("read");
  try {
    const scanner = new BatchScanner({
      file: lease.file,
      position: Math.max(lastIndexedPosition, 0),
      endPosition: sizeBytes,
    });
    let endOffset = active.baseOffset;
    for (let step = await scanner.next(); step.kind !== "end"; step = await scanner.next()) {
      if (step.kind === "damaged") return false;
      const isFirst = step.position === lastIndexedPosition;
      if (isFirst && entry !== undefined && step.header.lastOffset !== entry.offset) return false;
      if (!isFirst && step.header.baseOffset !== endOffset && !found.hasGaps) return false;
      endOffset = step.header.lastOffset + 1;
    }
    if (endOffset !== found.recoveryPoint) return false;
    active.maxTimestamp = await active.timeIndex.last();
    scanner.seek(0);
    const first = await scanner.next();
    const firstTimestampMs = first.kind === "batch" ? first.header.maxTimestamp : undefined;
    active.noteReopened({ sizeBytes, endOffset, firstTimestampMs, lastIndexedPosition });
  } finally {
    lease.release();
  }
  await replayProducers(found.producers, {
    directory: options.directory,
    offset: active.writtenEndOffset,
    segments: found.segments,
    resources: options.resources,
  });
  return true;
}

async function createLog(options: LoadLogOptions, found: FoundLog): Promise<LoadedLog> {
  const { directory, resources, config } = options;
  const baseOffset = Math.max(found.logStartOffset, found.recoveryPoint);
  const segment = new Segment({
    directory,
    baseOffset,
    resources,
    indexIntervalBytes: config.indexIntervalBytes,
  });
  found.epochs.clear();
  found.owners.forgetBefore(baseOffset);
  await segment.create();
  await removeProducerSnapshots(resources.disk, directory, () => true);
  await resources.disk.syncDirectory(directory);
  await found.epochs.write(resources.disk, directory);
  await found.owners.write(resources.disk, directory);
  // Files that are gone with records which were committed: the replica has lost them (R12).
  const hasLost = found.isLost || Math.max(found.highWatermark, found.recoveryPoint) > found.logStartOffset;
  const damagedFrom = hasLost
    ? Math.min(found.damagedFrom ?? found.logStartOffset, found.logStartOffset)
    : found.damagedFrom;
  await writeLogCheckpoint(resources.disk, directory, {
    recoveryPoint: baseOffset,
    logStartOffset: baseOffset,
    highWatermark: Math.min(found.highWatermark, baseOffset),
    damagedFrom,
    hasGaps: found.hasGaps,
  });
  const damagedRanges: DamagedRange[] = [];
  if (found.recoveryPoint > found.logStartOffset) {
    const { logStartOffset, recoveryPoint } = found;
    const reason = "all segment files are gone";
    damagedRanges.push({
      fromOffset: logStartOffset,
      toOffset: recoveryPoint,
      file: segment.logPath,
      position: 0,
      reason,
    });
  }
  return finish(
    { ...found, segments: [segment], logStartOffset: baseOffset, damagedFrom },
    { kind: "created", cutBytes: 0, removedSegments: 0, damagedRanges },
  );
}

async function finish(found: FoundLog, report: RecoveryReport): Promise<LoadedLog> {
  const { segments, epochs, owners, producers, damagedFrom, hasGaps, cleanedOffset } = found;
  for (const segment of segments.slice(0, -1)) segment.isClosed = true;
  const firstBase = segments[0]?.baseOffset ?? 0;
  const logStartOffset = found.hasGaps ? found.logStartOffset : Math.max(found.logStartOffset, firstBase);
  const firstBatchOffset = await findFirstBatch(segments, logStartOffset);
  const endOffset = segments.at(-1)?.writtenEndOffset ?? logStartOffset;
  const highWatermark = Math.min(Math.max(found.highWatermark, logStartOffset), endOffset);
  const offsets = { logStartOffset, firstBatchOffset, highWatermark, damagedFrom };
  return { segments, ...offsets, epochs, owners, producers, hasGaps, cleanedOffset, report };
}
