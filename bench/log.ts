/**
 * What the log costs on top of the disk. Run: `sh scripts/node.sh bench/log.ts [directory]`.
 *
 * (a) 64 KiB batches appended without waiting for syncs, against plain asynchronous
 * `writev` of the same bytes with as
 *     many in flight; (b) group commit: 64 writers of 4 KiB batches on one partition,
 *     each waiting for its batch to be
 *     on disk; (c) reading back, from memory and from the disk. Rounds are interleaved and the median counts.
 */
import {
  createLogResources,
  DEFAULT_LOG_CONFIG,
  type LogConfig,
  type LogMetrics,
  SegmentedLog,
} from "@ottla/log";
import { encodeBatch, encodeBatchPrefix } from "@ottla/records";
import { NodeDisk, nullLogger, systemClock, systemRandom } from "@ottla/runtime";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
const ROUNDS = 15;
const BATCH_BYTES = 64 * KIBIBYTE;
const IN_FLIGHT_BYTES = 4 * MEBIBYTE;
const ROUND_BYTES = 256 * MEBIBYTE;
const WRITERS = 64;
const SYNCED_BATCHES = 30_000;
const UNSYNCED: LogConfig = { ...DEFAULT_LOG_CONFIG, flushMessages: Number.MAX_SAFE_INTEGER };

const root = process.argv[2] ?? `${process.cwd()}/.cache/bench-log`;
const disk = new NodeDisk();
let directories = 0;

function freshDirectory(): string {
  directories += 1;
  return `${root}/${directories}`;
}

function batchOf(sizeBytes: number): Uint8Array {
  const value = systemRandom.bytes(1000);
  const count = Math.max(1, Math.floor(sizeBytes / 1016));
  const rest = value.subarray(0, Math.min(1000, sizeBytes));
  return encodeBatch(
    Array.from({ length: count }, () => ({ timestampMs: systemClock.now(), key: null, value: rest })),
  );
}

async function openLog(config: LogConfig, metrics?: LogMetrics, tailCacheBytes = 64 * MEBIBYTE) {
  const directory = freshDirectory();
  const shared = { disk, clock: systemClock, random: systemRandom, logger: nullLogger };
  const resources = createLogResources({ ...shared, metrics, tailCacheBytes });
  return SegmentedLog.open({ directory, resources, config });
}

/**
 * Groups as the log makes them: one `writev` in flight, prefix and body of each batch that came meanwhile.
 */
async function plainWritev(batch: Uint8Array): Promise<number> {
  const directory = freshDirectory();
  await disk.makeDirectory(directory);
  const file = await disk.open(`${directory}/plain.log`, "write");
  const body = batch.subarray(16);
  const perGroup = Math.floor(IN_FLIGHT_BYTES / batch.byteLength);
  const startedMs = systemClock.monotonic();
  for (let position = 0, offset = 0; position < ROUND_BYTES; ) {
    const buffers: Uint8Array[] = [];
    let sizeBytes = 0;
    for (let index = 0; index < perGroup; index += 1, offset += 1) {
      buffers.push(encodeBatchPrefix(offset, batch.byteLength - 12, 1), body);
      sizeBytes += batch.byteLength;
    }
    await file.write(position, buffers);
    position += sizeBytes;
  }
  const seconds = (systemClock.monotonic() - startedMs) / 1000;
  await file.close();
  await disk.removeDirectory(directory);
  return ROUND_BYTES / MEBIBYTE / seconds;
}

async function appendUnsynced(batch: Uint8Array, validated: boolean): Promise<number> {
  const log = await openLog(UNSYNCED);
  let appendedBytes = 0;
  const startedMs = systemClock.monotonic();
  await new Promise<void>((resolve) => {
    const fill = (): void => {
      const writtenBytes = log.sizeBytes;
      if (writtenBytes >= ROUND_BYTES) resolve();
      while (appendedBytes < ROUND_BYTES && appendedBytes - writtenBytes < IN_FLIGHT_BYTES) {
        log.append(batch, { leaderEpoch: 1, validated, origin: "client" });
        appendedBytes += batch.byteLength;
      }
    };
    log.onProgress(fill);
    fill();
  });
  const seconds = (systemClock.monotonic() - startedMs) / 1000;
  await log.abandon();
  await disk.removeDirectory(log.directory);
  return ROUND_BYTES / MEBIBYTE / seconds;
}

interface Counts extends LogMetrics {
  syncs: number;
  writes: number;
}

