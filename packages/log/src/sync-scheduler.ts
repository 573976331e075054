import type { Clock, DiskFile } from "@ottla/runtime";
import type { LogMetrics } from "./log-metrics.ts";

export interface SyncSchedulerOptions {
  /**
   * How many syncs may be in flight: below the size of libuv's pool, so that a hung disk stalls nothing else.
   */
  readonly concurrency: number;
  readonly clock: Clock;
  readonly metrics?: LogMetrics | undefined;
}

/**
 * All syncs of a node go through here, first come, first served. The one interface that a
 * shared journal would replace when thousands of partitions must sync at once.
 */
export class SyncScheduler {
  readonly #concurrency: number;
  readonly #clock: Clock;
  readonly #metrics: LogMetrics | undefined;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: SyncSchedulerOptions) {
    this.#concurrency = options.concurrency;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
  }

  get runningCount(): number {
    return this.#running;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** Syncs the file; rejects with the disk's error, which must never be answered by trying again. */
  async sync(file: DiskFile): Promise<void> {
    if (this.#running >= this.#concurrency) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    } else {
      this.#running += 1;
    }
    const startedMs = this.#clock.monotonic();
    try {
      await file.sync();
    } finally {
      this.#metrics?.observeSync(this.#clock.monotonic() - startedMs);
      // The place passes to the next one waiting without being counted down in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
