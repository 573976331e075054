import * as z from "zod";
import { bytes, durationMs, optionalBytes, wholeNumber } from "./setting-kinds.ts";

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const DAY_MS = 86_400_000;
const STORAGE_ONLY = { targets: ["partition-storage"] } as const;

/** Settings of storage nodes. */
export const storage = z.strictObject({
  headroomBytes: optionalBytes({
    min: 0,
    max: 1_024 * GIB,
    defaultDocumentation: "512MiB, but at most 5 % of the disk",
    ...STORAGE_ONLY,
    documentation:
      "Free space kept on the disk of the data directory. Below it appends are refused with " +
      "KAFKA_STORAGE_ERROR, reads go on, and appends resume by themselves when space returns.",
  }),
  tailCacheBytes: bytes({
    min: 0,
    max: 64 * GIB,
    default: 16 * MIB,
    ...STORAGE_ONLY,
    documentation:
      "Memory for the newest batches of all partitions together. Readers further behind read the files, which " +
      "the system's page cache holds. 0 turns the cache off.",
  }),
  syncConcurrency: wholeNumber({
    min: 1,
    max: 64,
    default: 8,
    ...STORAGE_ONLY,
    documentation:
      "Calls of fdatasync in flight at once. It must stay below UV_THREADPOOL_SIZE, so that a hung disk " +
      "cannot stall reads.",
  }),
  catchUpBytesPerSecond: bytes({
    min: 64 * KIB,
    max: 64 * GIB,
    default: 64 * MIB,
    ...STORAGE_ONLY,
    documentation:
      "Bytes that this node fetches in a second for replicas that are not in sync, all of them together: after " +
      "an outage, or when partitions move here. What was left unused in the last two seconds is made up for, at " +
      "1.25 times the rate. Replicas in sync are never throttled.",
  }),
  maxOpenSegments: wholeNumber({
    min: 16,
    max: 1_000_000,
    default: 1_000,
    ...STORAGE_ONLY,
    documentation: "Segments whose files are held open at once. Each takes up to three file descriptors.",
  }),
  retentionCheckIntervalMs: durationMs({
    min: 100,
    max: DAY_MS,
    default: 300_000,
    ...STORAGE_ONLY,
    documentation:
      "How often segments are checked against retention.ms and retention.bytes (Kafka's " +
      "log.retention.check.interval.ms).",
  }),
  compactionCheckIntervalMs: durationMs({
    min: 100,
    max: DAY_MS,
    default: 15_000,
    ...STORAGE_ONLY,
    documentation:
      "How often topics with cleanup.policy=compact are looked at for something to compact (Kafka's " +
      "log.cleaner.backoff.ms).",
  }),
  compactionBytesPerSecond: bytes({
    min: 64 * KIB,
    max: 64 * GIB,
    default: 256 * MIB,
    ...STORAGE_ONLY,
    documentation:
      "Bytes that compaction reads and writes in a second, all partitions together (Kafka's " +
      "log.cleaner.io.max.bytes.per.second).",
  }),
  compactionMemoryBytes: bytes({
    min: 4 * KIB,
    max: 4 * GIB,
    default: 32 * MIB,
    ...STORAGE_ONLY,
    documentation:
      "Memory for the last offset of each key while a log is compacted, 32 bytes a key. With more keys " +
      "compaction reads a log several times (Kafka's log.cleaner.dedupe.buffer.size).",
  }),
  replicaLagTimeMaxMs: durationMs({
    min: 100,
    max: 3_600_000,
    default: 30_000,
    ...STORAGE_ONLY,
    documentation:
      "A follower that has not caught up with its leader for so long leaves the in-sync replicas (Kafka's " +
      "replica.lag.time.max.ms).",
  }),
  diskStallTimeoutMs: durationMs({
    min: 1_000,
    max: 3_600_000,
    default: 10_000,
    ...STORAGE_ONLY,
    documentation:
      "A disk that has not returned from a write or fdatasync for so long hangs: this node resigns as leader " +
      "of partitions that others can lead.",
  }),
});
