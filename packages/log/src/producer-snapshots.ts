import { type Disk, readWholeFile, writeFileDurably } from "@ottla/runtime";
import { offsetFileName, parseOffsetFileName, SNAPSHOT_SUFFIX } from "./file-names.ts";
import type { LogLogger } from "./log-logger.ts";
import type { ProducerEntry } from "./producer-entry.ts";
import { decodeProducerSnapshot } from "./producer-snapshot.ts";

const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;

export async function writeProducerSnapshot(
  disk: Disk,
  directory: string,
  offset: number,
  bytes: Uint8Array,
): Promise<void> {
  await writeFileDurably(disk, `${directory}/${offsetFileName(offset, SNAPSHOT_SUFFIX)}`, bytes);
}

/** The offsets of the directory's snapshots, ascending. */
export async function listProducerSnapshots(disk: Disk, directory: string): Promise<number[]> {
  const offsets: number[] = [];
  for (const { name } of await disk.list(directory)) {
    const offset = parseOffsetFileName(name, SNAPSHOT_SUFFIX);
    if (offset !== undefined) offsets.push(offset);
  }
  return offsets;
}

/** The newest intact snapshot at or below `maxOffset`; damaged ones are removed. */
export async function loadProducerSnapshot(
  disk: Disk,
  directory: string,
  maxOffset: number,
  logger: LogLogger,
): Promise<{ readonly offset: number; readonly entries: readonly ProducerEntry[] } | undefined> {
  const offsets = await listProducerSnapshots(disk, directory);
  for (const offset of offsets.reverse()) {
    if (offset > maxOffset) continue;
    const path = `${directory}/${offsetFileName(offset, SNAPSHOT_SUFFIX)}`;
    const bytes = (await readWholeFile(disk, path, MAX_SNAPSHOT_BYTES)) ?? new Uint8Array(0);
    const decoded = decodeProducerSnapshot(bytes);
    if (Array.isArray(decoded)) return { offset, entries: decoded };
    logger.warn({ path, damage: decoded.damage }, "removing a damaged producer snapshot");
    await disk.remove(path);
  }
  return undefined;
}

export async function removeProducerSnapshots(
  disk: Disk,
  directory: string,
  unwanted: (offset: number) => boolean,
): Promise<void> {
  for (const offset of await listProducerSnapshots(disk, directory)) {
    if (unwanted(offset)) await disk.remove(`${directory}/${offsetFileName(offset, SNAPSHOT_SUFFIX)}`);
  }
}
