import type { OttlaError } from "@ottla/errors";
import type { FetchEntry } from "@ottla/proto/ottla/internal/v1/storage";
import type { Clock } from "@ottla/runtime";
import type { ReadableReplica, VisibleOffsets } from "./readable-replica.ts";

export interface FetchResult {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  readonly nextOffset: number;
  readonly offsets: VisibleOffsets;
}

export interface PendingFetchOptions {
  readonly entry: FetchEntry;
  readonly replica: ReadableReplica;
  readonly clock: Clock;
  /** Puts the fetch in line for a read. */
  readonly onReadable: (fetch: PendingFetch) => void;
  readonly onFailed: (error: OttlaError) => void;
}

/**
 * One fetch on its way: reads, or hangs on the high watermark until there is enough to
 * read or its time is up.
 */
export class PendingFetch {
  readonly #options: PendingFetchOptions;
  readonly #offset: number;
  readonly #deadlineMs: number;
  #stopWaiting: (() => void) | undefined;
  #cancelled = false;

  constructor(options: PendingFetchOptions) {
    this.#options = options;
    this.#offset = Number(options.entry.offset);
    this.#deadlineMs = options.clock.monotonic() + options.entry.maxWaitMs;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Throws when the offset or the epoch is refused, or when too many fetches wait already. */
  start(): void {
    const { replica, entry } = this.#options;
    replica.checkFetch(this.#offset, entry.leaderEpoch);
    if (replica.highWatermark > this.#offset || entry.maxWaitMs <= 0) this.#options.onReadable(this);
    else this.#wait(replica.visibleBytes + Math.max(1, entry.minBytes));
  }

  cancel(): void {
    this.#cancelled = true;
    this.#stopWaiting?.();
  }

  /** Reads; undefined when it goes on waiting because `min_bytes` are not there yet. */
  async read(): Promise<FetchResult | undefined> {
    const { replica, entry, clock } = this.#options;
    replica.checkFetch(this.#offset, entry.leaderEpoch);
    const visibleBefore = replica.visibleBytes;
    const result = await replica.read(this.#offset, entry.maxBytes);
    const missingBytes = Math.min(Math.max(1, entry.minBytes), entry.maxBytes) - result.sizeBytes;
    if (missingBytes > 0 && clock.monotonic() < this.#deadlineMs && !this.#cancelled) {
      if (replica.visibleBytes >= visibleBefore + missingBytes) this.#options.onReadable(this);
      else this.#wait(visibleBefore + missingBytes);
      return undefined;
    }
    return {
      chunks: result.chunks,
      sizeBytes: result.sizeBytes,
      nextOffset: result.nextOffset,
      offsets: replica.offsets(),
    };
  }

  #wait(neededVisibleBytes: number): void {
    const { replica, clock, onReadable, onFailed } = this.#options;
    const maxWaitMs = this.#deadlineMs - clock.monotonic();
    this.#stopWaiting = replica.waitForVisibleBytes(neededVisibleBytes, maxWaitMs, (reason) => {
      this.#stopWaiting = undefined;
      if (reason === "ready" || reason === "expired") onReadable(this);
      else onFailed(reason);
    });
  }
}
