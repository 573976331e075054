import { isDiskFull } from "./append-queue.ts";
import type { FoundLog, LoadLogOptions } from "./found-log.ts";
import { writeLogCheckpoint } from "./log-checkpoint.ts";
import { replayProducers } from "./producer-replay.ts";
import { removeProducerSnapshots } from "./producer-snapshots.ts";
import { scanSegments } from "./recovery.ts";
import type { DamagedRange, RecoveryReport } from "./recovery-report.ts";
import { Segment } from "./segment.ts";

/** What a crash left, scanned and put in order. */
export interface RecoveredLog {
  readonly segments: Segment[];
  readonly damagedFrom: number | undefined;
  readonly hasGaps: boolean;
  readonly report: RecoveryReport;
}

/** Recovers the log after a crash; everything up to its new end is on disk when this returns. */
export async function recoverLog(options: LoadLogOptions, found: FoundLog): Promise<RecoveredLog> {
  const { directory, resources } = options;
  const { segments, recoveryPoint, epochs, storedEpochs, owners, producers } = found;
  const index = Math.max(
    segments.findLastIndex(({ baseOffset }) => baseOffset <= recoveryPoint),
    0,
  );
  const untouched = segments.slice(0, index);
  const scanned = segments.slice(index);
  const beginOffset = scanned[0]?.baseOffset ?? 0;
  epochs.truncateFromEnd(beginOffset);
  owners.truncateTo(beginOffset);
  await replayProducers(producers, { directory, offset: beginOffset, segments: untouched, resources });
  const { cutFrom } = options;
  const { mayHaveGaps } = found;
  const outcome = await scanSegments({
    resources,
    segments: scanned,
    recoveryPoint,
    logStartOffset: found.logStartOffset,
    cutFrom,
    hasGaps: found.hasGaps,
    mayHaveGaps,
    epochs,
    storedEpochs,
    owners,
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
  const damagedFrom = whereDamaged(found, damagedRanges, outcome.endOffset);
  const { hasGaps } = outcome;
  await checkpointRecovery(options, { ...found, hasGaps }, { kept, endOffset, damagedFrom });
  const { cutBytes } = outcome;
  const removedSegments = outcome.removed.length;
  return {
    segments: kept,
    damagedFrom,
    hasGaps,
    report: { kind: "recovered", cutBytes, removedSegments, damagedRanges },
  };
}

/**
 * R12: where records are lost that were acknowledged here: in damaged ranges, at an end below what was known
 * to be committed, where an earlier run has found, or, without a checkpoint that was there, at whatever end.
 */
function whereDamaged(
  { damagedFrom, highWatermark, isLost, logStartOffset }: FoundLog,
  damagedRanges: readonly DamagedRange[],
  endOffset: number,
): number | undefined {
  const starts = damagedRanges
    .filter(({ toOffset }) => toOffset > logStartOffset)
    .map(({ fromOffset }) => Math.max(fromOffset, logStartOffset));
  const end = Math.max(endOffset, logStartOffset);
  if (isLost || end < highWatermark) starts.push(end);
  if (damagedFrom !== undefined) starts.push(damagedFrom);
  return starts.length === 0 ? undefined : Math.min(...starts);
}

/** On a full disk the next start recovers once more; until then the log can be read. */
async function checkpointRecovery(
  { directory, resources }: LoadLogOptions,
  found: FoundLog,
  state: {
    readonly kept: readonly Segment[];
    readonly endOffset: number;
    readonly damagedFrom: number | undefined;
  },
): Promise<void> {
  const { kept, endOffset, damagedFrom } = state;
  try {
    await found.epochs.write(resources.disk, directory);
    await found.owners.write(resources.disk, directory);
    await writeLogCheckpoint(resources.disk, directory, {
      recoveryPoint: endOffset,
      logStartOffset: found.hasGaps
        ? found.logStartOffset
        : Math.max(found.logStartOffset, kept[0]?.baseOffset ?? 0),
      highWatermark: Math.min(found.highWatermark, endOffset),
      damagedFrom,
      hasGaps: found.hasGaps,
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
  found: FoundLog,
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
