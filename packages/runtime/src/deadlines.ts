import type { Clock, Timer } from "./clock.ts";

/** A deadline that has been set; `cancel` is harmless after it passed. */
export interface Deadline {
  cancel(): void;
}

interface Bucket {
  readonly timer: Timer;
  readonly entries: Set<Entry>;
}

interface Entry extends Deadline {
  readonly onPassed: () => void;
}

/**
 * Many deadlines behind few timers: all that pass in the same slot of `resolutionMs` share one. Setting
 * and cancelling cost a set operation, so that every waiting append and fetch may have its own.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #resolutionMs: number;
  readonly #buckets = new Map<number, Bucket>();

  constructor(options: { readonly clock: Clock; readonly resolutionMs?: number }) {
    this.#clock = options.clock;
    this.#resolutionMs = options.resolutionMs ?? 10;
  }

  /**
   * Calls `onPassed` after `delayMs`, never earlier and up to one slot later, unless it is cancelled before.
   */
  set(delayMs: number, onPassed: () => void): Deadline {
    const slot = Math.ceil((this.#clock.monotonic() + Math.max(0, delayMs)) / this.#resolutionMs);
    const bucket = this.#buckets.get(slot) ?? this.#open(slot);
    const entry: Entry = {
      onPassed,
      cancel: () => {
        if (!bucket.entries.delete(entry) || bucket.entries.size > 0) return;
        bucket.timer.cancel();
        this.#buckets.delete(slot);
      },
    };
    bucket.entries.add(entry);
    return entry;
  }

  /** Drops all deadlines; none of them is called. */
  clear(): void {
    for (const bucket of this.#buckets.values()) {
      bucket.timer.cancel();
      bucket.entries.clear();
    }
    this.#buckets.clear();
  }

  #open(slot: number): Bucket {
    const delayMs = Math.max(0, slot * this.#resolutionMs - this.#clock.monotonic());
    const bucket: Bucket = {
      entries: new Set(),
      timer: this.#clock.setTimer(delayMs, () => {
        this.#buckets.delete(slot);
        // A callback may cancel others of the same slot: they leave the set and are not visited.
        for (const entry of bucket.entries) {
          bucket.entries.delete(entry);
          entry.onPassed();
        }
      }),
    };
    this.#buckets.set(slot, bucket);
    return bucket;
  }
}
