import fs from "node:fs";
import { lockDirectory } from "./directory-lock.ts";
import type { DirectoryEntry, Disk, DiskFile, DiskLock, DiskSpace, FileStat } from "./disk.ts";
import { DiskError } from "./disk.ts";
import { parentDirectory } from "./durable-file.ts";
import { systemCodeOf, toDiskError } from "./node-disk-error.ts";
import { NodeDiskFile } from "./node-disk-file.ts";

type Done<T> = (error: Error | null, value?: T) => void;

/** The machine's disk, through libuv's threads. */
export class NodeDisk implements Disk {
  async open(path: string, mode: "read" | "write"): Promise<DiskFile> {
    const flags = mode === "read" ? fs.constants.O_RDONLY : fs.constants.O_RDWR | fs.constants.O_CREAT;
    const descriptor = await call<number>(path, `open to ${mode}`, (done) => {
      fs.open(path, flags, 0o644, done);
    });
    return new NodeDiskFile(path, descriptor);
  }

  /** Step by step: Node's own recursion never ends where no directory can be made, as in /proc. */
  async makeDirectory(path: string): Promise<void> {
    try {
      await this.#makeOneDirectory(path);
    } catch (thrown) {
      const parent = parentDirectory(path);
      if (!(thrown instanceof DiskError) || thrown.code !== "ENOENT") throw thrown;
      if (parent === path || (await this.stat(parent)) !== undefined) throw thrown;
      await this.makeDirectory(parent);
      await this.#makeOneDirectory(path);
    }
  }

  async #makeOneDirectory(path: string): Promise<void> {
    try {
      await call(path, "make the directory", (done) => {
        fs.mkdir(path, (error) => done(error));
      });
    } catch (thrown) {
      if ((await this.stat(path))?.kind !== "directory") throw thrown;
    }
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    const found = await call<fs.Dirent[]>(path, "list the directory", (done) => {
      fs.readdir(path, { withFileTypes: true }, done);
    });
    const entries: DirectoryEntry[] = [];
    for (const entry of found) {
      const isDirectory = entry.isSymbolicLink()
        ? (await this.stat(`${path}/${entry.name}`))?.kind === "directory"
        : entry.isDirectory();
      entries.push({ name: entry.name, kind: isDirectory ? "directory" : "file" });
    }
    return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  async stat(path: string): Promise<FileStat | undefined> {
    try {
      const stats = await call<fs.Stats>(path, "ask about", (done) => {
        fs.stat(path, done);
      });
      const kind = stats.isDirectory() ? "directory" : "file";
      const identity = `${stats.dev}:${stats.ino}`;
      return { kind, sizeBytes: kind === "file" ? stats.size : 0, modifiedMs: stats.mtimeMs, identity };
    } catch (thrown) {
      if (isAbsence(thrown)) return undefined;
      throw thrown;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await call(from, `rename to ${to}`, (done) => {
      fs.rename(from, to, done);
    });
  }

  async remove(path: string): Promise<void> {
    try {
      await call(path, "remove", (done) => {
        fs.unlink(path, done);
      });
    } catch (thrown) {
      if (!isAbsence(thrown)) throw thrown;
    }
  }

  async removeDirectory(path: string): Promise<void> {
    const stat = await this.stat(path);
    if (stat === undefined) return;
    if (stat.kind === "file") {
      throw new DiskError("EOTHER", path, "cannot remove the directory: it is a file");
    }
    await call(path, "remove the directory", (done) => {
      fs.rm(path, { recursive: true, force: true }, done);
    });
  }

  async syncDirectory(path: string): Promise<void> {
    const descriptor = await call<number>(path, "open the directory to sync it", (done) => {
      fs.open(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY, done);
    });
    try {
      await call(path, "sync the directory", (done) => {
        fs.fsync(descriptor, done);
      });
    } finally {
      await call(path, "close the directory", (done) => {
        fs.close(descriptor, done);
      });
    }
  }

  async space(path: string): Promise<DiskSpace> {
    const stats = await call<fs.StatsFs>(path, "ask for the free space of", (done) => {
      fs.statfs(path, done);
    });
    return { freeBytes: stats.bavail * stats.bsize, totalBytes: stats.blocks * stats.bsize };
  }

  lock(directory: string): Promise<DiskLock> {
    return lockDirectory(directory);
  }
}

function call<T = void>(path: string, what: string, start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(toDiskError(path, what, error));
      else resolve(value as T);
    });
  });
}

/** ENOTDIR too: a path below a file is not there. */
function isAbsence(thrown: unknown): boolean {
  if (!(thrown instanceof DiskError)) return false;
  return thrown.code === "ENOENT" || systemCodeOf(thrown.cause) === "ENOTDIR";
}
