import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { OttlaError } from "@ottla/errors";
import type { KeyValue, Revision } from "./metadata-store.ts";

/** "Ottl", so that another program's database is not taken for ours. */
const APPLICATION_ID = 0x4f74746c;

/** The layout of the tables below; changed only together with a golden directory (tests/golden). */
export const EMBEDDED_FORMAT = 1;

const PAGE_BYTES = 4096;
const WAL_LIMIT_BYTES = 4 * 1024 * 1024;

/** SQLite's primary result codes, the low byte of `errcode`. */
const SQLITE_BUSY = 5;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** All keys of a former process's leases get this lease: leases end with the process that holds them. */
export const FORMER_LEASE = "former";

const SCHEMA = `
  CREATE TABLE entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL) STRICT;
  INSERT INTO store (id, revision) VALUES (0, 1);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${EMBEDDED_FORMAT};
`;

export interface EmbeddedDatabaseOptions {
  readonly path: string;
  readonly maxBytes: number;
}

/**
 * The SQLite file below the embedded store. In WAL mode with `synchronous=FULL` a commit appends its pages to
 * the write-ahead log and ends with one sync of that file: durable when it returns, at a third of the syncs
 * that a rollback journal needs. (`NORMAL` would sync only at checkpoints and lose commits in a power cut.)
 * The lock is exclusive: no second process can open the file, and no shared-memory file is needed beside it.
 */
export class EmbeddedDatabase {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #setRevision: StatementSync;

  private constructor(path: string, database: DatabaseSync) {
    this.path = path;
    this.#database = database;
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#put = database.prepare(
      "INSERT OR REPLACE INTO entries (key, value, create_revision, mod_revision, version, leased, " +
        "checksum) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#delete = database.prepare("DELETE FROM entries WHERE key = ?");
    this.#setRevision = database.prepare("UPDATE store SET revision = ? WHERE id = 0");
  }

  /** Throws DATA_DIRECTORY_LOCKED or INVALID_DATA_DIRECTORY, both naming the file. */
  static async open(options: EmbeddedDatabaseOptions): Promise<EmbeddedDatabase> {
    const { path, maxBytes } = options;
    // Loaded here, because only a standalone process needs SQLite.
    const sqlite = await import("node:sqlite");
    let database: DatabaseSync | undefined;
    try {
      database = new sqlite.DatabaseSync(path);
      database.exec(`
        PRAGMA locking_mode = EXCLUSIVE;
        PRAGMA page_size = ${PAGE_BYTES};
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA journal_size_limit = ${WAL_LIMIT_BYTES};
        PRAGMA max_page_count = ${Math.ceil(maxBytes / PAGE_BYTES)};
      `);
      prepareSchema(database, path);
      return new EmbeddedDatabase(path, database);
    } catch (thrown) {
      database?.close();
      throw openError(path, thrown);
    }
  }

  /**
   * Everything in the file. A row whose checksum is wrong, or a broken page, is an error that names the file.
   */
  load(): { readonly revision: Revision; readonly entries: KeyValue[] } {
    try {
      const store = this.#database.prepare("SELECT revision FROM store WHERE id = 0").get();
      const revision = Number(store?.["revision"]);
      if (!Number.isSafeInteger(revision) || revision < 1)
        throw damaged(this.path, "its revision is missing");
      const rows = this.#database
        .prepare(
          "SELECT key, value, create_revision, mod_revision, version, leased, checksum FROM entries" +
            " ORDER BY key",
        )
        .all();
      return { revision, entries: rows.map((row) => this.#readRow(row)) };
    } catch (thrown) {
      throw openError(this.path, thrown);
    }
  }

  /**
   * Writes changed keys (undefined: deleted) and the revision in one durable commit. Nothing of it is in the
   * file when this throws; the error is what SQLite says.
   */
  write(changes: ReadonlyMap<string, KeyValue | undefined>, revision: Revision): void {
    this.#begin.run();
    try {
      for (const [key, entry] of changes) {
        if (entry === undefined) this.#delete.run(key);
        else this.#putRow(entry);
      }
      this.#setRevision.run(revision);
      this.#commit.run();
    } catch (thrown) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw thrown;
    }
  }

  close(): void {
    this.#database.close();
  }

  #putRow(entry: KeyValue): void {
    const { key, value, createRevision, modRevision, version } = entry;
    const leased = entry.leaseId === undefined ? 0 : 1;
    this.#put.run(key, value, createRevision, modRevision, version, leased, checksum(entry));
  }

