import type { Clock, DiskFile, Timer } from "@ottla/runtime";
import type { LogConfig } from "./log-config.ts";
import type { LogMetrics } from "./log-metrics.ts";
import type { SyncScheduler } from "./sync-scheduler.ts";

export interface LogFlusherOptions {
  readonly clock: Clock;
  readonly syncScheduler: SyncScheduler;
  readonly metrics: LogMetrics | undefined;
  readonly config: LogConfig;
  readonly endOffset: number;
  /** The file being written, or undefined when nothing in it waits to be synced. */
  readonly currentFile: () => DiskFile | undefined;
  readonly onFlushed: () => void;
  readonly onFailed: (error: unknown) => void;
}

/** Longer delays than a timer can have never come. */
const MAX_TIMER_MS = 0x7fff_ffff;

/**
 * Group commit: one sync in flight, which covers what was written before it began; what
 * is written meanwhile waits for the next one. `flush.messages` and `flush.ms` say when a
 * sync is due. A failed sync is never tried again.
 */
export class LogFlusher {
  readonly #options: LogFlusherOptions;
  #config: LogConfig;
  #writtenEndOffset: number;
  #flushedEndOffset: number;
  #unflushedBatches = 0;
  #running: Promise<void> | undefined;
  #timer: Timer | undefined;
  #wanted = false;
  #stopped = false;

  constructor(options: LogFlusherOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#writtenEndOffset = options.endOffset;
    this.#flushedEndOffset = options.endOffset;
  }

  get writtenEndOffset(): number {
    return this.#writtenEndOffset;
  }

  /** Everything below was synced. */
  get flushedEndOffset(): number {
    return this.#flushedEndOffset;
  }

  /** Everything below counts as synced under the topic's flush policy. */
  get syncedEndOffset(): number {
    return this.#isStrict() ? this.#flushedEndOffset : this.#writtenEndOffset;
  }

  updateConfig(config: LogConfig): void {
    this.#config = config;
    this.#schedule();
  }

  noteWritten(endOffset: number, batchCount: number): void {
    this.#writtenEndOffset = endOffset;
    this.#unflushedBatches += batchCount;
    this.#schedule();
  }

  /** After a truncation: nothing is in flight, and all that is left is on disk. */
  reset(endOffset: number): void {
    this.#writtenEndOffset = endOffset;
    this.#flushedEndOffset = endOffset;
    this.#unflushedBatches = 0;
  }

  /** Resolves when all that is written now is on disk, or the log has failed. */
  async flush(): Promise<void> {
    const target = this.#writtenEndOffset;
    while (this.#flushedEndOffset < target && !this.#stopped) {
      this.#wanted = true;
      this.#start();
      await this.#running;
    }
  }

  /** No sync begins any more; resolves when the one in flight has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #isStrict(): boolean {
    return this.#config.flushMessages <= 1 || this.#config.flushMs <= 0;
  }

  #isDue(): boolean {
    const unflushed = this.#writtenEndOffset - this.#flushedEndOffset;
    return unflushed > 0 && (this.#wanted || this.#isStrict() || unflushed >= this.#config.flushMessages);
  }

  #schedule(): void {
    if (this.#stopped) return;
    if (this.#isDue()) {
      this.#start();
      return;
    }
    const waits = this.#writtenEndOffset > this.#flushedEndOffset;
    if (waits && this.#timer === undefined && this.#config.flushMs <= MAX_TIMER_MS) {
      this.#timer = this.#options.clock.setTimer(
        this.#config.flushMs,
        () => {
          this.#timer = undefined;
          this.#wanted = true;
          this.#start();
        },
        { background: true },
      );
    }
  }

  #start(): void {
    // Only a run that will wait for the disk may be started: it must not end before it is noted here.
    if (this.#running === undefined && !this.#stopped && this.#isDue()) this.#running = this.#run();
  }

  async #run(): Promise<void> {
    try {
      while (this.#isDue() && !this.#stopped) await this.#syncOnce();
    } catch (error) {
      this.#stopped = true;
      this.#options.onFailed(error);
    } finally {
      this.#running = undefined;
    }
  }

  async #syncOnce(): Promise<void> {
    const file = this.#options.currentFile();
    if (file === undefined) throw new Error("written bytes without an open file");
    const target = this.#writtenEndOffset;
    const batchCount = this.#unflushedBatches;
    this.#wanted = false;
    await this.#options.syncScheduler.sync(file);
    this.#flushedEndOffset = target;
    this.#unflushedBatches -= batchCount;
    this.#options.metrics?.observeSyncedBatches(batchCount);
    if (!this.#stopped) this.#options.onFlushed();
  }
}
