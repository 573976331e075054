import { toOttlaError } from "@ottla/errors";
import type { Revision } from "./metadata-store.ts";

interface Waiter {
  readonly revision: Revision;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** Those who wait until a view has come to a revision. */
export class RevisionWaiters {
  readonly #waiters = new Set<Waiter>();

  /** Rejects when the signal aborts, or with what `rejectAll` is given. */
  wait(revision: Revision, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(toOttlaError(signal.reason));
    return new Promise<void>((resolve, reject) => {
      const finish = (settle: () => void): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
        settle();
      };
      const waiter: Waiter = {
        revision,
        resolve: () => finish(resolve),
        reject: (reason) => finish(() => reject(reason)),
      };
      const onAbort = (): void => waiter.reject(toOttlaError(signal?.reason));
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  reached(revision: Revision): void {
    for (const waiter of this.#waiters) if (waiter.revision <= revision) waiter.resolve();
  }

  rejectAll(reason: Error): void {
    for (const waiter of this.#waiters) waiter.reject(reason);
  }
}
