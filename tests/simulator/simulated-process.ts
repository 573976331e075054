import type { Clock, Timer } from "@ottla/runtime";
import type { Scheduler } from "./scheduler.ts";

/** How long one turn of a process's event loop takes, in milliseconds. */
const TURN_MS = 0.02;

/** The wall clock's start: it is the same in every run. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

/**
 * One process of the cluster. All that comes in from outside (timers, disk, network, metadata) goes through
 * `enter`: so it can be stopped for a while, as by SIGSTOP, and it can die at any moment. What a dead process
 * still had in its queues of promises runs to nothing: nobody hears what it says, and nothing answers it.
 */
export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #deathListeners: (() => void)[] = [];
  #alive = true;
  #paused = false;
  #arrived: (() => void)[] = [];
  #turns: (() => void)[] = [];
  #isTurnDue = false;
  /** How often something reached it. */
  entries = 0;
  /** How far its wall clock is off. */
  wallOffsetMs = 0;

  constructor(name: string, scheduler: Scheduler) {
    this.name = name;
    this.#scheduler = scheduler;
    this.clock = {
      now: () => Math.floor(EPOCH_MS + scheduler.nowMs + this.wallOffsetMs),
      monotonic: () => scheduler.nowMs,
      setTimer: (delayMs, callback) => this.#setTimer(delayMs, callback),
      sleep: (delayMs, signal) => this.#sleep(delayMs, signal),
      nextTurn: (callback) => this.#nextTurn(callback),
    };
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  /** Something reaches the process: now, when it goes on, or never. */
  enter(arrive: () => void): void {
    if (!this.#alive) return;
    if (this.#paused) this.#arrived.push(arrive);
    else {
      this.entries += 1;
      arrive();
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const arrived = this.#arrived;
    this.#arrived = [];
    // One after another: as many turns of its loop.
    for (const arrive of arrived) this.#scheduler.after(0, () => this.enter(arrive));
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#arrived = [];
    this.#turns = [];
    for (const listener of this.#deathListeners.splice(0)) listener();
  }

  onDeath(listener: () => void): void {
    this.#deathListeners.push(listener);
  }

  /** What a call from this process comes to, as it learns it; nothing when it is dead by then. */
  answerOf<T>(call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      call.then(
        (value) => this.enter(() => resolve(value)),
        (thrown: unknown) => this.enter(() => reject(thrown)),
      );
    });
  }

  #setTimer(delayMs: number, callback: () => void): Timer {
    let isOver = false;
    const event = this.#scheduler.after(delayMs, () =>
      this.enter(() => {
        if (isOver) return;
        isOver = true;
        callback();
      }),
    );
    return {
      cancel: () => {
        isOver = true;
        event.cancel();
      },
    };
  }

  #sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason);
      };
      const timer = this.#setTimer(delayMs, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #nextTurn(callback: () => void): void {
    if (!this.#alive) return;
    this.#turns.push(callback);
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    this.#scheduler.after(TURN_MS, () => {
      this.#isTurnDue = false;
      this.enter(() => {
        for (const run of this.#turns.splice(0)) run();
      });
    });
  }
}
