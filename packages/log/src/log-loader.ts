import { makeDirectoryDurably } from "@ottla/runtime";
import { isDiskFull } from "./append-queue.ts";
import { BatchScanner } from "./batch-scanner.ts";
import {
  DELETED_SUFFIX,
  INDEX_SUFFIX,
  LOG_SUFFIX,
  parseOffsetFileName,
  TEMPORARY_SUFFIX,
  TIME_INDEX_SUFFIX,
} from "./file-names.ts";
import { LeaderEpochCache, readLeaderEpochs } from "./leader-epoch-cache.ts";
import { readLogCheckpoint, writeLogCheckpoint } from "./log-checkpoint.ts";
import type { LogConfig } from "./log-config.ts";
import type { LogResources } from "./log-resources.ts";
import { replayProducers } from "./producer-replay.ts";
import { removeProducerSnapshots } from "./producer-snapshots.ts";
import { ProducerState } from "./producer-state.ts";
import { scanSegments } from "./recovery.ts";
import type { DamagedRange, RecoveryReport } from "./recovery-report.ts";
import { Segment } from "./segment.ts";
import { intactBatches, rebuildIndexes } from "./segment-batches.ts";

export interface LoadLogOptions {
  readonly directory: string;
  readonly resources: LogResources;
  readonly config: LogConfig;
  /** The directory's clean-shutdown mark was there: nothing needs to be scanned. */
  readonly cleanShutdown: boolean;
  readonly cutFrom: number;
  /** Where an empty log begins. */
  readonly startOffset: number;
}

export interface LoadedLog {
  readonly segments: Segment[];
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly epochs: LeaderEpochCache;
  readonly producers: ProducerState;
  readonly report: RecoveryReport;
}

interface Found {
  readonly segments: Segment[];
  readonly recoveryPoint: number;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly epochs: LeaderEpochCache;
  readonly producers: ProducerState;
  readonly allowGaps: boolean;
}

/** Opens a partition's directory: as a clean shutdown left it, or by recovery. */
export async function loadLog(options: LoadLogOptions): Promise<LoadedLog> {
  const { directory, resources } = options;
  await makeDirectoryDurably(resources.disk, directory);
  const found = await readDirectory(options);
  if (found.segments.length === 0) return createLog(options, found);
  const isClean = options.cleanShutdown && (await openClean(options, found));
  if (isClean) {
    return finish(found, { kind: "clean", cutBytes: 0, removedSegments: 0, damagedRanges: [] });
  }
  const log = await recover(options, found);
  const { cutBytes, damagedRanges } = log.report;
  if (damagedRanges.length > 0) {
    resources.logger.error({ directory, damagedRanges }, "synced records of the log are damaged");
  } else if (cutBytes > 0) {
    resources.logger.info({ directory, cutBytes }, "cut what a crash left behind the last whole batch");
  }
  return log;
}

async function readDirectory(options: LoadLogOptions): Promise<Found> {
  const { directory, resources, config } = options;
  const { disk, logger } = resources;
  const bases = await cleanDirectory(options);
  const checkpoint = await readLogCheckpoint(disk, directory);
  if (checkpoint === "damaged")
    logger.warn({ directory }, "the log checkpoint is damaged: scanning everything");
  const known = typeof checkpoint === "object" ? checkpoint : undefined;
  const logStartOffset = Math.max(known?.logStartOffset ?? 0, bases[0] ?? options.startOffset);
  const segments = await openSegments(options, bases, logStartOffset);
  const epochs = await readLeaderEpochs(disk, directory);
  const cache = new LeaderEpochCache(Array.isArray(epochs) ? epochs : []);
  if (!Array.isArray(epochs) && segments.length > 1) await rebuildEpochs(cache, segments.slice(0, -1));
  return {
    segments,
    recoveryPoint: Math.min(known?.recoveryPoint ?? 0, options.cutFrom),
    logStartOffset,
    highWatermark: known?.highWatermark ?? 0,
    epochs: cache,
    producers: new ProducerState({
      expirationMs: config.producerIdExpirationMs,
      maxProducers: config.maxProducers,
    }),
    allowGaps: config.cleanupPolicy.includes("compact"),
  };
}

