import { type Disk, readWholeFile } from "@ottla/runtime";
import { endOffsetOf } from "./compaction/segment-swap.ts";
import {
  INDEX_SUFFIX,
  LOG_SUFFIX,
  offsetFileName,
  parseOffsetFileName,
  SNAPSHOT_SUFFIX,
  SWAP_SUFFIX,
  TIME_INDEX_SUFFIX,
} from "./file-names.ts";
import type { OffsetPosition } from "./offset-index.ts";
import type { TimestampOffset } from "./time-index.ts";

/** A segment of a log that is not open; read-only. */
export interface OfflineSegment {
  readonly baseOffset: number;
  readonly logFile: string;
  readonly indexFile: string;
  readonly timeIndexFile: string;
  readonly sizeBytes: number;
  /** A compaction was interrupted: the next start puts the file in its place and makes its indexes anew. */
  readonly isSwap: boolean;
}

const MAX_INDEX_BYTES = 2 ** 31 - 1;

/** The partition directories at or below `path`: itself, its children, or those of a data directory. */
export async function findLogDirectories(path: string, disk: Disk): Promise<string[]> {
  const found: string[] = [];
  for (const candidate of [path, `${path}/topics`]) {
    const stat = await disk.stat(candidate);
    if (stat?.kind !== "directory") continue;
    const entries = await disk.list(candidate);
    if (entries.some(isLogFile)) found.push(candidate);
    for (const { name, kind } of entries) {
      if (kind !== "directory") continue;
      const child = `${candidate}/${name}`;
      if ((await disk.list(child)).some(isLogFile)) found.push(child);
    }
  }
  return found;
}

function isLogFile({ name }: { readonly name: string }): boolean {
  return parseOffsetFileName(name, LOG_SUFFIX) !== undefined;
}

/** The segments as the next start takes them: compacted ones that a crash kept from their place are in it. */
export async function listOfflineSegments(directory: string, disk: Disk): Promise<OfflineSegment[]> {
  const found = new Map<number, OfflineSegment>();
  const names = (await disk.list(directory)).map(({ name }) => name);
  const add = async (baseOffset: number, name: string, isSwap: boolean): Promise<void> => {
    const logFile = `${directory}/${name}`;
    found.set(baseOffset, {
      baseOffset,
      logFile,
      indexFile: `${directory}/${offsetFileName(baseOffset, INDEX_SUFFIX)}`,
      timeIndexFile: `${directory}/${offsetFileName(baseOffset, TIME_INDEX_SUFFIX)}`,
      sizeBytes: (await disk.stat(logFile))?.sizeBytes ?? 0,
      isSwap,
    });
  };
  for (const name of names) {
    const baseOffset = parseOffsetFileName(name, LOG_SUFFIX);
    if (baseOffset !== undefined) await add(baseOffset, name, false);
  }
  for (const name of names) {
    const baseOffset = parseOffsetFileName(name, LOG_SUFFIX + SWAP_SUFFIX);
    if (baseOffset === undefined) continue;
    const endOffset = await endOffsetOf(disk, `${directory}/${name}`, baseOffset);
    for (const base of found.keys()) if (base > baseOffset && base < endOffset) found.delete(base);
    await add(baseOffset, name, true);
  }
  return [...found.values()].sort((left, right) => left.baseOffset - right.baseOffset);
}

export async function listOfflineSnapshots(directory: string, disk: Disk): Promise<string[]> {
  const entries = await disk.list(directory);
  return entries
    .filter(({ name }) => parseOffsetFileName(name, SNAPSHOT_SUFFIX) !== undefined)
    .map(({ name }) => `${directory}/${name}`);
}

/** The file's entries and how many bytes behind them make no whole entry; undefined when there is no file. */
export interface OfflineIndex<T> {
  readonly entries: readonly T[];
  readonly oddBytes: number;
}

export async function readOffsetIndex(
  segment: OfflineSegment,
  disk: Disk,
): Promise<OfflineIndex<OffsetPosition> | undefined> {
  return readEntries(disk, segment.indexFile, 8, (view, at) => ({
    offset: segment.baseOffset + view.getInt32(at),
    position: view.getInt32(at + 4),
  }));
}

export async function readTimeIndex(
  segment: OfflineSegment,
  disk: Disk,
): Promise<OfflineIndex<TimestampOffset> | undefined> {
  return readEntries(disk, segment.timeIndexFile, 12, (view, at) => ({
    timestampMs: Number(view.getBigInt64(at)),
    offset: segment.baseOffset + view.getInt32(at + 8),
  }));
}

async function readEntries<T>(
  disk: Disk,
  path: string,
  entryBytes: number,
  read: (view: DataView, at: number) => T,
): Promise<OfflineIndex<T> | undefined> {
  const bytes = await readWholeFile(disk, path, MAX_INDEX_BYTES);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const oddBytes = bytes.byteLength % entryBytes;
  const entries: T[] = [];
  for (let at = 0; at + entryBytes <= bytes.byteLength; at += entryBytes) entries.push(read(view, at));
  return { entries, oddBytes };
}
