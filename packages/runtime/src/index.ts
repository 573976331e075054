export { nodeVersion, VERSION } from "./build-info.ts";
export type { Clock, Timer, TimerOptions } from "./clock.ts";
export {
  AUTO_NODE_ID,
  defaultSettings,
  describeSettings,
  type EffectiveSetting,
  type LoadSettingsOptions,
  loadSettings,
  type Settings,
  type SettingsOverrides,
  settingsHelp,
  type Target,
} from "./config/settings.ts";
export { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from "./config/units.ts";
export { type Deadline, Deadlines } from "./deadlines.ts";
export type {
  DirectoryEntry,
  Disk,
  DiskErrorCode,
  DiskFile,
  DiskLock,
  DiskSpace,
  FileStat,
} from "./disk.ts";
export { DiskError } from "./disk.ts";
export { makeDirectoryDurably, parentDirectory, readWholeFile, writeFileDurably } from "./durable-file.ts";
export { type HttpGetOptions, type HttpGot, httpGet } from "./http-get.ts";
export {
  type HttpAnswer,
  type HttpRequest,
  type HttpRoute,
  type HttpServer,
  type HttpServerOptions,
  startHttpServer,
} from "./http-server.ts";
export { LabelLimiter, OTHER_LABEL } from "./label-limiter.ts";
export { Lifecycle, type StopPart, type StopReport } from "./lifecycle.ts";
export { LimitedLogger, type LimitedLoggerOptions } from "./limited-logger.ts";
export { type ListenTarget, listenError } from "./listen-error.ts";
export {
  createLogger,
  type LogFormat,
  type Logger,
  type LoggerOptions,
  type LogLevel,
  nullLogger,
} from "./logging.ts";
export {
  type CrashOptions,
  type FlipBitOptions,
  type InspectedFile,
  MemoryDisk,
  type MemoryDiskOptions,
} from "./memory-disk.ts";
export type {
  DiskOperation,
  Fault,
  FaultCounts,
  FaultTarget,
  MemoryDiskFaults,
  Stall,
} from "./memory-disk-faults.ts";
export {
  Counter,
  createMetricsRegistry,
  Gauge,
  Histogram,
  LATENCY_BUCKETS_SECONDS,
  MetricsRegistry,
  SIZE_BUCKETS_BYTES,
} from "./metrics.ts";
export { type GaugeSamples, labelText, metricsPage, type SampledGauges } from "./metrics-page.ts";
export type {
  ConnectAddress,
  Connection,
  ConnectionHandlers,
  ListenAddress,
  Listener,
  Network,
} from "./network.ts";
export { NodeDisk } from "./node-disk.ts";
export { directoryProblem } from "./node-disk-error.ts";
export { NodeNetwork } from "./node-network.ts";
export { releaseUnusedMemory } from "./process-memory.ts";
export { behindProxy } from "./proxy-protocol.ts";
export type { Random } from "./random.ts";
export { ReadBuffers } from "./read-buffers.ts";
export { Readiness, type ReadinessCheck, type ReadinessReport } from "./readiness.ts";
export { installFaultHandlers, type ProcessEvents, ProcessExit, runUntilSignal } from "./run-until-signal.ts";
export { SeededRandom } from "./seeded-random.ts";
export { systemClock } from "./system-clock.ts";
export { systemRandom } from "./system-random.ts";
export {
  formatTraceparent,
  parseTraceparent,
  type RunningTracer,
  type Span,
  type SpanAttributes,
  startTracing,
  type TraceParent,
  type Tracer,
} from "./tracing.ts";
export { VirtualClock, type VirtualClockOptions } from "./virtual-clock.ts";