function counting(): Counts {
  const counts: Counts = {
    syncs: 0,
    writes: 0,
    observeWrite: () => {
      counts.writes += 1;
    },
    observeSync: () => undefined,
    observeSyncedBatches: () => {
      counts.syncs += 1;
    },
    countTailCacheHit: () => undefined,
    countTailCacheMiss: () => undefined,
    countCorruptRead: () => undefined,
  };
  return counts;
}

/** Each writer appends its next batch when the last one is on disk. */
async function groupCommit(
  batch: Uint8Array,
): Promise<{ perSync: number; perSecond: number; medianMs: number }> {
  const counts = counting();
  const log = await openLog(DEFAULT_LOG_CONFIG, counts);
  const waiting: { offset: number; startedMs: number; done: () => void }[] = [];
  const latencies: number[] = [];
  log.onProgress(() => {
    for (
      let first = waiting[0];
      first !== undefined && first.offset < log.syncedEndOffset;
      first = waiting[0]
    ) {
      waiting.shift();
      latencies.push(systemClock.monotonic() - first.startedMs);
      first.done();
    }
  });
  let left = SYNCED_BATCHES;
  const write = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const startedMs = systemClock.monotonic();
      const { lastOffset } = log.append(batch, { leaderEpoch: 1, validated: true, origin: "client" });
      await new Promise<void>((done) => {
        waiting.push({ offset: lastOffset, startedMs, done });
      });
    }
  };
  const startedMs = systemClock.monotonic();
  await Promise.all(Array.from({ length: WRITERS }, write));
  const seconds = (systemClock.monotonic() - startedMs) / 1000;
  await log.abandon();
  await disk.removeDirectory(log.directory);
  latencies.sort((left, right) => left - right);
  const medianMs = latencies[Math.floor(latencies.length / 2)] ?? 0;
  return { perSync: SYNCED_BATCHES / counts.syncs, perSecond: SYNCED_BATCHES / seconds, medianMs };
}

async function readBack(batch: Uint8Array, tailCacheBytes: number): Promise<number> {
  const log = await openLog(UNSYNCED, undefined, tailCacheBytes);
  const totalBytes = 256 * MEBIBYTE;
  for (let appendedBytes = 0; appendedBytes < totalBytes; appendedBytes += batch.byteLength) {
    log.append(batch, { leaderEpoch: 1, validated: true, origin: "client" });
    if (appendedBytes % IN_FLIGHT_BYTES < batch.byteLength) await log.flush();
  }
  await log.flush();
  const endOffset = log.logEndOffset;
  const startedMs = systemClock.monotonic();
  let readBytes = 0;
  for (let offset = 0; offset < endOffset; ) {
    const result = await log.read(offset, { maxBytes: MEBIBYTE, endOffset });
    readBytes += result.sizeBytes;
    offset = result.nextOffset;
  }
  const seconds = (systemClock.monotonic() - startedMs) / 1000;
  await log.abandon();
  await disk.removeDirectory(log.directory);
  return readBytes / MEBIBYTE / seconds;
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<void> {
  const large = batchOf(BATCH_BYTES);
  const small = batchOf(4 * KIBIBYTE);
  const plain: number[] = [];
  const appended: number[] = [];
  const validating: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    plain.push(await plainWritev(large));
    appended.push(await appendUnsynced(large, true));
    validating.push(await appendUnsynced(large, false));
  }
  // Each round's ratio is taken within the round, because the machine is shared.
  const ratio = (values: readonly number[]): string =>
    `${Math.round(median(values.map((value, round) => value / (plain[round] ?? value))) * 100)} %`;
  print(`plain writev, 64 KiB batches            ${Math.round(median(plain))} MiB/s`);
  print(`append, validated by the gateway        ${Math.round(median(appended))} MiB/s  ${ratio(appended)}`);
  print(
    `append, validated here (CRC)            ${Math.round(median(validating))} MiB/s  ${ratio(validating)}`,
  );
  for (let round = 0; round < 3; round += 1) {
    const { perSync, perSecond, medianMs } = await groupCommit(small);
    print(
      `group commit, 64 writers of 4 KiB       ${perSync.toFixed(1)} batches per fdatasync, ` +
        `${Math.round(perSecond)} batches/s, median ${medianMs.toFixed(2)} ms`,
    );
  }
  print(`read at the tail, from memory           ${Math.round(await readBack(large, 512 * MEBIBYTE))} MiB/s`);
  print(`read from the disk (page cache), CRC    ${Math.round(await readBack(large, 0))} MiB/s`);
  await disk.removeDirectory(root);
}

await main();
