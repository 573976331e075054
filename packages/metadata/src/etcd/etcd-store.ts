import type { Clock, Logger, MetricsRegistry, Random } from "@ottla/runtime";
import type {
  KeyValue,
  Lease,
  LeaseOptions,
  MetadataStore,
  RangeOptions,
  RangeResult,
  ReadOptions,
  Revision,
  Transaction,
  TransactionResult,
  Watch,
  WatchHandler,
} from "../metadata-store.ts";
import {
  checkKey,
  checkPrefix,
  checkTransaction,
  leaseNotFound,
  storeClosed,
} from "../transaction-limits.ts";
import { parseEtcdEndpoints } from "./etcd-address.ts";
import { EtcdCluster } from "./etcd-cluster.ts";
import { type EtcdCredentials, EtcdEndpoint } from "./etcd-endpoint.ts";
import { etcdError, failureOf, isRefusal } from "./etcd-errors.ts";
import { type EtcdLease, grantEtcdLease } from "./etcd-lease.ts";
import {
  keyValueOf,
  prefixRange,
  revisionOf,
  transactionRequest,
  transactionResult,
} from "./etcd-messages.ts";
import { EtcdMetrics } from "./etcd-metrics.ts";
import { channelSecurity, type EtcdTls } from "./etcd-tls.ts";
import { EtcdWatch } from "./etcd-watch.ts";

const DEFAULT_TIMEOUT_MS = 5000;

/** Keys asked for at once: with etcd's limit of 1.5 MiB for each, a page stays below `MAX_RECEIVED_BYTES`. */
const PAGE_KEYS = 250;

/** How often a list of several pages begins anew when etcd compacts the revision it reads at. */
const MAX_RANGE_STARTS = 3;

export interface EtcdStoreOptions {
  /** "host:port", "http://host:port" or "https://host:port" of one or more members. */
  readonly endpoints: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly credentials?: EtcdCredentials;
  readonly tls?: EtcdTls;
  /** How long a call may take that does not say otherwise. Default 5,000 ms. */
  readonly timeoutMs?: number;
  readonly metrics?: MetricsRegistry;
}

/**
 * The metadata store on etcd 3.4 and newer. It connects when it is first used, and goes on
 * by itself when etcd comes back. Throws INVALID_CONFIG for endpoints that cannot be meant.
 */
export class EtcdStore implements MetadataStore {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #cluster: EtcdCluster;
  readonly #metrics: EtcdMetrics;
  readonly #watches = new Set<EtcdWatch>();
  readonly #leases = new Set<EtcdLease>();
  #isClosed = false;

