import { type Disk, DiskError, type DiskFile, readWholeFile } from "@ottla/runtime";
import type { IndexCache } from "./index-cache.ts";
import type { OpenFiles } from "./open-files.ts";

export interface IndexFileOptions {
  readonly path: string;
  readonly baseOffset: number;
  readonly entryBytes: number;
  readonly disk: Disk;
  readonly openFiles: OpenFiles;
  readonly indexCache: IndexCache;
}

/** No index holds more; Kafka's own limit for one file. */
const MAX_INDEX_BYTES = 2 ** 31 - 1;
const FIRST_TAIL_ENTRIES = 8;

/**
 * A file of entries of one size in ascending order. What was appended since the last `save` is in
 * memory only; what was saved is read back through the node's bounded cache when a lookup needs
 * it. So a log that rests holds next to nothing, and an active one never waits for its index.
 */
export class IndexFile {
  readonly baseOffset: number;
  readonly entryBytes: number;
  readonly #disk: Disk;
  readonly #openFiles: OpenFiles;
  readonly #indexCache: IndexCache;
  #path: string;
  #savedCount: number | undefined;
  #tail = new Uint8Array(0);
  #tailCount = 0;

  constructor(options: IndexFileOptions) {
    this.baseOffset = options.baseOffset;
    this.entryBytes = options.entryBytes;
    this.#path = options.path;
    this.#disk = options.disk;
    this.#openFiles = options.openFiles;
    this.#indexCache = options.indexCache;
  }

  get path(): string {
    return this.#path;
  }

  /** Entries not saved yet. */
  get tailCount(): number {
    return this.#tailCount;
  }

  /** Known after `load`, `reset` or `open`. */
  get entryCount(): number {
    return (this.#savedCount ?? 0) + this.#tailCount;
  }

  tailView(): DataView {
    return new DataView(this.#tail.buffer, 0, this.#tailCount * this.entryBytes);
  }

  /** Room for one more entry at the end; the caller fills it. */
  appendEntry(): DataView {
    const start = this.#tailCount * this.entryBytes;
    if (start + this.entryBytes > this.#tail.byteLength) {
      const grown = new Uint8Array(Math.max(FIRST_TAIL_ENTRIES * this.entryBytes, this.#tail.byteLength * 2));
      grown.set(this.#tail);
      this.#tail = grown;
    }
    this.#tailCount += 1;
    return new DataView(this.#tail.buffer, start, this.entryBytes);
  }

  /** Learns how many entries the file holds, without reading them; a torn last entry is not counted. */
  async open(): Promise<void> {
    if (this.#savedCount !== undefined) return;
    const stat = await this.#disk.stat(this.#path);
    this.#savedCount ??= Math.floor(Math.min(stat?.sizeBytes ?? 0, MAX_INDEX_BYTES) / this.entryBytes);
  }

  /** The saved entries. */
  async load(): Promise<DataView> {
    await this.open();
    const cached = this.#indexCache.get(this.#path);
    const savedBytes = (this.#savedCount ?? 0) * this.entryBytes;
    if (cached !== undefined && cached.byteLength >= savedBytes) {
      return new DataView(cached.buffer, cached.byteOffset, savedBytes);
    }
    if (savedBytes === 0) return new DataView(new ArrayBuffer(0));
    const path = this.#path;
    const bytes = (await readWholeFile(this.#disk, path, MAX_INDEX_BYTES)) ?? new Uint8Array(0);
    const whole = Math.floor(Math.min(bytes.byteLength, savedBytes) / this.entryBytes) * this.entryBytes;
    const held = bytes.byteLength === whole ? bytes : bytes.slice(0, whole);
    if (path === this.#path) this.#indexCache.set(path, held);
    return new DataView(held.buffer, held.byteOffset, whole);
  }

  /** Appends to the file what is in memory only. Not synced: an index can be rebuilt. */
  async save(): Promise<void> {
    if (this.#tailCount === 0) return;
    await this.open();
    const count = this.#tailCount;
    const bytes = this.#tail.slice(0, count * this.entryBytes);
    const lease = await this.#openFiles.acquire(this.#path, "write");
    try {
      await lease.file.write((this.#savedCount ?? 0) * this.entryBytes, [bytes]);
    } finally {
      lease.release();
    }
    this.#savedCount = (this.#savedCount ?? 0) + count;
    this.#indexCache.delete(this.#path);
    this.#tail = this.#tail.slice(count * this.entryBytes);
    this.#tailCount -= count;
  }

  /** Forgets all entries, in the file too. */
  async reset(): Promise<void> {
    await this.truncate(0);
  }

  async truncate(entryCount: number): Promise<void> {
    await this.open();
    const saved = this.#savedCount ?? 0;
    if (entryCount >= saved) {
      this.#tailCount = Math.min(this.#tailCount, entryCount - saved);
    } else {
      this.#tailCount = 0;
      this.#tail = new Uint8Array(0);
      this.#savedCount = entryCount;
      this.#indexCache.delete(this.#path);
    }
    await this.#cutFile();
  }

  /** Saves all entries and syncs a file that holds them and nothing else. */
  async finish(): Promise<void> {
    await this.save();
    await this.#cutFile((file) => file.sync());
  }

  /**
   * Makes the file exactly as long as its saved entries: garbage behind them would be read after a restart.
   */
  async #cutFile(then?: (file: DiskFile) => Promise<void>): Promise<void> {
    await this.open();
    const lease = await this.#openFiles.acquire(this.#path, "write");
    try {
      await lease.file.truncate((this.#savedCount ?? 0) * this.entryBytes);
      await then?.(lease.file);
    } finally {
      lease.release();
    }
  }

  /** Gives the file the name it keeps until it is removed. */
  async rename(path: string): Promise<void> {
    const from = this.#path;
    this.#openFiles.forget(from);
    this.#indexCache.delete(from);
    this.#path = path;
    try {
      await this.#disk.rename(from, path);
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== "ENOENT") throw error;
    }
  }
}
