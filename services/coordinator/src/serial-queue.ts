import { OttlaError, toOttlaError } from "@ottla/errors";

/** Runs pieces of work one after another, in the order they came; bounded. */
export class SerialQueue {
  readonly #maxWaiting: number;
  #waiting = 0;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly maxWaiting: number }) {
    this.#maxWaiting = options.maxWaiting;
  }

  /**
   * Rejects with THROTTLING_QUOTA_EXCEEDED when too many wait, and without running when the signal aborts
   * before.
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#waiting >= this.#maxWaiting) {
      throw new OttlaError(
        "THROTTLING_QUOTA_EXCEEDED",
        `${this.#waiting} requests wait for the coordinator, the limit is ${this.#maxWaiting}: try later`,
        { metadata: { limit: String(this.#maxWaiting) } },
      );
    }
    this.#waiting += 1;
    const turn = this.#tail.then(async () => {
      this.#waiting -= 1;
      if (signal?.aborted === true) throw toOttlaError(signal.reason);
      return await work();
    });
    this.#tail = turn.catch(() => undefined);
    return await turn;
  }
}