/** Removes what a crash left half done; returns the base offsets of the segments, ascending. */
async function cleanDirectory(options: LoadLogOptions): Promise<number[]> {
  const { directory, resources } = options;
  const entries = await resources.disk.list(directory);
  const names = new Set(entries.map(({ name }) => name));
  const bases: number[] = [];
  for (const { name } of entries) {
    const base = parseOffsetFileName(name, LOG_SUFFIX);
    if (base !== undefined) bases.push(base);
    const isLeftOver = name.endsWith(DELETED_SUFFIX) || name.endsWith(TEMPORARY_SUFFIX);
    const isOrphan = [INDEX_SUFFIX, TIME_INDEX_SUFFIX].some(
      (suffix) =>
        parseOffsetFileName(name, suffix) !== undefined && !names.has(name.slice(0, 20) + LOG_SUFFIX),
    );
    if (isLeftOver || isOrphan) await resources.disk.remove(`${directory}/${name}`);
  }
  return bases;
}

/**
 * Segments with their sizes; those wholly below the log start offset were about to be
 * deleted and are now (R14).
 */
async function openSegments(
  options: LoadLogOptions,
  bases: readonly number[],
  logStartOffset: number,
): Promise<Segment[]> {
  const { directory, resources, config } = options;
  const found: { readonly segment: Segment; readonly sizeBytes: number }[] = [];
  for (const baseOffset of bases) {
    const { indexIntervalBytes } = config;
    const segment = new Segment({ directory, baseOffset, resources, indexIntervalBytes });
    const sizeBytes = (await resources.disk.stat(segment.logPath))?.sizeBytes ?? 0;
    // An empty file before the last is a segment whose beginning was given up on a full disk. It goes
    // before the others are looked at, because its name says nothing of where the one before it ends.
    if (sizeBytes === 0 && baseOffset !== bases.at(-1)) await segment.removeFiles();
    else found.push({ segment, sizeBytes });
  }
  const segments: Segment[] = [];
  for (const [index, { segment, sizeBytes }] of found.entries()) {
    const nextBase = found[index + 1]?.segment.baseOffset;
    if (nextBase !== undefined && nextBase <= logStartOffset) {
      await segment.removeFiles();
      continue;
    }
    segment.noteClosed(sizeBytes, nextBase ?? segment.baseOffset);
    if (nextBase !== undefined) await repairIndexes(segment, resources);
    segments.push(segment);
  }
  return segments;
}

/** A closed segment whose index files are gone or torn gets new ones. */
async function repairIndexes(segment: Segment, resources: LogResources): Promise<void> {
  for (const { file } of [segment.offsetIndex, segment.timeIndex]) {
    const stat = await resources.disk.stat(file.path);
    if (stat !== undefined && stat.sizeBytes % file.entryBytes === 0) continue;
    resources.logger.warn({ path: file.path }, "an index is missing or torn and is made anew");
    await rebuildIndexes(segment);
    return;
  }
}

async function rebuildEpochs(epochs: LeaderEpochCache, segments: readonly Segment[]): Promise<void> {
  for (const segment of segments) {
    for await (const { header } of intactBatches(segment)) {
      epochs.assign(header.partitionLeaderEpoch, header.baseOffset);
    }
  }
}

/**
 * Takes the active segment as it was closed; false when anything disagrees, and then it is recovered instead.
 */
