import { OttlaError } from "@ottla/errors";
import type { Clock } from "./clock.ts";
import type { DirectoryEntry, Disk, DiskFile, DiskLock, DiskSpace, FileStat } from "./disk.ts";
import { DiskError } from "./disk.ts";
import { parentDirectory } from "./durable-file.ts";
import type { Random } from "./random.ts";
import { SeededRandom } from "./seeded-random.ts";
import { systemClock } from "./system-clock.ts";

export interface MemoryDiskOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly capacityBytes?: number;
}

interface MemoryFile {
  bytes: Uint8Array;
  sizeBytes: number;
  modifiedMs: number;
}

export class MemoryDisk implements Disk {
  readonly #clock: Clock;
  readonly #files = new Map<string, MemoryFile>();
  readonly #directories = new Set<string>(["/"]);
  readonly #locks = new Set<string>();
  readonly #capacityBytes: number;

  constructor(options: MemoryDiskOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    void (options.random ?? new SeededRandom(0));
    this.#capacityBytes = options.capacityBytes ?? 2 ** 40;
  }

  async open(path: string, mode: "read" | "write"): Promise<DiskFile> {
    await this.#turn();
    let file = this.#files.get(path);
    if (file === undefined) {
      if (mode === "read" || !this.#directories.has(parentDirectory(path))) {
        throw new DiskError("ENOENT", path, `cannot open to ${mode}`);
      }
      file = { bytes: new Uint8Array(0), sizeBytes: 0, modifiedMs: this.#clock.now() };
      this.#files.set(path, file);
    }
    return new MemoryDiskFile(path, file, () => this.#turn());
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#turn();
    for (let next = path; next !== "/"; next = parentDirectory(next)) this.#directories.add(next);
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    await this.#turn();
    if (!this.#directories.has(path)) throw new DiskError("ENOENT", path, "cannot list the directory");
    const entries: DirectoryEntry[] = [];
    for (const directory of this.#directories) {
      if (directory !== "/" && parentDirectory(directory) === path) {
        entries.push({ name: directory.slice(directory.lastIndexOf("/") + 1), kind: "directory" });
      }
    }
    for (const file of this.#files.keys()) {
      if (parentDirectory(file) === path) {
        entries.push({ name: file.slice(file.lastIndexOf("/") + 1), kind: "file" });
      }
    }
    return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  async stat(path: string): Promise<FileStat | undefined> {
    await this.#turn();
    if (this.#directories.has(path)) return { kind: "directory", sizeBytes: 0, modifiedMs: 0 };
    const file = this.#files.get(path);
    return file && { kind: "file", sizeBytes: file.sizeBytes, modifiedMs: file.modifiedMs };
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#turn();
    const file = this.#files.get(from);
    if (file !== undefined) {
      this.#files.set(to, file);
      this.#files.delete(from);
      return;
    }
    if (!this.#directories.has(from)) throw new DiskError("ENOENT", from, `cannot rename to ${to}`);
    for (const directory of [...this.#directories]) {
      if (directory === from || directory.startsWith(`${from}/`)) {
        this.#directories.delete(directory);
        this.#directories.add(to + directory.slice(from.length));
      }
    }
    for (const [path, file] of [...this.#files]) {
      if (!path.startsWith(`${from}/`)) continue;
      this.#files.delete(path);
      this.#files.set(to + path.slice(from.length), file);
    }
  }

  async remove(path: string): Promise<void> {
    await this.#turn();
    this.#files.delete(path);
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#turn();
    for (const directory of [...this.#directories]) {
      if (directory === path || directory.startsWith(`${path}/`)) this.#directories.delete(directory);
    }
    for (const file of [...this.#files.keys()]) if (file.startsWith(`${path}/`)) this.#files.delete(file);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#turn();
    if (!this.#directories.has(path)) throw new DiskError("ENOENT", path, "cannot sync the directory");
  }

  async space(_path: string): Promise<DiskSpace> {
    await this.#turn();
    let usedBytes = 0;
    for (const file of this.#files.values()) usedBytes += file.sizeBytes;
    return { freeBytes: Math.max(0, this.#capacityBytes - usedBytes), totalBytes: this.#capacityBytes };
  }

  async lock(directory: string): Promise<DiskLock> {
    await this.#turn();
    if (this.#locks.has(directory)) {
      throw new OttlaError(
        "DATA_DIRECTORY_LOCKED",
        `the data directory ${directory} is held by this process`,
      );
    }
    this.#locks.add(directory);
    return {
      release: () => {
        this.#locks.delete(directory);
        return Promise.resolve();
      },
    };
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.nextTurn(resolve);
    });
  }
}

class MemoryDiskFile implements DiskFile {
  readonly path: string;
  readonly #file: MemoryFile;
  readonly #turn: () => Promise<void>;
  #closed = false;

  constructor(path: string, file: MemoryFile, turn: () => Promise<void>) {
    this.path = path;
    this.#file = file;
    this.#turn = turn;
  }

  async size(): Promise<number> {
    await this.#begin();
    return this.#file.sizeBytes;
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    await this.#begin();
    return this.#file.bytes.slice(position, Math.min(position + length, this.#file.sizeBytes));
  }

  async readInto(position: number, target: Uint8Array): Promise<number> {
    const bytes = await this.read(position, target.byteLength);
    target.set(bytes);
    return bytes.byteLength;
  }

  async write(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#begin();
    let next = position;
    for (const buffer of buffers) {
      this.#resize(Math.max(this.#file.sizeBytes, next + buffer.byteLength));
      this.#file.bytes.set(buffer, next);
      next += buffer.byteLength;
    }
  }

  async sync(): Promise<void> {
    await this.#begin();
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#begin();
    this.#file.bytes.fill(0, sizeBytes);
    this.#resize(sizeBytes);
  }

  async close(): Promise<void> {
    await this.#turn();
    this.#closed = true;
  }

  async #begin(): Promise<void> {
    await this.#turn();
    if (this.#closed) throw new DiskError("EOTHER", this.path, "the file is closed");
  }

  #resize(sizeBytes: number): void {
    const file = this.#file;
    if (sizeBytes > file.bytes.byteLength) {
      const grown = new Uint8Array(Math.max(sizeBytes, file.bytes.byteLength * 2));
      grown.set(file.bytes);
      file.bytes = grown;
    }
    file.sizeBytes = sizeBytes;
  }
}
