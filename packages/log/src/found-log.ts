import { CLEANER_CHECKPOINT, readCleanerCheckpoint } from "./compaction/cleaner-checkpoint.ts";
import { completeSwaps } from "./compaction/segment-swap.ts";
import {
  CLEANED_SUFFIX,
  DELETED_SUFFIX,
  INDEX_SUFFIX,
  LOG_SUFFIX,
  parseOffsetFileName,
  TEMPORARY_SUFFIX,
  TIME_INDEX_SUFFIX,
} from "./file-names.ts";
import { LeaderEpochCache, readLeaderEpochs } from "./leader-epoch-cache.ts";
import { readLogCheckpoint } from "./log-checkpoint.ts";
import type { LogConfig } from "./log-config.ts";
import type { LogResources } from "./log-resources.ts";
import { OwnerEpochCache, readOwnerEpochs } from "./owner-epoch-cache.ts";
import { ProducerState } from "./producer-state.ts";
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
  /** A directory that has to be there: see `OpenLogOptions`. */
  readonly below: string | undefined;
  /** The log was there before, with a checkpoint: see `OpenLogOptions`. */
  readonly wasThere: boolean;
}

/** What a partition's directory holds, before anything in it is believed. */
export interface FoundLog {
  readonly segments: Segment[];
  readonly recoveryPoint: number;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly damagedFrom: number | undefined;
  /** It was there and has no checkpoint any more: nothing tells what else has gone with that (R9). */
  readonly isLost: boolean;
  readonly epochs: LeaderEpochCache;
  /** As its file has it: what that says of records below the recovery point holds. Empty without the file. */
  readonly storedEpochs: LeaderEpochCache;
  readonly owners: OwnerEpochCache;
  /** The file of owners is damaged: the last segment has to be scanned for them, too. */
  readonly lacksOwners: boolean;
  readonly producers: ProducerState;
  /** Gaps between offsets are no damage. */
  readonly hasGaps: boolean;
  /** There may be some behind the recovery point, of which the checkpoint does not know. */
  readonly mayHaveGaps: boolean;
  /** Up to where the log was compacted. */
  readonly cleanedOffset: number;
}

export async function findLog(options: LoadLogOptions): Promise<FoundLog> {
  const { directory, resources, config } = options;
  const { disk, logger } = resources;
  await completeSwaps(directory, resources);
  const { bases, isCleaned } = await cleanDirectory(options);
  const cleanedOffset = isCleaned ? await readCleanerCheckpoint(disk, directory) : 0;
  const checkpoint = await readLogCheckpoint(disk, directory);
  if (checkpoint === "damaged")
    logger.warn({ directory }, "the log checkpoint is damaged: scanning everything");
  const known = typeof checkpoint === "object" ? checkpoint : undefined;
  const hasGaps = known?.hasGaps === true || cleanedOffset > 0;
  const mayHaveGaps = hasGaps || config.cleanupPolicy.includes("compact");
  const beginOffset = bases[0] ?? options.startOffset;
  // Compaction may have taken all from the log start on, up to the first segment.
  const logStartOffset = hasGaps
    ? (known?.logStartOffset ?? beginOffset)
    : Math.max(known?.logStartOffset ?? 0, beginOffset);
  const segments = await openSegments(options, bases, logStartOffset);
  const epochs = await readLeaderEpochs(disk, directory);
  const owners = await readOwnerEpochs(disk, directory);
  const stored = Array.isArray(epochs) ? epochs : [];
  const cache = new LeaderEpochCache(stored);
  if (!Array.isArray(epochs) && segments.length > 1) await rebuildEpochs(cache, segments.slice(0, -1));
  return {
    segments,
    recoveryPoint: Math.min(known?.recoveryPoint ?? 0, options.cutFrom),
    logStartOffset,
    highWatermark: known?.highWatermark ?? 0,
    damagedFrom: known?.damagedFrom,
    isLost: options.wasThere && checkpoint === undefined,
    epochs: cache,
    storedEpochs: new LeaderEpochCache(stored),
    owners: owners === "damaged" ? await rebuildOwners(options, segments) : new OwnerEpochCache(owners),
    lacksOwners: owners === "damaged",
    producers: new ProducerState({
      expirationMs: config.producerIdExpirationMs,
      maxProducers: config.maxProducers,
    }),
    hasGaps,
    mayHaveGaps,
    cleanedOffset,
  };
}

/**
 * Removes what a crash left half done; returns the base offsets of the segments, ascending, and whether the
 * log was ever compacted.
 */
async function cleanDirectory(
  options: LoadLogOptions,
): Promise<{ readonly bases: readonly number[]; readonly isCleaned: boolean }> {
  const { directory, resources } = options;
  const entries = await resources.disk.list(directory);
  const names = new Set(entries.map(({ name }) => name));
  const bases: number[] = [];
  for (const { name } of entries) {
    const base = parseOffsetFileName(name, LOG_SUFFIX);
    if (base !== undefined) bases.push(base);
    const isLeftOver = [DELETED_SUFFIX, TEMPORARY_SUFFIX, CLEANED_SUFFIX].some((suffix) =>
      name.endsWith(suffix),
    );
    const isOrphan = [INDEX_SUFFIX, TIME_INDEX_SUFFIX].some(
      (suffix) =>
        parseOffsetFileName(name, suffix) !== undefined && !names.has(name.slice(0, 20) + LOG_SUFFIX),
    );
    if (isLeftOver || isOrphan) await resources.disk.remove(`${directory}/${name}`);
  }
  return { bases, isCleaned: names.has(CLEANER_CHECKPOINT) };
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

/** Who owned the closed segments, from the control batches that are still there. */
async function rebuildOwners(
  { directory, resources }: LoadLogOptions,
  segments: readonly Segment[],
): Promise<OwnerEpochCache> {
  resources.logger.warn({ directory }, "the checkpoint of owner epochs is damaged and is made anew");
  const owners = new OwnerEpochCache();
  for (const segment of segments.slice(0, -1)) {
    for await (const { header, bytes } of intactBatches(segment))
      owners.take(header, bytes, header.baseOffset);
  }
  return owners;
}

async function rebuildEpochs(epochs: LeaderEpochCache, segments: readonly Segment[]): Promise<void> {
  for (const segment of segments) {
    for await (const { header } of intactBatches(segment)) {
      epochs.assign(header.partitionLeaderEpoch, header.baseOffset);
    }
  }
}