async function openClean(options: LoadLogOptions, found: Found): Promise<boolean> {
  const active = found.segments.at(-1);
  if (active === undefined || found.recoveryPoint < active.baseOffset) return false;
  const sizeBytes = active.writtenBytes;
  if (sizeBytes > 0 && found.epochs.latestEpoch === undefined) return false;
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
      if (!isFirst && step.header.baseOffset !== endOffset && !found.allowGaps) return false;
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

async function recover(options: LoadLogOptions, found: Found): Promise<LoadedLog> {
  const { directory, resources } = options;
  const { segments, recoveryPoint, epochs, producers } = found;
  const index = Math.max(
    segments.findLastIndex(({ baseOffset }) => baseOffset <= recoveryPoint),
    0,
  );
  const untouched = segments.slice(0, index);
  const scanned = segments.slice(index);
  const beginOffset = scanned[0]?.baseOffset ?? 0;
  epochs.truncateFromEnd(beginOffset);
  await replayProducers(producers, { directory, offset: beginOffset, segments: untouched, resources });
  const { cutFrom } = options;
  const { allowGaps } = found;
  const outcome = await scanSegments({
    resources,
    segments: scanned,
    recoveryPoint,
    cutFrom,
    allowGaps,
    epochs,
    producers,
  });
  // From the last to the first, so that a crash in between leaves an unbroken beginning.
  for (const segment of [...outcome.removed].reverse()) await segment.removeFiles();
  const kept = [...untouched, ...outcome.kept];
  const damagedRanges = [...outcome.damagedRanges];
  await replaceMissingEnd(options, found, { kept, damagedRanges, endOffset: outcome.endOffset });
  for (const segment of kept.slice(0, -1)) if (outcome.kept.includes(segment)) await segment.closeIndexes();
  const endOffset = kept.at(-1)?.writtenEndOffset ?? beginOffset;
  await removeProducerSnapshots(
    resources.disk,
    directory,
    (offset) =>
      offset > endOffset || (offset > beginOffset && !kept.some((known) => known.baseOffset === offset)),
  );
  await resources.disk.syncDirectory(directory);
  await checkpointRecovery(options, found, { kept, endOffset });
  return finish(
    { ...found, segments: kept },
    { kind: "recovered", cutBytes: outcome.cutBytes, removedSegments: outcome.removed.length, damagedRanges },
  );
}

/** On a full disk the next start recovers once more; until then the log can be read. */
async function checkpointRecovery(
  { directory, resources }: LoadLogOptions,
  found: Found,
  { kept, endOffset }: { readonly kept: readonly Segment[]; readonly endOffset: number },
): Promise<void> {
  try {
    await found.epochs.write(resources.disk, directory);
    await writeLogCheckpoint(resources.disk, directory, {
      recoveryPoint: endOffset,
      logStartOffset: Math.max(found.logStartOffset, kept[0]?.baseOffset ?? 0),
      highWatermark: Math.min(found.highWatermark, endOffset),
    });
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    resources.logger.warn({ directory }, "the disk is full: the log was recovered without a checkpoint");
  }
}

/**
 * A log never ends below its recovery point or its start: the records up to there were
 * synced. When they are gone, a new segment begins behind the hole, and reads of the hole
 * fail instead of other records taking its offsets.
 */
async function replaceMissingEnd(
  options: LoadLogOptions,
  found: Found,
  state: { readonly kept: Segment[]; readonly damagedRanges: DamagedRange[]; readonly endOffset: number },
): Promise<void> {
  const { directory, resources, config } = options;
  const { kept, damagedRanges, endOffset } = state;
  const last = kept.at(-1);
  const base = Math.max(found.recoveryPoint, found.logStartOffset, endOffset);
  const endsDamaged = damagedRanges.some(({ toOffset }) => toOffset === endOffset);
  // An empty segment that begins there already serves.
  const isThere = last !== undefined && last.baseOffset === base && last.writtenBytes === 0;
  if (last !== undefined && (isThere || (base === endOffset && !endsDamaged))) return;
  if (endOffset < found.recoveryPoint && last !== undefined) {
    damagedRanges.push({
      fromOffset: endOffset,
      toOffset: found.recoveryPoint,
      file: last.logPath,
      position: last.writtenBytes,
      reason: "the file ends before records that were synced",
    });
  }
  last?.noteClosed(last.writtenBytes, base);
  if (endOffset < found.logStartOffset) {
    for (const segment of kept.splice(0).reverse()) await segment.removeFiles();
  }
  const segment = new Segment({
    directory,
    baseOffset: base,
    resources,
    indexIntervalBytes: config.indexIntervalBytes,
  });
  await segment.create();
  kept.push(segment);
}

async function createLog(options: LoadLogOptions, found: Found): Promise<LoadedLog> {
  const { directory, resources, config } = options;
  const baseOffset = Math.max(found.logStartOffset, found.recoveryPoint);
  const segment = new Segment({
    directory,
    baseOffset,
    resources,
    indexIntervalBytes: config.indexIntervalBytes,
  });
  found.epochs.clear();
  await segment.create();
  await removeProducerSnapshots(resources.disk, directory, () => true);
  await resources.disk.syncDirectory(directory);
  await found.epochs.write(resources.disk, directory);
  await writeLogCheckpoint(resources.disk, directory, {
    recoveryPoint: baseOffset,
    logStartOffset: baseOffset,
    highWatermark: Math.min(found.highWatermark, baseOffset),
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
    { ...found, segments: [segment], logStartOffset: baseOffset },
    { kind: "created", cutBytes: 0, removedSegments: 0, damagedRanges },
  );
}

function finish(found: Found, report: RecoveryReport): LoadedLog {
  const { segments, epochs, producers } = found;
  for (const segment of segments.slice(0, -1)) segment.isClosed = true;
  const logStartOffset = Math.max(found.logStartOffset, segments[0]?.baseOffset ?? 0);
  const endOffset = segments.at(-1)?.writtenEndOffset ?? logStartOffset;
  const highWatermark = Math.min(Math.max(found.highWatermark, logStartOffset), endOffset);
  return { segments, logStartOffset, highWatermark, epochs, producers, report };
}
