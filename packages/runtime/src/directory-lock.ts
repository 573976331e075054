import fs from "node:fs";
import os from "node:os";
import type { DatabaseSync } from "node:sqlite";
import { OttlaError } from "@ottla/errors";
import type { DiskLock } from "./disk.ts";
import { systemCodeOf, toDiskError } from "./node-disk-error.ts";

const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;

/**
 * Node offers no file lock, but SQLite inside it takes one: an exclusive transaction on
 * `lock.db` that never ends. The kernel frees it with the process, however that dies.
 * `lock.db` must not be opened by anyone else in this process: POSIX drops all locks of a
 * process on a file when it closes any descriptor of it. So the holder's name stands in a
 * file of its own, `lock.holder`, which says nothing about whether the lock is held.
 */
export async function lockDirectory(directory: string): Promise<DiskLock> {
  // SQLite would only say that it cannot open its file.
  await fs.promises.access(directory, fs.constants.W_OK).catch((error: unknown) => {
    throw toDiskError(directory, "lock the directory", error);
  });
  const holderPath = `${directory}/lock.holder`;
  // Loaded only here: it costs start-up time that a client of the library need not pay.
  const sqlite = await import("node:sqlite");
  const database = takeLock(sqlite.DatabaseSync, directory, holderPath);
  try {
    const since = new Date().toISOString();
    await fs.promises.writeFile(
      holderPath,
      `process ${process.pid} on host ${os.hostname()} since ${since}\n`,
    );
  } catch (error) {
    database.close();
    throw toDiskError(holderPath, "write who holds the lock", error);
  }
  let released: Promise<void> | undefined;
  return {
    release: () => {
      released ??= fs.promises.rm(holderPath, { force: true }).finally(() => database.close());
      return released;
    },
  };
}

function takeLock(Database: typeof DatabaseSync, directory: string, holderPath: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new Database(`${directory}/lock.db`, { timeout: 0 });
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database?.close();
    const code = (error as { errcode?: number }).errcode;
    if (code !== SQLITE_BUSY && code !== SQLITE_LOCKED) {
      throw toDiskError(
        `${directory}/lock.db`,
        "lock the directory",
        reasonOf(`${directory}/lock.db`) ?? error,
      );
    }
    const holder = readHolder(holderPath);
    throw new OttlaError(
      "DATA_DIRECTORY_LOCKED",
      `the data directory ${directory} is held by ${holder}: stop that process or use another directory`,
      { metadata: { directory } },
    );
  }
}

/** What the operating system has against writing the file that SQLite could not open. */
function reasonOf(path: string): unknown {
  try {
    fs.accessSync(path, fs.constants.W_OK);
    return undefined;
  } catch (error) {
    return systemCodeOf(error) === "ENOENT" ? undefined : error;
  }
}

function readHolder(holderPath: string): string {
  try {
    const text = fs.readFileSync(holderPath, "utf8").slice(0, 500).trim();
    return text === "" ? "another process" : text;
  } catch {
    // The holder is between taking the lock and writing its name.
    return "another process";
  }
}
