import type { Clock } from "@ottla/runtime";
import type { PartitionRef } from "./ask-leaders.ts";
import type { LeaderChange } from "./leader-view.ts";

type Wake = () => void;

/**
 * Wakes those who wait for a leader as soon as the view shows a change that may concern them, so that an
 * election costs its callers milliseconds and not what is left of a pause.
 */
export class LeaderNews {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<Wake>>();
  readonly #waitingForAny = new Set<Wake>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  tell({ partitions, nodes }: LeaderChange): void {
    // A leader that registers again is as good as a new one, and few nodes come and go.
    if (nodes.some(({ role }) => role === "partition-storage")) {
      for (const waiters of this.#waiting.values()) for (const wake of waiters) wake();
    } else {
      for (const ref of partitions) for (const wake of this.#waiting.get(keyOf(ref)) ?? []) wake();
      if (partitions.length === 0) return;
    }
    for (const wake of this.#waitingForAny) wake();
  }

  /**
   * Resolves with news of the partition (of any where `ref` is undefined), with news of a storage
   * node, or after `waitMs`. Rejects with the signal's reason.
   */
  wait(ref: PartitionRef | undefined, waitMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const leave = this.#enter(ref, () => settle(resolve));
      const onAbort = (): void => settle(() => reject(signal?.reason));
      const timer = this.#clock.setTimer(waitMs, () => settle(resolve));
      const settle = (how: () => void): void => {
        leave();
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        how();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #enter(ref: PartitionRef | undefined, wake: Wake): () => void {
    if (ref === undefined) {
      this.#waitingForAny.add(wake);
      return () => this.#waitingForAny.delete(wake);
    }
    const key = keyOf(ref);
    const waiters = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiters.add(wake));
    return () => {
      waiters.delete(wake);
      if (waiters.size === 0 && this.#waiting.get(key) === waiters) this.#waiting.delete(key);
    };
  }
}

export function keyOf({ topicId, partition }: PartitionRef): string {
  return `${topicId}-${partition}`;
}