  #readRow(row: Record<string, unknown>): KeyValue {
    const { key, value } = row;
    if (typeof key !== "string" || !(value instanceof Uint8Array))
      throw damaged(this.path, "a row is malformed");
    const entry: KeyValue = {
      key,
      value,
      createRevision: Number(row["create_revision"]),
      modRevision: Number(row["mod_revision"]),
      version: Number(row["version"]),
      leaseId: row["leased"] === 0 ? undefined : FORMER_LEASE,
    };
    if (checksum(entry) !== row["checksum"])
      throw damaged(this.path, `the checksum of the key ${key} is wrong`);
    return entry;
  }
}

/** Whether the file has no room for a commit: it may have later, unlike after a failed write or sync. */
export function isDatabaseFull(thrown: unknown): boolean {
  return resultCode(thrown) === SQLITE_FULL;
}

function prepareSchema(database: DatabaseSync, path: string): void {
  const applicationId = pragma(database, "application_id");
  const formatVersion = pragma(database, "user_version");
  const tables = database.prepare("SELECT count(*) AS count FROM sqlite_schema").get()?.["count"];
  if (tables === 0 && applicationId === 0) {
    database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
  } else if (applicationId !== APPLICATION_ID) {
    throw damaged(path, "it is a database of another program");
  } else if (formatVersion !== EMBEDDED_FORMAT) {
    throw new OttlaError(
      "INVALID_DATA_DIRECTORY",
      `metadata database ${path} has format ${String(formatVersion)}, this version of Ottla reads ` +
        `${EMBEDDED_FORMAT}: use the version that wrote it`,
      { metadata: { path } },
    );
  }
}

function pragma(database: DatabaseSync, name: string): unknown {
  return database.prepare(`PRAGMA ${name}`).get()?.[name];
}

/** Over everything that a row says: SQLite itself does not notice a flipped bit inside a value. */
function checksum(entry: KeyValue): number {
  const { key, createRevision, modRevision, version, leaseId } = entry;
  const facts = `${key}\n${createRevision}\n${modRevision}\n${version}\n${leaseId === undefined ? 0 : 1}\n`;
  return crc32(entry.value, crc32(facts));
}

function resultCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !("errcode" in thrown) || typeof thrown.errcode !== "number")
    return undefined;
  return thrown.errcode & 0xff;
}

function openError(path: string, thrown: unknown): OttlaError {
  if (thrown instanceof OttlaError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  const code = resultCode(thrown);
  const options = { cause: thrown, metadata: { path } };
  if (code === SQLITE_BUSY) {
    return new OttlaError(
      "DATA_DIRECTORY_LOCKED",
      `metadata database ${path} is in use by another process`,
      options,
    );
  }
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB || code === SQLITE_IOERR)
    return damaged(path, reason, thrown);
  return new OttlaError(
    "INVALID_DATA_DIRECTORY",
    `cannot open metadata database ${path}: ${reason}`,
    options,
  );
}

function damaged(path: string, reason: string, cause?: unknown): OttlaError {
  const remedy = "restore it, with its -wal file, from a backup";
  const message = `metadata database ${path} is damaged: ${reason}; ${remedy}`;
  const metadata = { path };
  return new OttlaError(
    "INVALID_DATA_DIRECTORY",
    message,
    cause === undefined ? { metadata } : { cause, metadata },
  );
}
