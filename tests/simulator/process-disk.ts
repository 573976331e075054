import type { Clock, Disk, DiskFile, DiskLock, MemoryDisk } from "@ottla/runtime";
import type { Scheduler } from "./scheduler.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

/** The shortest and the longest time that an operation on a healthy disk takes, in milliseconds. */
const FASTEST_MS = 0.03;
const SLOWEST_MS = 0.4;

/**
 * The clock of a machine's disks: it runs on while processes come and go. Its turns take
 * as long as an operation.
 */
export function diskClock(scheduler: Scheduler, random: { float(): number }): Clock {
  return {
    now: () => Math.floor(Date.UTC(2026, 0, 1) + scheduler.nowMs),
    monotonic: () => scheduler.nowMs,
    setTimer: (delayMs, callback) => scheduler.after(delayMs, callback),
    sleep: (delayMs) => scheduler.sleep(delayMs),
    nextTurn: (callback) => {
      scheduler.after(FASTEST_MS + random.float() ** 3 * (SLOWEST_MS - FASTEST_MS), callback);
    },
  };
}

/**
 * A machine's disk as one process sees it: once the process is dead, nothing of it reaches the disk any more.
 */
export function diskOf(process: SimulatedProcess, disk: MemoryDisk): Disk {
  const call = <T>(operation: () => Promise<T>): Promise<T> =>
    process.isAlive ? process.answerOf(operation()) : never();
  return {
    open: async (path, mode) => fileOf(await call(() => disk.open(path, mode)), call),
    makeDirectory: (path) => call(() => disk.makeDirectory(path)),
    list: (path) => call(() => disk.list(path)),
    stat: (path) => call(() => disk.stat(path)),
    rename: (from, to) => call(() => disk.rename(from, to)),
    remove: (path) => call(() => disk.remove(path)),
    removeDirectory: (path) => call(() => disk.removeDirectory(path)),
    syncDirectory: (path) => call(() => disk.syncDirectory(path)),
    space: (path) => call(() => disk.space(path)),
    lock: async (directory) => lockOf(await call(() => disk.lock(directory)), call),
  };
}

/** A promise of its own each time: one that all share would keep whatever ever waited for it. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}

type Call = <T>(operation: () => Promise<T>) => Promise<T>;

function fileOf(file: DiskFile, call: Call): DiskFile {
  return {
    path: file.path,
    size: () => call(() => file.size()),
    read: (position, length) => call(() => file.read(position, length)),
    readInto: (position, target) => call(() => file.readInto(position, target)),
    write: (position, buffers) => call(() => file.write(position, buffers)),
    sync: () => call(() => file.sync()),
    truncate: (sizeBytes) => call(() => file.truncate(sizeBytes)),
    close: () => call(() => file.close()),
  };
}

function lockOf(lock: DiskLock, call: Call): DiskLock {
  return { release: () => call(() => lock.release()) };
}
