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

/**
 * How what a client says reaches the server and comes back: later, in another order than
 * it was sent, or never. The default is a perfect link with the faults of `ModelFaults`.
 */
export interface ModelLink {
  toServer(arrive: () => void): void;
  /** Within the client's process, if it still lives. */
  toClient(arrive: () => void): void;
  /** Events of watches: each watch has one delivery under way at a time, so that their order is kept. */
  toWatch(arrive: () => void): void;
}

export interface ModelStoreOptions {
  /** The clock of the process that uses this client. */
  readonly clock: Clock;
  /** Shared by all clients of one simulated cluster; a new one unless given. */
  readonly server?: ModelServer;
  readonly link?: ModelLink;
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
  readonly #link: ModelLink | undefined;
  readonly #watches = new Set<HubWatch>();
  readonly #leases = new Set<LeaseKeeper>();
  #closed = false;

  constructor(options: ModelStoreOptions) {
    this.#clock = options.clock;
    this.#link = options.link;
    this.server = options.server ?? new ModelServer({ clock: options.clock });
  }

  async get(key: string, options: ReadOptions = {}): Promise<KeyValue | undefined> {
    checkKey(key);
    return this.#ask(options, () => this.server.keys.get(key));
  }

  async range(prefix: string, options: RangeOptions = {}): Promise<RangeResult> {
    checkPrefix(prefix);
    return this.#ask(options, () => this.server.keys.range(prefix, options));
  }

  async transact(transaction: Transaction, options: ReadOptions = {}): Promise<TransactionResult> {
    checkTransaction(transaction);
    return this.#ask(options, () => {
      const fault = this.faults.nextTransaction;
      this.faults.nextTransaction = "ok";
      if (fault === "request-lost") throw unavailable("the request was lost");
      const result = this.server.transact(transaction);
      if (fault === "answer-lost") throw unavailable("the answer was lost");
      return result;
    });
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
    const id = await this.#ask({}, () => this.server.grantLease(options.ttlMs));
    const lease = new LeaseKeeper({
      id,
      ttlMs: options.ttlMs,
      clock: this.#clock,
      grantSentAtMs: sentAtMs,
      sendKeepAlive: () => this.#ask({ timeoutMs: options.ttlMs }, () => this.server.keepAlive(id)),
      revoke: () => this.#ask({}, () => this.server.endLease(id)),
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

  /**
   * As a process that dies without a word: nothing reaches it any more, not even that its leases are lost.
   */
  vanish(): void {
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    this.#watches.clear();
    this.#leases.clear();
  }

  /** Breaks all watches of this client, as a dropped connection does. */
  loseWatches(): void {
    for (const watch of this.#watches) watch.lose(unavailable("the connection of the watch broke"));
  }

  async #ask<T>(options: ReadOptions, perform: () => T): Promise<T> {
    if (this.#link !== undefined) return this.#askOver(this.#link, options, perform);
    await this.#reach(options);
    return perform();
  }

  /** What is not answered in time may have been done all the same, or may be done yet. */
  #askOver<T>(link: ModelLink, options: ReadOptions, perform: () => T): Promise<T> {
    if (this.#closed) throw storeClosed("metadata store");
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(options.timeoutMs ?? DEFAULT_TIMEOUT_MS, () =>
        reject(unavailable("the store did not answer in time")),
      );
      link.toServer(() => {
        let settle: () => void;
        try {
          const result = perform();
          settle = () => resolve(result);
        } catch (thrown) {
          settle = () => reject(thrown);
        }
        link.toClient(() => {
          timer.cancel();
          if (this.#closed) reject(storeClosed("metadata store"));
          else settle();
        });
      });
    });
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
    if (this.#link !== undefined) {
      this.#link.toWatch(deliver);
    } else if (this.faults.unavailable) {
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
