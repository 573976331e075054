import { OttlaError } from "@ottla/errors";
import type { Clock } from "./clock.ts";
import type { DirectoryEntry, Disk, DiskFile, DiskLock, DiskSpace, FileStat } from "./disk.ts";
import { DiskError } from "./disk.ts";
import { parentDirectory } from "./durable-file.ts";
import type { CrashReport, Side, Unsynced } from "./memory-disk-content.ts";
import { MemoryDiskFaults } from "./memory-disk-faults.ts";
import { MemoryDiskFile } from "./memory-disk-file.ts";
import { MemoryDiskOperations } from "./memory-disk-operations.ts";
import { MemoryDiskTree, type Node } from "./memory-disk-tree.ts";
import type { Random } from "./random.ts";
import { SeededRandom } from "./seeded-random.ts";
import { systemClock } from "./system-clock.ts";

const DEFAULT_CAPACITY_BYTES = 2 ** 40;

export interface MemoryDiskOptions {
  readonly clock?: Clock;
  /** Decides what a crash leaves and whom a fault strikes. */
  readonly random?: Random;
  readonly capacityBytes?: number;
}

export interface CrashOptions {
  /**
   * What becomes of what no sync covers. "kept" is the death of the process alone; "random" (the
   * default) is the power cut: anything between nothing and all of it, the last write torn.
   */
  readonly unsynced?: Unsynced;
}

/** A file as it is. Its bytes are a view: good until the disk is used again. */
export interface InspectedFile {
  readonly name: string;
  readonly identity: object;
  readonly changedFrom: number;
  bytes(): Uint8Array;
}

export interface FlipBitOptions {
  /** The byte; by chance when not given. */
  readonly position?: number;
  /** 0 to 7; by chance when not given. */
  readonly bit?: number;
}

/**
 * A disk in memory that is as bad as disks may be: it knows what is durable apart from what is visible,
 * and loses the rest when it crashes. All that happens follows from the clock and the random stream given.
 */
export class MemoryDisk implements Disk {
  readonly faults: MemoryDiskFaults;
  readonly #operations: MemoryDiskOperations;
  readonly #tree: MemoryDiskTree;
  readonly #identities = new WeakMap<Node, string>();
  #lastIdentity = 0;
  #locks = new Map<string, { readonly since: string }>();

