import type { Clock, Timer } from "@ottla/runtime";
import { type Commit, KeySpace } from "./key-space.ts";
import type { Revision, Transaction, TransactionResult } from "./metadata-store.ts";
import { WatchHub } from "./watch-hub.ts";

const MAX_HISTORY_REVISIONS = 100_000;
const MAX_HISTORY_BYTES = 256 * 1024 * 1024;

interface ServerLease {
  readonly ttlMs: number;
  expiry: Timer;
}

/**
 * The model's one server: what an etcd cluster with a quorum does. Clients (`ModelStore`) reach it in memory.
 */
export class ModelServer {
  readonly #clock: Clock;
  readonly #keySpace = new KeySpace(1);
  readonly #leases = new Map<string, ServerLease>();
  #nextLease = 1;
  readonly hub = new WatchHub({
    revision: 0,
    maxRevisions: MAX_HISTORY_REVISIONS,
    maxBytes: MAX_HISTORY_BYTES,
  });

  constructor(options: { readonly clock: Clock }) {
    this.#clock = options.clock;
  }

  get revision(): Revision {
    return this.#keySpace.revision;
  }

  get keys(): Pick<KeySpace, "get" | "range"> {
    return this.#keySpace;
  }

  transact(transaction: Transaction): TransactionResult {
    const { result, commit } = this.#keySpace.apply(transaction);
    this.#publish(commit);
    return result;
  }

  /** Forgets the history up to `revision` (default: all of it). */
  compact(revision: Revision = this.revision): void {
    this.hub.compact(revision);
  }

  grantLease(ttlMs: number): string {
    const id = `lease-${this.#nextLease}`;
    this.#nextLease += 1;
    this.#keySpace.grantLease(id);
    this.#leases.set(id, { ttlMs, expiry: this.#startExpiry(id, ttlMs) });
    return id;
  }

  /** Returns false when there is no such lease (any more). */
  keepAlive(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    lease.expiry.cancel();
    lease.expiry = this.#startExpiry(id, lease.ttlMs);
    return true;
  }

  /** Ends a lease, as its holder, its expiry or a fault injection (a lease revoked too early) does. */
  endLease(id: string): void {
    this.#leases.get(id)?.expiry.cancel();
    this.#leases.delete(id);
    this.#publish(this.#keySpace.endLease(id));
  }

  /** A new leader of etcd gives all leases their whole time again: nothing expired while there was none. */
  renewLeases(): void {
    for (const id of this.#leases.keys()) this.keepAlive(id);
  }

  /** The ids of all leases that exist, for fault injection. */
  leaseIds(): string[] {
    return [...this.#leases.keys()];
  }

  #startExpiry(id: string, ttlMs: number): Timer {
    return this.#clock.setTimer(ttlMs, () => this.endLease(id), { background: true });
  }

  #publish(commit: Commit | undefined): void {
    if (commit !== undefined) this.hub.publish(commit.revision, commit.events);
  }
}
