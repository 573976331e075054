import type { Clock } from "@ottla/runtime";

export interface CompactionPaceOptions {
  readonly clock: Clock;
  /** Read and written bytes together; Infinity for no limit. */
  readonly maxBytesPerSecond: number;
}

/** So long compaction works before all else gets its turn. */
const SLICE_MS = 2;
/** A clock that stands still, as in a simulation, must not make a slice endless. */
const SLICE_BYTES = 4 * 1024 * 1024;
/** When all else took so long in one turn, it has much to do: compaction leaves it twice its slice. */
const BUSY_MS = 1;
const BUSY_WAIT_MS = 2 * SLICE_MS;
/** Shorter waits are saved up. */
const MIN_WAIT_MS = 20;

/** Keeps compaction out of the way of all else: short slices of work, and a limit on bytes. */
export class CompactionPace {
  readonly #clock: Clock;
  #maxBytesPerSecond: number;
  #sliceStartMs = 0;
  #sliceBytes = 0;
  /** When all bytes used so far will have been allowed. */
  #paidUntilMs = 0;

  constructor(options: CompactionPaceOptions) {
    this.#clock = options.clock;
    this.#maxBytesPerSecond = options.maxBytesPerSecond;
  }

  /** Notes bytes that were read or written. */
  use(sizeBytes: number): void {
    this.#sliceBytes += sizeBytes;
    const nowMs = this.#clock.monotonic();
    const costMs = (sizeBytes / this.#maxBytesPerSecond) * 1000;
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs) + costMs;
  }

  /** Whether the slice is over: then `rest`. */
  get isDue(): boolean {
    return this.#sliceBytes >= SLICE_BYTES || this.#clock.monotonic() - this.#sliceStartMs >= SLICE_MS;
  }

  /** Lets all else have its turn, and waits where bytes were used faster than allowed. */
  async rest(signal: AbortSignal): Promise<void> {
    const restedMs = this.#clock.monotonic();
    await new Promise<void>((resolve) => this.#clock.nextTurn(resolve));
    signal.throwIfAborted();
    const othersMs = this.#clock.monotonic() - restedMs;
    const owedMs = this.#paidUntilMs - restedMs;
    const waitMs = Math.max(owedMs >= MIN_WAIT_MS ? owedMs : 0, othersMs >= BUSY_MS ? BUSY_WAIT_MS : 0);
    if (waitMs > 0) await this.#clock.sleep(waitMs, signal);
    this.#sliceStartMs = this.#clock.monotonic();
    this.#sliceBytes = 0;
  }
}
