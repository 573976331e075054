import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { EmbeddedDatabase, FORMER_LEASE, isDatabaseFull } from "./embedded-database.ts";
import { type Commit, KeySpace } from "./key-space.ts";
import type {
  KeyValue,
  Lease,
  LeaseOptions,
  MetadataStore,
  RangeOptions,
  RangeResult,
  Revision,
  Transaction,
  TransactionResult,
  Watch,
  WatchHandler,
} from "./metadata-store.ts";
import { checkKey, checkPrefix, checkTransaction, storeClosed } from "./transaction-limits.ts";
import { WatchHub } from "./watch-hub.ts";

const DEFAULT_MAX_BYTES = 1024 * 1024 * 1024;
const DEFAULT_MAX_HISTORY_REVISIONS = 10_000;
const MAX_HISTORY_BYTES = 4 * 1024 * 1024;

/** A commit blocks the event loop: what waits is committed in groups of about this many operations. */
const MAX_OPERATIONS_PER_COMMIT = 2048;

export interface EmbeddedStoreOptions {
  /** The database file; its directory exists. SQLite keeps a "-wal" file beside it while it is open. */
  readonly path: string;
  readonly clock: Clock;
  /** Writes are refused, as on a full disk, when the file would grow beyond this. Default 1 GiB. */
  readonly maxBytes?: number;
  /** How many revisions a watch may start in the past. */
  readonly maxHistoryRevisions?: number;
}

/** One change that waits for the next commit. */
interface PendingWrite {
  readonly operationCount: number;
  /** Applies the change to the keys in memory; what it throws was refused with nothing changed. */
  readonly apply: () => Commit | undefined;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * The metadata store of one process: all keys in memory, every change durable in SQLite before it is answered
 * or shown. Transactions that wait at the same time share one commit. Leases belong to the process: opening
 * the database ends those of the one before, and while the process lives nobody else could take over, so none
 * expires.
 */
export class EmbeddedStore implements MetadataStore {
  readonly #database: EmbeddedDatabase;
  readonly #clock: Clock;
  readonly #keySpace: KeySpace;
  readonly #hub: WatchHub;
  readonly #leases = new Map<string, AbortController>();
  #pending: PendingWrite[] = [];
  #flushScheduled = false;
  #nextLease = 1;
  /** Why the store can no longer be used. */
  #stopped: OttlaError | undefined;
  #closed = false;