  constructor(options: MemoryDiskOptions = {}) {
    const random = options.random ?? new SeededRandom(0);
    const clock = options.clock ?? systemClock;
    this.faults = new MemoryDiskFaults(options.capacityBytes ?? DEFAULT_CAPACITY_BYTES, random);
    this.#operations = new MemoryDiskOperations({ clock, random, faults: this.faults });
    this.#tree = new MemoryDiskTree((file) => {
      if (file.openHandles === 0) this.#operations.usedBytes -= file.content.sizeBytes;
    });
  }

  /**
   * The power goes and comes back: the disk holds what was durable and, as `unsynced` says, some of what was
   * not. Operations on their way fail, handles and locks are void, and the disk can be used again at once.
   */
  crash(options: CrashOptions = {}): void {
    const { random } = this.#operations;
    const { counts } = this.faults;
    const unsynced = options.unsynced ?? "random";
    // One crash in three is of the plain kind everywhere: subsets chosen file by file
    // would hardly ever be that.
    const dice = unsynced === "random" ? random.integer(6) : -1;
    const fate = dice === 0 ? "lost" : dice === 1 ? "kept" : unsynced;
    counts.crashes += 1;
    this.#operations.crash();
    this.#locks = new Map();
    const directories = this.#tree.crash(fate, random);
    counts.directoryOperationsKept += directories.kept;
    counts.directoryOperationsLost += directories.lost;
    this.#operations.usedBytes = 0;
    for (const file of this.#tree.files()) {
      this.#countWrites(file.content.crash(fate, random));
      file.openHandles = 0;
      this.#operations.usedBytes += file.content.sizeBytes;
    }
  }

  /** Damages a file at rest; returns the position of the byte. The file must not be empty. */
  flipBit(path: string, options: FlipBitOptions = {}): number {
    const node = this.#tree.find(path);
    if (node?.kind !== "file" || node.content.sizeBytes === 0) {
      throw new DiskError("ENOENT", path, "cannot flip a bit: no file with bytes is there");
    }
    const { random } = this.#operations;
    const position = options.position ?? random.integer(node.content.sizeBytes);
    node.content.flipBit(position, options.bit ?? random.integer(8));
    this.faults.counts.bitsFlipped += 1;
    return position;
  }

  /** A directory goes with all that is in it, as if somebody had removed it; durable at once. */
  loseDirectory(path: string): void {
    this.#tree.removeDirectory(path);
    this.#tree.startSync(this.#tree.directory(parentDirectory(path), "sync the directory"))();
  }

  /**
   * The files in a directory as they are, without an operation and its faults: for checks of what programs
   * left. `identity` tells a file from another that got its name; `changedFrom` is the lowest position that
   * changed since the file was last inspected on that side. `suffix` leaves the others as they are.
   */
  inspect(directory: string, side: Side, suffix = ""): InspectedFile[] {
    const files: InspectedFile[] = [];
    for (const [name, node] of this.#tree.inspect(directory, side)) {
      if (node.kind !== "file" || !name.endsWith(suffix)) continue;
      const { content } = node;
      const changedFrom = content.inspect(side);
      files.push({ name, identity: content, changedFrom, bytes: () => content.view(side) });
    }
    return files;
  }

  async open(path: string, mode: "read" | "write"): Promise<DiskFile> {
    return await this.#operations.runWhole("open", path, () => {
      let node = this.#tree.find(path);
      if (node?.kind === "directory") {
        throw new DiskError("EOTHER", path, "cannot open: it is a directory");
      }
      if (node === undefined) {
        this.#tree.directory(parentDirectory(path), `open to ${mode}`);
        if (mode === "read") throw new DiskError("ENOENT", path, "cannot open to read");
        node = this.#tree.createFile(path, this.#operations.clock.now());
      }
      return new MemoryDiskFile(path, node, mode === "write", this.#operations);
    });
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#operations.runWhole("makeDirectory", path, () =>
      this.#tree.makeDirectory(path, this.#operations.clock.now()),
    );
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    return await this.#operations.runWhole("list", path, () => {
      const directory = this.#tree.directory(path, "list the directory");
      const entries = [...directory.entries].map(([name, node]) => ({ name, kind: node.kind }));
      return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
    });
  }

  async stat(path: string): Promise<FileStat | undefined> {
    return await this.#operations.runWhole("stat", path, () => {
      const node = this.#tree.find(path);
      if (node === undefined) return undefined;
      const sizeBytes = node.kind === "file" ? node.content.sizeBytes : 0;
      return { kind: node.kind, sizeBytes, modifiedMs: node.modifiedMs, identity: this.#identityOf(node) };
    });
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#operations.runWhole("rename", from, () => this.#tree.rename(from, to));
  }

  async remove(path: string): Promise<void> {
    await this.#operations.runWhole("remove", path, () => this.#tree.removeFile(path));
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#operations.runWhole("removeDirectory", path, () => this.#tree.removeDirectory(path));
  }

  async syncDirectory(path: string): Promise<void> {
    const sync = await this.#operations.runWhole("syncDirectory", path, () => {
      const directory = this.#tree.directory(path, "sync the directory");
      return this.#tree.startSync(directory);
    });
    sync();
  }

  async space(path: string): Promise<DiskSpace> {
    return await this.#operations.runWhole("space", path, () => {
      if (this.#tree.find(path) === undefined)
        throw new DiskError("ENOENT", path, "cannot ask for the space");
      return { freeBytes: this.#operations.freeBytes, totalBytes: this.faults.capacityBytes };
    });
  }

  async lock(directory: string): Promise<DiskLock> {
    return await this.#operations.runWhole("lock", directory, () => {
      this.#tree.directory(directory, "lock the directory");
      const holder = this.#locks.get(directory);
      if (holder !== undefined) {
        throw new OttlaError(
          "DATA_DIRECTORY_LOCKED",
          `the data directory ${directory} is held by this process since ${holder.since}`,
          { metadata: { directory } },
        );
      }
      const lock = { since: new Date(this.#operations.clock.now()).toISOString() };
      this.#locks.set(directory, lock);
      return {
        release: () => {
          // A crash may have freed it since, and somebody else taken it.
          if (this.#locks.get(directory) === lock) this.#locks.delete(directory);
          return Promise.resolve();
        },
      };
    });
  }

  #countWrites(report: CrashReport): void {
    const { counts } = this.faults;
    counts.writesKept += report.kept;
    counts.writesLost += report.lost;
    counts.writesTorn += report.torn;
  }

  #identityOf(node: Node): string {
    const known = this.#identities.get(node);
    if (known !== undefined) return known;
    this.#lastIdentity += 1;
    const identity = `memory:${this.#lastIdentity}`;
    this.#identities.set(node, identity);
    return identity;
  }
}
