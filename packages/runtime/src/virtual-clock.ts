import type { Clock, Timer, TimerOptions } from "./clock.ts";
import { sleepOn } from "./system-clock.ts";

export interface VirtualClockOptions {
  /** What `now()` says at the start. */
  readonly startMs?: number;
  /**
   * Whether `nextTurn` callbacks run by themselves, after the promises of the turn have settled (the
   * default), or wait for `runUntilIdle` and `advance`, as a simulator wants it that decides on every step.
   */
  readonly turns?: "automatic" | "manual";
}

interface PendingTimer {
  readonly dueMs: number;
  readonly sequence: number;
  readonly callback: () => void;
}

/**
 * Time that moves only when told to: timers fire in the order of their due time, then of their
 * setting. Wall clock and monotonic clock run together until a test sets the wall clock with `jump`.
 */
export class VirtualClock implements Clock {
  readonly #timers: PendingTimer[] = [];
  readonly #turns: (() => void)[] = [];
  readonly #automaticTurns: boolean;
  #elapsedMs = 0;
  #wallOffsetMs: number;
  #sequence = 0;
  #turnScheduled = false;

  constructor(options: VirtualClockOptions = {}) {
    this.#wallOffsetMs = options.startMs ?? Date.UTC(2026, 0, 1);
    this.#automaticTurns = options.turns !== "manual";
  }

  now(): number {
    return Math.floor(this.#wallOffsetMs + this.#elapsedMs);
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  setTimer(delayMs: number, callback: () => void, _options?: TimerOptions): Timer {
    if (Number.isNaN(delayMs)) throw new RangeError("delayMs is not a number");
    const timer = { dueMs: this.#elapsedMs + Math.max(0, delayMs), sequence: this.#sequence++, callback };
    let index = this.#timers.length;
    while (index > 0 && (this.#timers[index - 1]?.dueMs ?? 0) > timer.dueMs) index -= 1;
    this.#timers.splice(index, 0, timer);
    return { cancel: () => this.#cancel(timer) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn((delay, callback) => this.setTimer(delay, callback), delayMs, signal);
  }

  nextTurn(callback: () => void): void {
    this.#turns.push(callback);
    if (!this.#automaticTurns || this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      this.#runTurns();
    });
  }

  /** Moves the wall clock alone, as a correction of the machine's time does. */
  jump(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** How many timers wait. */
  get pendingTimers(): number {
    return this.#timers.length;
  }

  /** Moves time on, firing what falls due on the way; after each timer all that follows from it has run. */
  async advance(byMs: number): Promise<void> {
    if (!(byMs >= 0)) throw new RangeError(`time cannot be advanced by ${byMs} ms`);
    const untilMs = this.#elapsedMs + byMs;
    await this.runUntilIdle();
    for (let next = this.#timers[0]; next !== undefined && next.dueMs <= untilMs; next = this.#timers[0]) {
      await this.#fire(next);
    }
    this.#elapsedMs = untilMs;
  }

  /** Moves time to the next timer and fires it; false when there is none. */
  async advanceToNextTimer(): Promise<boolean> {
    await this.runUntilIdle();
    const next = this.#timers[0];
    if (next === undefined) return false;
    await this.#fire(next);
    return true;
  }

  /** Runs promises and turns until neither makes new ones. Time stands still. */
  async runUntilIdle(): Promise<void> {
    do {
      this.#runTurns();
      await settlePromises();
    } while (this.#turns.length > 0);
  }

  async #fire(timer: PendingTimer): Promise<void> {
    this.#timers.shift();
    this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
    timer.callback();
    await this.runUntilIdle();
  }

  #runTurns(): void {
    // Callbacks queued by these belong to the turn after.
    for (const callback of this.#turns.splice(0)) callback();
  }

  #cancel(timer: PendingTimer): void {
    const index = this.#timers.indexOf(timer);
    if (index >= 0) this.#timers.splice(index, 1);
  }
}

/** An immediate runs only once the queue of settled promises is empty. */
function settlePromises(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
