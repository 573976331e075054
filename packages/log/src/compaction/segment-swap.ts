import type { Disk } from "@ottla/runtime";
import { BatchScanner } from "../batch-scanner.ts";
import {
  INDEX_SUFFIX,
  LOG_SUFFIX,
  offsetFileName,
  parseOffsetFileName,
  SWAP_SUFFIX,
  TIME_INDEX_SUFFIX,
} from "../file-names.ts";
import type { LogResources } from "../log-resources.ts";

/*
 * How compacted segments take the place of others, so that a crash at any moment leaves either:
 *
 *   1. B.log.cleaned and its indexes are written and synced; a start removes what ends with .cleaned.
 *   2. B.log.cleaned becomes B.log.swap, durably: from now on a start does the rest.
 *   3. The old files become .deleted, the new indexes get their names, durably.
 *   4. B.log.swap becomes B.log, durably.
 *
 * A start that finds B.log.swap removes the segments whose offsets it holds and both indexes, which are made
 * anew. Of the old segments some may stay, when nothing in the new one is of theirs: they hold only records
 * that later ones of the same key have made void, and go with the next compaction.
 */

/** Ends the swaps that a crash interrupted; before anything else looks at the directory. */
export async function completeSwaps(directory: string, resources: LogResources): Promise<void> {
  const { disk, logger } = resources;
  const entries = await disk.list(directory);
  const names = entries.map(({ name }) => name);
  for (const name of names) {
    const base = parseOffsetFileName(name, LOG_SUFFIX + SWAP_SUFFIX);
    if (base === undefined) continue;
    const swap = `${directory}/${name}`;
    const endOffset = await endOffsetOf(disk, swap, base);
    logger.info({ directory, baseOffset: base, endOffset }, "ending a compaction that was interrupted");
    for (const old of names) {
      const oldBase = parseOffsetFileName(old, LOG_SUFFIX);
      const isReplaced = oldBase !== undefined && oldBase > base && oldBase < endOffset;
      if (isReplaced) await removeSegment(disk, directory, oldBase);
    }
    for (const suffix of [INDEX_SUFFIX, TIME_INDEX_SUFFIX])
      await disk.remove(`${directory}/${offsetFileName(base, suffix)}`);
    await disk.syncDirectory(directory);
    await disk.rename(swap, `${directory}/${offsetFileName(base, LOG_SUFFIX)}`);
    await disk.syncDirectory(directory);
  }
}

async function removeSegment(disk: Disk, directory: string, baseOffset: number): Promise<void> {
  for (const suffix of [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX])
    await disk.remove(`${directory}/${offsetFileName(baseOffset, suffix)}`);
}

/** The offset after the file's last batch; its base when it has none. */
export async function endOffsetOf(disk: Disk, path: string, baseOffset: number): Promise<number> {
  const file = await disk.open(path, "read");
  try {
    const scanner = new BatchScanner({ file, position: 0, endPosition: await file.size() });
    let endOffset = baseOffset;
    for (let step = await scanner.next(); step.kind === "batch"; step = await scanner.next())
      endOffset = step.header.lastOffset + 1;
    return endOffset;
  } finally {
    await file.close();
  }
}
