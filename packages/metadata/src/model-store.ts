import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { LeaseKeeper } from "./lease-keeper.ts";
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
} from "./metadata-store.ts";
import { ModelServer } from "./model-server.ts";
import { checkKey, checkPrefix, checkTransaction, storeClosed } from "./transaction-limits.ts";
import type { HubWatch } from "./watch-hub.ts";

/** How long a call waits for an answer unless it says otherwise. */
const DEFAULT_TIMEOUT_MS = 5000;

/** What a simulation can do to one client of the store. All off at first. */
export interface ModelFaults {
  /**
   * The client cannot reach the store: calls fail when their time is up, keep-alives do not arrive, watches
   * fall silent.
   */
  unavailable: boolean;
  /** How long a call takes. */
  latencyMs: number;
  /** How long an event takes to reach a watch. */
  watchDelayMs: number;
  /**
   * What happens to the next transaction, once: its request is lost before it is applied, or its answer
   * after. Both look alike to the caller: METADATA_UNAVAILABLE.
   */
  nextTransaction: "ok" | "request-lost" | "answer-lost";
}

export interface ModelStoreOptions {
  /** The clock of the process that uses this client. */
  readonly clock: Clock;
  /** Shared by all clients of one simulated cluster; a new one unless given. */
  readonly server?: ModelServer;
}

/** A client of the in-memory model of etcd. */
export class ModelStore implements MetadataStore {
  readonly server: ModelServer;
  readonly faults: ModelFaults = {
    unavailable: false,
    latencyMs: 0,
    watchDelayMs: 0,
    nextTransaction: "ok",
  };
  readonly #clock: Clock;
  readonly #watches = new Set<HubWatch>();
  readonly #leases = new Set<LeaseKeeper>();
  #closed = false;

  constructor(options: ModelStoreOptions) {
    this.#clock = options.clock;
    this.server = options.server ?? new ModelServer({ clock: options.clock });
  }

  async get(key: string, options: ReadOptions = {}): Promise<KeyValue | undefined> {
    checkKey(key);
    await this.#reach(options);
    return this.server.keys.get(key);
  }

  async range(prefix: string, options: RangeOptions = {}): Promise<RangeResult> {
    checkPrefix(prefix);
    await this.#reach(options);
    return this.server.keys.range(prefix, options);
  }

  async transact(transaction: Transaction, options: ReadOptions = {}): Promise<TransactionResult> {
    checkTransaction(transaction);
    await this.#reach(options);
    const fault = this.faults.nextTransaction;
    this.faults.nextTransaction = "ok";
    if (fault === "request-lost") throw unavailable("the request was lost");
    const result = this.server.transact(transaction);
    if (fault === "answer-lost") throw unavailable("the answer was lost");
    return result;
  }

  watch(prefix: string, fromRevision: Revision, handler: WatchHandler): Watch {
    checkPrefix(prefix);
    if (this.#closed) throw storeClosed("metadata store");
    const watch = this.server.hub.watch(
      prefix,
      fromRevision,
      {
        onEvents: (events, revision) => handler.onEvents(events, revision),
        onLost: (reason) => {
          this.#watches.delete(watch);
          handler.onLost(reason);
        },
      },
      (deliver) => this.#deliverLater(deliver),
    );
    this.#watches.add(watch);
    return {
      close: () => {
        this.#watches.delete(watch);
        watch.close();
      },
    };
  }

  async lease(options: LeaseOptions): Promise<Lease> {
    const sentAtMs = this.#clock.monotonic();
    await this.#reach({});
    const id = this.server.grantLease(options.ttlMs);
    const lease = new LeaseKeeper({
      id,
      ttlMs: options.ttlMs,
      clock: this.#clock,
      grantSentAtMs: sentAtMs,
      sendKeepAlive: async () => {
        await this.#reach({ timeoutMs: options.ttlMs });
        return this.server.keepAlive(id);
      },
      revoke: async () => {
        await this.#reach({});
        this.server.endLease(id);
      },
      lostError: (reason) => new OttlaError("METADATA_UNAVAILABLE", `the lease ${id} is lost: ${reason}`),
    });
    this.#leases.add(lease);
    lease.lost.addEventListener("abort", () => this.#leases.delete(lease), { once: true });
    return lease;
  }

  async describe(): Promise<string> {
    return "model of etcd (in memory)";
  }

  /** As a process that ends: its watches and keep-alives stop, its leases run out by themselves. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const lease of this.#leases) lease.lose("the store was closed");
    for (const watch of this.#watches) watch.close();
    this.#watches.clear();
  }

  /** Breaks all watches of this client, as a dropped connection does. */
  loseWatches(): void {
    for (const watch of this.#watches) watch.lose(unavailable("the connection of the watch broke"));
  }

  async #reach(options: ReadOptions): Promise<void> {
    if (this.#closed) throw storeClosed("metadata store");
    if (this.faults.latencyMs > 0) await this.#clock.sleep(this.faults.latencyMs);
    if (this.faults.unavailable) {
      await this.#clock.sleep(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
      throw unavailable("the store did not answer in time");
    }
    if (this.#closed) throw storeClosed("metadata store");
  }

  /**
   * Delays a delivery while the client is cut off or its watches lag; order is kept because each watch has
   * one queue.
   */
  #deliverLater(deliver: () => void): void {
    if (this.faults.unavailable) {
      this.#clock.setTimer(UNAVAILABLE_RETRY_MS, () => this.#deliverLater(deliver), { background: true });
    } else if (this.faults.watchDelayMs > 0) {
      this.#clock.setTimer(this.faults.watchDelayMs, deliver, { background: true });
    } else {
      queueMicrotask(deliver);
    }
  }
}

const UNAVAILABLE_RETRY_MS = 50;

function unavailable(reason: string): OttlaError {
  return new OttlaError("METADATA_UNAVAILABLE", `the metadata store does not answer: ${reason}`);
}
