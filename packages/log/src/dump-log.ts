import { type BatchHeader, type DecodedRecord, decodeRecords } from "@ottla/records";
import { type Disk, readWholeFile } from "@ottla/runtime";
import { BatchScanner, findNextBatch } from "./batch-scanner.ts";
import { type EpochEntry, readLeaderEpochs } from "./leader-epoch-cache.ts";
import { type LogCheckpoint, readLogCheckpoint } from "./log-checkpoint.ts";
import {
  listOfflineSegments,
  listOfflineSnapshots,
  type OfflineSegment,
  readOffsetIndex,
  readTimeIndex,
} from "./offline-log.ts";
import type { OffsetPosition } from "./offset-index.ts";
import type { ProducerEntry } from "./producer-entry.ts";
import { decodeProducerSnapshot } from "./producer-snapshot.ts";
import type { TimestampOffset } from "./time-index.ts";

export interface DumpLogOptions {
  /** Decodes each batch's records too. */
  readonly records?: boolean;
  /** Lists the entries of both indexes of each segment, its producer snapshots and the leader epochs. */
  readonly indexes?: boolean;
  /** Only batches that hold this offset or later ones. */
  readonly fromOffset?: number;
  /** At most so many batches. */
  readonly maxBatches?: number;
}

/** One thing found in a partition directory, in the order of the log. */
export type DumpedItem =
  | { readonly kind: "checkpoint"; readonly checkpoint: LogCheckpoint }
  | { readonly kind: "leader-epoch"; readonly entry: EpochEntry }
  | {
      readonly kind: "segment";
      readonly file: string;
      readonly baseOffset: number;
      readonly sizeBytes: number;
    }
  | {
      readonly kind: "batch";
      readonly file: string;
      readonly position: number;
      readonly header: BatchHeader;
      /** When asked for, and the batch can be decoded. */
      readonly records?: readonly DecodedRecord[];
    }
  | { readonly kind: "damage"; readonly file: string; readonly position: number; readonly problem: string }
  | { readonly kind: "index-entry"; readonly file: string; readonly entry: OffsetPosition }
  | { readonly kind: "time-index-entry"; readonly file: string; readonly entry: TimestampOffset }
  | { readonly kind: "producer"; readonly file: string; readonly entry: ProducerEntry };

const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;

/** Tells what the files of a partition directory hold, reading only; for a stopped node or a copy. */
export async function* dumpLog(
  directory: string,
  disk: Disk,
  options: DumpLogOptions = {},
): AsyncGenerator<DumpedItem> {
  const checkpoint = await readLogCheckpoint(disk, directory);
  if (typeof checkpoint === "object") yield { kind: "checkpoint", checkpoint };
  const epochs = await readLeaderEpochs(disk, directory);
  if (options.indexes && Array.isArray(epochs)) {
    for (const entry of epochs as readonly EpochEntry[]) yield { kind: "leader-epoch", entry };
  }
  const segments = await listOfflineSegments(directory, disk);
  let leftBatches = options.maxBatches ?? Number.MAX_SAFE_INTEGER;
  for (const [index, segment] of segments.entries()) {
    const nextBase = segments[index + 1]?.baseOffset ?? Number.MAX_SAFE_INTEGER;
    if (nextBase <= (options.fromOffset ?? 0)) continue;
    const { logFile, baseOffset, sizeBytes } = segment;
    yield { kind: "segment", file: logFile, baseOffset, sizeBytes };
    for await (const item of dumpBatches(segment, disk, options)) {
      if (item.kind === "batch" && leftBatches <= 0) return;
      if (item.kind === "batch") leftBatches -= 1;
      yield item;
    }
    if (options.indexes) yield* dumpIndexes(segment, disk);
  }
  if (options.indexes) yield* dumpSnapshots(directory, disk);
}

async function* dumpBatches(
  segment: OfflineSegment,
  disk: Disk,
  options: DumpLogOptions,
): AsyncGenerator<DumpedItem> {
  const { logFile, sizeBytes } = segment;
  const file = await disk.open(logFile, "read");
  try {
    const scanner = new BatchScanner({ file, position: 0, endPosition: sizeBytes, chunkBytes: 1024 * 1024 });
    for (let step = await scanner.next(); step.kind !== "end"; step = await scanner.next()) {
      const { position } = step;
      if (step.kind === "batch") {
        if (step.header.lastOffset < (options.fromOffset ?? 0)) continue;
        const { header } = step;
        if (!options.records) yield { kind: "batch", file: logFile, position, header };
        else
          yield { kind: "batch", file: logFile, position, header, records: [...decodeRecords(step.bytes)] };
        continue;
      }
      yield { kind: "damage", file: logFile, position, problem: step.reason };
      const next = await findNextBatch(file, {
        fromPosition: position + 1,
        endPosition: sizeBytes,
        minBaseOffset: segment.baseOffset,
        maxBaseOffset: Number.MAX_SAFE_INTEGER,
      });
      if (next === undefined) return;
      scanner.seek(next.position);
    }
  } finally {
    await file.close();
  }
}

async function* dumpIndexes(segment: OfflineSegment, disk: Disk): AsyncGenerator<DumpedItem> {
  const index = await readOffsetIndex(segment, disk);
  for (const entry of index?.entries ?? []) yield { kind: "index-entry", file: segment.indexFile, entry };
  const timeIndex = await readTimeIndex(segment, disk);
  for (const entry of timeIndex?.entries ?? []) {
    yield { kind: "time-index-entry", file: segment.timeIndexFile, entry };
  }
}

async function* dumpSnapshots(directory: string, disk: Disk): AsyncGenerator<DumpedItem> {
  for (const file of await listOfflineSnapshots(directory, disk)) {
    const bytes = (await readWholeFile(disk, file, MAX_SNAPSHOT_BYTES)) ?? new Uint8Array(0);
    const decoded = decodeProducerSnapshot(bytes);
    if (!Array.isArray(decoded)) yield { kind: "damage", file, position: 0, problem: decoded.damage };
    else for (const entry of decoded) yield { kind: "producer", file, entry };
  }
}