  constructor(options: EtcdStoreOptions) {
    const { clock, random, logger } = options;
    const { addresses, secure } = parseEtcdEndpoints(options.endpoints, options.tls !== undefined);
    this.#clock = clock;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#metrics = new EtcdMetrics(options.metrics, () => this.#keepAliveAgeMs());
    const shared = { credentials: options.credentials, clock, logger, metrics: this.#metrics };
    this.#cluster = new EtcdCluster({
      endpoints: addresses.map((address) => {
        const security = channelSecurity(address, secure, options.tls);
        return new EtcdEndpoint({ ...shared, ...security, address });
      }),
      clock,
      first: random.integer(addresses.length),
    });
  }

  async get(key: string, options: ReadOptions = {}): Promise<KeyValue | undefined> {
    checkKey(key);
    this.#checkOpen();
    const request = { key: Buffer.from(key) };
    const { kvs } = await this.#cluster.repeat(this.#timeout(options), (endpoint, timeoutMs) =>
      endpoint.call("KV.range", request, timeoutMs),
    );
    const entry = kvs[0];
    return entry === undefined ? undefined : keyValueOf(entry);
  }

  async range(prefix: string, options: RangeOptions = {}): Promise<RangeResult> {
    checkPrefix(prefix);
    if (options.after !== undefined) checkPrefix(options.after);
    this.#checkOpen();
    const untilMs = this.#clock.monotonic() + this.#timeout(options);
    for (let start = 1; ; start += 1) {
      try {
        return await this.#rangeAtOneRevision(prefix, options, untilMs);
      } catch (thrown) {
        if (failureOf(thrown) !== "compacted" || start >= MAX_RANGE_STARTS) throw thrown;
      }
    }
  }

  /** Sends the transaction at most once. Its errors say whether it may have been applied. */
  async transact(transaction: Transaction, options: ReadOptions = {}): Promise<TransactionResult> {
    checkTransaction(transaction);
    this.#checkOpen();
    const request = transactionRequest(transaction);
    let isSent = false;
    try {
      const response = await this.#cluster.once(this.#timeout(options), (endpoint, timeoutMs) => {
        isSent = true;
        return endpoint.call("KV.txn", request, timeoutMs);
      });
      return transactionResult(transaction, response);
    } catch (thrown) {
      if (failureOf(thrown) === "lease") throw leaseNotFound(leaseIds(transaction));
      if (!isSent || isRefusal(thrown)) throw thrown;
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      throw etcdError("timeout", `${reason}; the transaction may or may not have been applied`, thrown);
    }
  }

  watch(prefix: string, fromRevision: Revision, handler: WatchHandler): Watch {
    checkPrefix(prefix);
    this.#checkOpen();
    const watch = new EtcdWatch({
      cluster: this.#cluster,
      clock: this.#clock,
      prefix,
      fromRevision,
      handler,
      timeoutMs: this.#timeoutMs,
      onOver: (lost) => {
        this.#watches.delete(watch);
        if (lost !== undefined) this.#metrics.watchLost(lost);
      },
    });
    this.#watches.add(watch);
    return watch;
  }

  async lease(options: LeaseOptions): Promise<Lease> {
    this.#checkOpen();
    const shared = { cluster: this.#cluster, clock: this.#clock, timeoutMs: this.#timeoutMs };
    const lease = await grantEtcdLease({ ...shared, ttlMs: options.ttlMs });
    const { keeper } = lease;
    if (this.#isClosed) {
      keeper.lose("the store was closed");
      throw storeClosed("metadata store");
    }
    this.#leases.add(lease);
    keeper.lost.addEventListener("abort", () => this.#leases.delete(lease), { once: true });
    return keeper;
  }

  async describe(): Promise<string> {
    this.#checkOpen();
    return this.#cluster.repeat(this.#timeoutMs, async (endpoint, timeoutMs) => {
      const version = await endpoint.status(timeoutMs);
      return `etcd ${version} at ${endpoint.address}`;
    });
  }

  /**
   * As a process that ends: watches and keep-alives stop, leases that were not revoked run out by themselves.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { keeper } of this.#leases) keeper.lose("the store was closed");
    for (const watch of this.#watches) watch.close();
    this.#cluster.close();
  }

  /** All pages of one list are read at the revision of the first one. */
  async #rangeAtOneRevision(prefix: string, options: RangeOptions, untilMs: number): Promise<RangeResult> {
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    const entries: KeyValue[] = [];
    let after = options.after;
    let revision: Revision | undefined;
    for (;;) {
      const pageKeys = Math.min(PAGE_KEYS, limit - entries.length);
      const request = {
        ...prefixRange(prefix, after),
        limit: Math.max(1, pageKeys),
        revision: revision ?? 0,
      };
      const leftMs = Math.max(1, untilMs - this.#clock.monotonic());
      const page = await this.#cluster.repeat(leftMs, (endpoint, timeoutMs) =>
        endpoint.call("KV.range", request, timeoutMs),
      );
      revision ??= revisionOf(page.header.revision);
      if (limit > 0) for (const entry of page.kvs) entries.push(keyValueOf(entry));
      after = entries.at(-1)?.key ?? after;
      const isFull = entries.length >= limit;
      const more = page.more || (limit <= 0 && page.kvs.length > 0);
      if (isFull || !page.more) return { entries, revision, more };
    }
  }

  #timeout(options: ReadOptions): number {
    return options.timeoutMs ?? this.#timeoutMs;
  }

  #keepAliveAgeMs(): number {
    const nowMs = this.#clock.monotonic();
    let ageMs = 0;
    for (const lease of this.#leases) ageMs = Math.max(ageMs, nowMs - lease.keptAliveAtMs());
    return ageMs;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw storeClosed("metadata store");
  }
}

/** etcd does not say which of the leases it misses. */
function leaseIds(transaction: Transaction): string {
  const ids = new Set<string>();
  for (const operation of [...transaction.success, ...(transaction.failure ?? [])]) {
    if (operation.kind === "put" && operation.leaseId !== undefined) ids.add(operation.leaseId);
  }
  return [...ids].join(" or ");
}
