export type { Appended, AppendOptions } from "./append-checks.ts";
export type { CompactionBacklog } from "./compaction/cleanable-range.ts";
export { CompactionPace, type CompactionPaceOptions } from "./compaction/compaction-pace.ts";
export type { CompactionReport, CompactOptions } from "./compaction/log-compactor.ts";
export {
  type CleanShutdown,
  DataDirectory,
  type DataDirectoryOptions,
  type StoredPartition,
} from "./data-directory.ts";
export { DiskSpaceGuard, type DiskSpaceGuardOptions } from "./disk-space-guard.ts";
export { type DumpedItem, type DumpLogOptions, dumpLog } from "./dump-log.ts";
export { LOG_FORMATS } from "./format-versions.ts";
export type { EpochEntry } from "./leader-epoch-cache.ts";
export type { LogCheckpoint } from "./log-checkpoint.ts";
export { DEFAULT_LOG_CONFIG, type LogConfig } from "./log-config.ts";
export type { LogLogger } from "./log-logger.ts";
export type { LogMetrics } from "./log-metrics.ts";
export type { LogProblem } from "./log-problems.ts";
export type { ReadOptions, ReadResult } from "./log-reader.ts";
export { createLogResources, type LogResources, type LogResourcesOptions } from "./log-resources.ts";
export type { MetaProperties } from "./meta-properties.ts";
export { findLogDirectories } from "./offline-log.ts";
export type { OffsetPosition } from "./offset-index.ts";
export type { PartitionName } from "./partition-directory.ts";
export type { ProducerBatch, ProducerEntry } from "./producer-entry.ts";
export type { DamagedRange, RecoveryReport } from "./recovery-report.ts";
export { type OpenLogOptions, SegmentedLog } from "./segmented-log.ts";
export { SyncScheduler } from "./sync-scheduler.ts";
export { TailCache } from "./tail-cache.ts";
export type { TimestampOffset } from "./time-index.ts";
export type { TimestampedOffset } from "./timestamp-lookup.ts";
export { type LogVerification, type VerifyLogOptions, verifyLog } from "./verify-log.ts";
