import { OttlaError } from "@ottla/errors";
import type { Deadline, Deadlines } from "@ottla/runtime";

/** How many fetches may hang on one node, over all partitions. */
export class FetchPurgatoryLimit {
  readonly #maxWaiting: number;
  #waiting = 0;

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  get waiting(): number {
    return this.#waiting;
  }

  enter(): void {
    if (this.#waiting >= this.#maxWaiting) {
      throw new OttlaError(
        "THROTTLING_QUOTA_EXCEEDED",
        `${this.#maxWaiting} fetches already wait on this node: use fewer or ask with a shorter wait`,
        { metadata: { limit: String(this.#maxWaiting) } },
      );
    }
    this.#waiting += 1;
  }

  leave(): void {
    this.#waiting -= 1;
  }
}

/** Why a waiting fetch goes on: there is enough to read, its time is up, or the leader's term ended. */
export type FetchWake = "ready" | "expired" | OttlaError;

interface WaitingFetch {
  readonly neededVisibleBytes: number;
  readonly wake: (reason: FetchWake) => void;
  deadline: Deadline | undefined;
}

/**
 * The purgatory of one partition: fetches that hang on its high watermark until enough
 * bytes are visible. Nothing polls: each advance of the high watermark looks at those
 * that wait, and a shared deadline ends the wait.
 */
export class WaitingFetches {
  readonly #deadlines: Deadlines;
  readonly #limit: FetchPurgatoryLimit;
  readonly #waiting = new Set<WaitingFetch>();

  constructor(options: { readonly deadlines: Deadlines; readonly limit: FetchPurgatoryLimit }) {
    this.#deadlines = options.deadlines;
    this.#limit = options.limit;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Throws THROTTLING_QUOTA_EXCEEDED when the node's purgatory is full. The result takes the fetch out again.
   */
  add(neededVisibleBytes: number, maxWaitMs: number, wake: (reason: FetchWake) => void): () => void {
    this.#limit.enter();
    const fetch: WaitingFetch = { neededVisibleBytes, wake, deadline: undefined };
    fetch.deadline = this.#deadlines.set(maxWaitMs, () => this.#release(fetch, "expired"));
    this.#waiting.add(fetch);
    return () => this.#remove(fetch);
  }

  /** The high watermark advanced; `visibleBytes` counts all bytes below it since the term began. */
  advanced(visibleBytes: number): void {
    for (const fetch of this.#waiting) {
      if (visibleBytes >= fetch.neededVisibleBytes) this.#release(fetch, "ready");
    }
  }

  failAll(error: OttlaError): void {
    for (const fetch of this.#waiting) this.#release(fetch, error);
  }

  #release(fetch: WaitingFetch, reason: FetchWake): void {
    if (this.#remove(fetch)) fetch.wake(reason);
  }

  #remove(fetch: WaitingFetch): boolean {
    if (!this.#waiting.delete(fetch)) return false;
    fetch.deadline?.cancel();
    this.#limit.leave();
    return true;
  }
}
