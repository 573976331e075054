import { compareKeys, lowerBound } from "./key-order.ts";
import type {
  Comparison,
  KeyValue,
  Operation,
  RangeOptions,
  RangeResult,
  Revision,
  Transaction,
  TransactionResult,
  WatchEvent,
} from "./metadata-store.ts";
import { checkPrefix, checkTransaction, leaseNotFound } from "./transaction-limits.ts";

/**
 * What one revision changed, and what stood there before (to take it back when it cannot be made durable).
 */
export interface Commit {
  readonly revision: Revision;
  readonly events: readonly WatchEvent[];
  readonly before: ReadonlyMap<string, KeyValue | undefined>;
}

export interface Applied {
  readonly result: TransactionResult;
  /** Undefined when nothing changed: the revision stays. */
  readonly commit: Commit | undefined;
}

/**
 * The keys of a store at its latest revision, with etcd's meaning of revisions and transactions. No I/O and
 * no time: the embedded store and the model of etcd are this plus durability, or plus leases on a clock.
 */
export class KeySpace {
  #revision: Revision;
  readonly #entries = new Map<string, KeyValue>();
  /** All keys in byte order. */
  #keys: string[] = [];
  /** The keys of each lease that exists. */
  readonly #leases = new Map<string, Set<string>>();

  constructor(revision: Revision, entries: Iterable<KeyValue> = []) {
    this.#revision = revision;
    for (const entry of entries) {
      if (entry.leaseId !== undefined && !this.#leases.has(entry.leaseId)) this.grantLease(entry.leaseId);
      this.#set(entry);
    }
  }

  get revision(): Revision {
    return this.#revision;
  }

  get(key: string): KeyValue | undefined {
    return this.#entries.get(key);
  }

  range(prefix: string, options: RangeOptions = {}): RangeResult {
    checkPrefix(prefix);
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    const entries: KeyValue[] = [];
    let index = lowerBound(this.#keys, prefix);
    if (options.after !== undefined && compareKeys(options.after, prefix) >= 0) {
      index = lowerBound(this.#keys, options.after);
      if (this.#keys[index] === options.after) index += 1;
    }
    for (; index < this.#keys.length; index += 1) {
      const key = this.#keys[index];
      const entry = key === undefined ? undefined : this.#entries.get(key);
      if (key === undefined || entry === undefined || !key.startsWith(prefix)) break;
      if (entries.length >= limit) return { entries, revision: this.#revision, more: true };
      entries.push(entry);
    }
    return { entries, revision: this.#revision, more: false };
  }

  grantLease(leaseId: string): void {
    this.#leases.set(leaseId, new Set());
  }

  hasLease(leaseId: string): boolean {
    return this.#leases.has(leaseId);
  }

  /** Ends a lease and deletes its keys in one revision; undefined when it had none. */
  endLease(leaseId: string): Commit | undefined {
    const keys = this.#leases.get(leaseId);
    this.#leases.delete(leaseId);
    if (keys === undefined || keys.size === 0) return undefined;
    const change = new Change(this.#revision + 1);
    for (const key of [...keys].sort(compareKeys)) this.#delete(key, change);
    return this.#finish(change);
  }

  apply(transaction: Transaction): Applied {
    checkTransaction(transaction);
    const succeeded = transaction.compare.every((comparison) => this.#holds(comparison));
    const operations = succeeded ? transaction.success : (transaction.failure ?? []);
    for (const operation of operations) {
      if (operation.kind !== "put" || operation.leaseId === undefined) continue;
      if (!this.#leases.has(operation.leaseId)) throw leaseNotFound(operation.leaseId);
    }
    const change = new Change(this.#revision + 1);
    const reads: (KeyValue | undefined)[] = [];
    for (const operation of operations) {
      if (operation.kind === "get") reads.push(this.#entries.get(operation.key));
      else this.#run(operation, change);
    }
    const commit = this.#finish(change);
    return { result: { succeeded, revision: this.#revision, reads }, commit };
  }

  /** Takes back the latest commit, a lease that it ended included. */
  revert(commit: Commit): void {
    for (const [key, entry] of commit.before) {
      if (entry === undefined) {
        this.#remove(key);
        continue;
      }
      if (entry.leaseId !== undefined && !this.#leases.has(entry.leaseId)) this.grantLease(entry.leaseId);
      this.#set(entry);
    }
    this.#revision = commit.revision - 1;
  }

  #holds(comparison: Comparison): boolean {
    const entry = this.#entries.get(comparison.key);
    if ("createRevision" in comparison) return (entry?.createRevision ?? 0) === comparison.createRevision;
    return (entry?.modRevision ?? 0) === comparison.modRevision;
  }

  #run(operation: Exclude<Operation, { kind: "get" }>, change: Change): void {
    switch (operation.kind) {
      case "put":
        this.#put(operation.key, operation.value, operation.leaseId, change);
        return;
      case "delete":
        this.#delete(operation.key, change);
        return;
      case "delete-prefix":
        for (const entry of this.range(operation.prefix).entries) this.#delete(entry.key, change);
        return;
    }
  }

  #put(key: string, value: Uint8Array, leaseId: string | undefined, change: Change): void {
    const before = this.#entries.get(key);
    const entry: KeyValue = {
      key,
      // The caller may go on using its buffer.
      value: value.slice(),
      createRevision: before?.createRevision ?? change.revision,
      modRevision: change.revision,
      version: (before?.version ?? 0) + 1,
      leaseId,
    };
    change.add(before, { kind: "put", entry }, key);
    this.#set(entry);
  }

  #delete(key: string, change: Change): void {
    const before = this.#entries.get(key);
    if (before === undefined) return;
    change.add(before, { kind: "delete", key, revision: change.revision }, key);
    this.#remove(key);
  }

  #finish(change: Change): Commit | undefined {
    if (change.events.length === 0) return undefined;
    this.#revision = change.revision;
    return change;
  }

  #set(entry: KeyValue): void {
    const before = this.#entries.get(entry.key);
    if (before === undefined) this.#insertKey(entry.key);
    else this.#leaseKeys(before)?.delete(entry.key);
    this.#leaseKeys(entry)?.add(entry.key);
    this.#entries.set(entry.key, entry);
  }

  #insertKey(key: string): void {
    const last = this.#keys.at(-1);
    // Keys often come in order (a topic's partitions, a load): then there is nothing to move.
    if (last === undefined || compareKeys(last, key) < 0) this.#keys.push(key);
    else this.#keys.splice(lowerBound(this.#keys, key), 0, key);
  }

  #remove(key: string): void {
    const before = this.#entries.get(key);
    if (before === undefined) return;
    this.#leaseKeys(before)?.delete(key);
    this.#entries.delete(key);
    this.#keys.splice(lowerBound(this.#keys, key), 1);
  }

  #leaseKeys(entry: KeyValue): Set<string> | undefined {
    return entry.leaseId === undefined ? undefined : this.#leases.get(entry.leaseId);
  }
}

/** Gathers what one transaction does. */
class Change implements Commit {
  readonly revision: Revision;
  readonly events: WatchEvent[] = [];
  readonly before = new Map<string, KeyValue | undefined>();

  constructor(revision: Revision) {
    this.revision = revision;
  }

  add(before: KeyValue | undefined, event: WatchEvent, key: string): void {
    if (!this.before.has(key)) this.before.set(key, before);
    this.events.push(event);
  }
}
