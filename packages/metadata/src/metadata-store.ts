/**
 * The small ordered key-value interface under all cluster metadata, with etcd's meaning of revisions,
 * transactions, watches and leases. Three implementations pass one contract suite: etcd, the embedded one
 * (SQLite) and an in-memory model of etcd for simulation.
 *
 * Every method rejects with `OttlaError` METADATA_UNAVAILABLE when the store does not answer in time. A
 * transaction that failed this way may or may not have been applied: read back, never repeat it blindly.
 * KAFKA_STORAGE_ERROR means that the store has no room for it and nothing was applied.
 */
export interface MetadataStore {
  get(key: string, options?: ReadOptions): Promise<KeyValue | undefined>;
  /** All keys that begin with `prefix`, in byte order, as they stood at one revision. */
  range(prefix: string, options?: RangeOptions): Promise<RangeResult>;
  /**
   * Applies `success` when every comparison holds, else `failure`, atomically and in order. Each of the three
   * lists has at most 128 entries, and one branch changes a key at most once; anything else is refused with
   * INVALID_REQUEST.
   */
  transact(transaction: Transaction, options?: ReadOptions): Promise<TransactionResult>;
  /**
   * Follows all changes under `prefix` with revision ≥ `fromRevision`, in order, one call of the handler for
   * each revision. `onLost` is called at most once, when events may have been missed (compaction,
   * disconnection, overflow): the watch is then over and the caller lists again.
   */
  watch(prefix: string, fromRevision: Revision, handler: WatchHandler): Watch;
  /** Grants a lease and keeps it alive until `revoke` or until it is lost. */
  lease(options: LeaseOptions): Promise<Lease>;
  /** The name of the implementation and its version, for logs and metrics. */
  describe(): Promise<string>;
  close(): Promise<void>;
}

/**
 * A point in the store's history; grows with every change. A number: etcd's int64 stays below 2^53 in
 * practice.
 */
export type Revision = number;

export interface KeyValue {
  readonly key: string;
  /** Shared with the store: never to be changed. */
  readonly value: Uint8Array;
  /** The revision at which the key was created (since it was last absent). */
  readonly createRevision: Revision;
  /** The revision of the last change of the key. */
  readonly modRevision: Revision;
  /** How many times it was written since it was created, from 1. */
  readonly version: number;
  /** The lease that owns the key, if any. */
  readonly leaseId: string | undefined;
}

export interface ReadOptions {
  /** Default 5,000 ms. */
  readonly timeoutMs?: number;
}

export interface RangeOptions extends ReadOptions {
  /** At most this many keys; `RangeResult.more` says whether there are others. */
  readonly limit?: number;
  /** Start after this key (for paging). */
  readonly after?: string;
}

export interface RangeResult {
  readonly entries: readonly KeyValue[];
  /** The store's revision at the time of the read: watch from the next one. */
  readonly revision: Revision;
  readonly more: boolean;
}

/** `createRevision` 0 means: the key does not exist. */
export type Comparison =
  | { readonly key: string; readonly createRevision: Revision }
  | { readonly key: string; readonly modRevision: Revision };

export type Operation =
  | { readonly kind: "put"; readonly key: string; readonly value: Uint8Array; readonly leaseId?: string }
  | { readonly kind: "delete"; readonly key: string }
  | { readonly kind: "delete-prefix"; readonly prefix: string }
  | { readonly kind: "get"; readonly key: string };

export interface Transaction {
  readonly compare: readonly Comparison[];
  readonly success: readonly Operation[];
  readonly failure?: readonly Operation[];
}

export interface TransactionResult {
  readonly succeeded: boolean;
  /** The store's revision after the transaction. */
  readonly revision: Revision;
  /** One for each `get` operation of the branch that ran, in order. */
  readonly reads: readonly (KeyValue | undefined)[];
}

export type WatchEvent =
  | { readonly kind: "put"; readonly entry: KeyValue }
  | { readonly kind: "delete"; readonly key: string; readonly revision: Revision };

export interface WatchHandler {
  onEvents(events: readonly WatchEvent[], revision: Revision): void;
  onLost(reason: Error): void;
}

export interface Watch {
  close(): void;
}

export interface LeaseOptions {
  readonly ttlMs: number;
}

export interface Lease {
  readonly id: string;
  /**
   * Aborts when the lease must be taken as lost: at its own deadline (time of the last sent keep-alive + TTL
   * − margin on the monotonic clock), never later than the store may give it to another.
   */
  readonly lost: AbortSignal;
  /** Ends the lease at once; its keys go. */
  revoke(): Promise<void>;
}
