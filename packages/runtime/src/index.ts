export type { Clock, Timer, TimerOptions } from "./clock.ts";
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
export { MemoryDisk, type MemoryDiskOptions } from "./memory-disk.ts";
export { NodeDisk } from "./node-disk.ts";
export type { Random } from "./random.ts";
export { SeededRandom } from "./seeded-random.ts";
export { systemClock } from "./system-clock.ts";
export { systemRandom } from "./system-random.ts";
export { VirtualClock, type VirtualClockOptions } from "./virtual-clock.ts";
export type {
  ConnectAddress,
  Connection,
  ConnectionHandlers,
  ListenAddress,
  Listener,
  Network,
} from "./network.ts";
export { NodeNetwork } from "./node-network.ts";
