import type { Disk, DiskFile } from "@ottla/runtime";

/** A file that stays open at least until `release`. */
export interface FileLease {
  readonly file: DiskFile;
  release(): void;
}

interface OpenFile {
  readonly opening: Promise<DiskFile>;
  leases: number;
  /** Its name is gone from the cache: closed with its last lease. */
  forgotten: boolean;
}

/**
 * The files that a node has open, at most `maxOpenFiles` beside those in use: the one not
 * used for longest is closed first. Thousands of partitions so share a bounded number of
 * descriptors. A log that has written bytes it has not synced keeps its lease, because a
 * descriptor opened later might not be told of a failed write-back.
 */
export class OpenFiles {
  readonly #disk: Disk;
  readonly #maxOpenFiles: number;
  readonly #files = new Map<string, OpenFile>();

  constructor(disk: Disk, maxOpenFiles = 1024) {
    this.#disk = disk;
    this.#maxOpenFiles = maxOpenFiles;
  }

  get openCount(): number {
    return this.#files.size;
  }

  async acquire(path: string, mode: "read" | "write"): Promise<FileLease> {
    const key = `${mode}:${path}`;
    let entry = this.#files.get(key);
    if (entry === undefined) {
      entry = { opening: this.#disk.open(path, mode), leases: 0, forgotten: false };
    } else {
      this.#files.delete(key);
    }
    this.#files.set(key, entry);
    entry.leases += 1;
    this.#closeOldest();
    try {
      const file = await entry.opening;
      return { file, release: once(() => this.#release(key, entry)) };
    } catch (error) {
      if (this.#files.get(key) === entry) this.#files.delete(key);
      throw error;
    }
  }

  /** Forgets a path that was renamed or removed; readers that hold a lease keep reading the file. */
  forget(path: string): void {
    for (const mode of ["read", "write"]) {
      const key = `${mode}:${path}`;
      const entry = this.#files.get(key);
      if (entry === undefined) continue;
      this.#files.delete(key);
      entry.forgotten = true;
      if (entry.leases === 0) void closeQuietly(entry);
    }
  }

  /** Closes all that nobody uses. */
  async close(): Promise<void> {
    const entries = [...this.#files.values()];
    this.#files.clear();
    for (const entry of entries) {
      entry.forgotten = true;
      if (entry.leases === 0) await closeQuietly(entry);
    }
  }

  #release(key: string, entry: OpenFile): void {
    entry.leases -= 1;
    if (entry.leases > 0) return;
    if (entry.forgotten) void closeQuietly(entry);
    else if (this.#files.get(key) === entry) this.#closeOldest();
  }

  #closeOldest(): void {
    if (this.#files.size <= this.#maxOpenFiles) return;
    for (const [key, entry] of this.#files) {
      if (entry.leases > 0) continue;
      this.#files.delete(key);
      entry.forgotten = true;
      void closeQuietly(entry);
      if (this.#files.size <= this.#maxOpenFiles) return;
    }
  }
}

/** A file that only was read, or that was synced, has nothing to lose when closing it fails. */
async function closeQuietly(entry: OpenFile): Promise<void> {
  try {
    await (await entry.opening).close();
  } catch {
    return;
  }
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}
