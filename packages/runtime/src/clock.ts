/** A timer that has been set; `cancel` is harmless after it fired. */
export interface Timer {
  cancel(): void;
}

export interface TimerOptions {
  /** Do not keep the process alive for this timer (periodic upkeep). */
  readonly background?: boolean;
}

/**
 * All time in Ottla comes through this interface, so that the simulator can run the real
 * code on virtual time.
 */
export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. It may jump: use it for timestamps only. */
  now(): number;
  /** Milliseconds on a clock that never goes back, with fractions. Use it for durations and deadlines. */
  monotonic(): number;
  setTimer(delayMs: number, callback: () => void, options?: TimerOptions): Timer;
  /** Resolves after `delayMs`, or rejects with the signal's reason as soon as it aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /**
   * Runs the callback after the input and output of this turn of the event loop: the moment to coalesce at.
   */
  nextTurn(callback: () => void): void;
}
