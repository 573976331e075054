/**
 * All files are reached through `Disk`. There are two implementations: `NodeDisk` (the
 * real one) and `MemoryDisk` (drops unsynced writes, tears the last one, fills up, fails
 * and stalls on demand); one contract suite holds both. Paths are absolute and use "/".
 */
export interface Disk {
  /**
   * Opens a file. `write` creates it when missing and allows reading too. Throws
   * `DiskError` ENOENT for `read`.
   */
  open(path: string, mode: "read" | "write"): Promise<DiskFile>;
  /** Makes the directory and its parents; no error when it exists. */
  makeDirectory(path: string): Promise<void>;
  /** The entries of a directory, sorted by name. Throws ENOENT when there is none. */
  list(path: string): Promise<DirectoryEntry[]>;
  /** Undefined when nothing is there. */
  stat(path: string): Promise<FileStat | undefined>;
  /** Atomic; replaces a file at `to`. Durable only after `syncDirectory` of the parent(s). */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; no error when it is not there. */
  remove(path: string): Promise<void>;
  /** Removes a directory with all it holds; no error when it is not there. */
  removeDirectory(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Free and total bytes of the file system that holds `path`, as an unprivileged process may use them. */
  space(path: string): Promise<DiskSpace>;
  /**
   * Takes an exclusive lock on a directory for the life of this process (the operating system
   * frees it after a crash). Throws `OttlaError` DATA_DIRECTORY_LOCKED that says who holds it.
   */
  lock(directory: string): Promise<DiskLock>;
}

export interface DiskFile {
  readonly path: string;
  size(): Promise<number>;
  /**
   * Reads up to `length` bytes at `position`; fewer only at the end of the file. The
   * result is the caller's own.
   */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Reads into `target`; returns how many bytes were there. */
  readInto(position: number, target: Uint8Array): Promise<number>;
  /**
   * Writes all buffers one after another at `position`, or throws; after an error any prefix may be on disk.
   */
  write(position: number, buffers: readonly Uint8Array[]): Promise<void>;
  /**
   * Makes the file's data (and its size) durable: `fdatasync`. After an error nothing is known: never retry.
   */
  sync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: "file" | "directory";
}

export interface FileStat {
  readonly kind: "file" | "directory";
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** Tells it from what takes its name when it is gone, most of the time: numbers are given again. */
  readonly identity: string;
}

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface DiskLock {
  release(): Promise<void>;
}

export type DiskErrorCode =
  | "ENOENT"
  | "EEXIST"
  | "ENOSPC"
  | "EIO"
  | "ENOTEMPTY"
  | "EACCES"
  | "EMFILE"
  | "EOTHER";

/** An operation on the disk failed. `code` is the operating system's name for it. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: DiskErrorCode;
  readonly path: string;

  constructor(code: DiskErrorCode, path: string, message: string, cause?: unknown) {
    super(`${message} (${code}, ${path})`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