  private constructor(options: EmbeddedStoreOptions, database: EmbeddedDatabase, keySpace: KeySpace) {
    this.#database = database;
    this.#clock = options.clock;
    this.#keySpace = keySpace;
    this.#hub = new WatchHub({
      revision: keySpace.revision,
      maxRevisions: options.maxHistoryRevisions ?? DEFAULT_MAX_HISTORY_REVISIONS,
      maxBytes: MAX_HISTORY_BYTES,
    });
  }

  /** Throws DATA_DIRECTORY_LOCKED or INVALID_DATA_DIRECTORY, both naming the file. */
  static async open(options: EmbeddedStoreOptions): Promise<EmbeddedStore> {
    const { path, maxBytes = DEFAULT_MAX_BYTES } = options;
    const database = await EmbeddedDatabase.open({ path, maxBytes });
    try {
      const { revision, entries } = database.load();
      const keySpace = new KeySpace(revision, entries);
      const ended = keySpace.endLease(FORMER_LEASE);
      if (ended !== undefined) database.write(changedKeys([ended], keySpace), keySpace.revision);
      return new EmbeddedStore(options, database, keySpace);
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  }

  get revision(): Revision {
    return this.#keySpace.revision;
  }

  async get(key: string): Promise<KeyValue | undefined> {
    checkKey(key);
    this.#checkRunning();
    return this.#keySpace.get(key);
  }

  async range(prefix: string, options: RangeOptions = {}): Promise<RangeResult> {
    this.#checkRunning();
    return this.#keySpace.range(prefix, options);
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    checkTransaction(transaction);
    let result: TransactionResult | undefined;
    await this.#write(transaction.success.length + transaction.compare.length, () => {
      const applied = this.#keySpace.apply(transaction);
      result = applied.result;
      return applied.commit;
    });
    if (result === undefined) throw storeClosed("metadata store");
    return result;
  }

  watch(prefix: string, fromRevision: Revision, handler: WatchHandler): Watch {
    checkPrefix(prefix);
    this.#checkRunning();
    return this.#hub.watch(prefix, fromRevision, handler);
  }

  async lease(_options: LeaseOptions): Promise<Lease> {
    this.#checkRunning();
    const id = `lease-${this.#nextLease}`;
    this.#nextLease += 1;
    this.#keySpace.grantLease(id);
    const lost = new AbortController();
    this.#leases.set(id, lost);
    return { id, lost: lost.signal, revoke: () => this.#revoke(id) };
  }

  async describe(): Promise<string> {
    return `embedded (SQLite ${process.versions["sqlite"] ?? "of an unknown version"})`;
  }

  /** Forgets the history up to `revision`, for watches that would start before it. */
  compact(revision: Revision): void {
    this.#hub.compact(revision);
  }

  /** Writes what still waits and closes the file. Leases not revoked end when it is opened again. */
  async close(): Promise<void> {
    while (this.#pending.length > 0) this.#flush();
    if (this.#closed) return;
    this.#closed = true;
    this.#stop(storeClosed("metadata store"));
    this.#database.close();
  }

  async #revoke(id: string): Promise<void> {
    const lost = this.#leases.get(id);
    if (lost === undefined) return;
    this.#leases.delete(id);
    lost.abort(leaseLost(id, "it was revoked"));
    await this.#write(1, () => this.#keySpace.endLease(id));
  }

  #write(operationCount: number, apply: () => Commit | undefined): Promise<void> {
    this.#checkRunning();
    return new Promise((resolve, reject) => {
      this.#pending.push({ operationCount, apply, resolve, reject });
      this.#scheduleFlush(queueMicrotask);
    });
  }

  #scheduleFlush(later: (callback: () => void) => void): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    later(() => {
      this.#flushScheduled = false;
      this.#flush();
      // The next group waits a turn, so that a long queue of changes does not starve the process.
      if (this.#pending.length > 0) this.#scheduleFlush((callback) => this.#clock.nextTurn(callback));
    });
  }

  /** Applies a group of writes, makes it durable in one commit, and only then answers and shows it. */
  #flush(): void {
    const applied: PendingWrite[] = [];
    const commits: Commit[] = [];
    for (const write of this.#takeGroup()) {
      try {
        const commit = write.apply();
        if (commit !== undefined) commits.push(commit);
        applied.push(write);
      } catch (refused) {
        write.reject(refused);
      }
    }
    try {
      if (commits.length > 0) {
        this.#database.write(changedKeys(commits, this.#keySpace), this.#keySpace.revision);
      }
    } catch (thrown) {
      this.#writeFailed(thrown, commits, applied);
      return;
    }
    for (const { revision, events } of commits) this.#hub.publish(revision, events);
    for (const write of applied) write.resolve();
  }

  #takeGroup(): PendingWrite[] {
    let count = 0;
    let operationCount = 0;
    for (const write of this.#pending) {
      if (count > 0 && operationCount + write.operationCount > MAX_OPERATIONS_PER_COMMIT) break;
      operationCount += write.operationCount;
      count += 1;
    }
    return this.#pending.splice(0, count);
  }

  #writeFailed(thrown: unknown, commits: readonly Commit[], writes: readonly PendingWrite[]): void {
    for (const commit of commits.toReversed()) this.#keySpace.revert(commit);
    const { path } = this.#database;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const full = isDatabaseFull(thrown);
    const error = full
      ? new OttlaError(
          "KAFKA_STORAGE_ERROR",
          `the disk is full, or the metadata at its size limit: ${path} cannot grow, nothing was changed; free space`,
          { cause: thrown, metadata: { reason: "disk full" } },
        )
      : new OttlaError(
          "METADATA_UNAVAILABLE",
          `metadata database ${path} failed: ${reason}; fix the disk and restart`,
          { cause: thrown, metadata: { path } },
        );
    for (const write of writes) write.reject(error);
    // After a failed write or sync nobody knows what is on the disk: like a log, the store does not go on.
    if (!full) this.#stop(error);
  }

  #stop(reason: OttlaError): void {
    this.#stopped = reason;
    for (const write of this.#pending.splice(0)) write.reject(reason);
    for (const [id, lost] of this.#leases) lost.abort(leaseLost(id, reason.message));
    this.#leases.clear();
    this.#hub.loseAll(reason);
  }

  #checkRunning(): void {
    if (this.#stopped !== undefined) throw this.#stopped;
  }
}

/** Each key that the commits touched, with what stands there after the last of them. */
function changedKeys(commits: readonly Commit[], keySpace: KeySpace): Map<string, KeyValue | undefined> {
  const changed = new Map<string, KeyValue | undefined>();
  for (const commit of commits) for (const key of commit.before.keys()) changed.set(key, keySpace.get(key));
  return changed;
}

function leaseLost(id: string, reason: string): OttlaError {
  return new OttlaError("METADATA_UNAVAILABLE", `the lease ${id} is lost: ${reason}`);
}
