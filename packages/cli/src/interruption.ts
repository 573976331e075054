import type { Clock, Timer } from "@ottla/runtime";
import type { CliEnvironment } from "./environment.ts";

/** How long what was sent may take to be acknowledged after Ctrl-C. */
export const FINISH_AFTER_INTERRUPT_MS = 10_000;

export interface InterruptionOptions {
  readonly environment: CliEnvironment;
  readonly clock: Clock;
  /** Ends the work at once: after a second Ctrl-C, or when the time to finish is over. */
  readonly onGiveUp: () => void;
}

/**
 * Ctrl-C and SIGTERM while records are sent. The first asks to stop reading and gives what was sent some
 * time to be acknowledged, at whatever moment it comes; the second ends the work at once.
 */
export class Interruption {
  readonly #options: InterruptionOptions;
  readonly #removeHandler: () => void;
  readonly #waiting = new Set<() => void>();
  #giveUp: Timer | undefined;
  #requested = false;

  constructor(options: InterruptionOptions) {
    this.#options = options;
    this.#removeHandler = options.environment.onInterrupt(() => this.#interrupt());
  }

  get requested(): boolean {
    return this.#requested;
  }

  /**
   * What the promise resolves to, or undefined when the interruption comes first. `Promise.race` with one
   * that stays pending would do the same, and would keep a reaction on it for every call.
   */
  orUntil<T>(promise: Promise<T>): Promise<T | undefined> {
    if (this.#requested) {
      promise.catch(() => undefined);
      return Promise.resolve(undefined);
    }
    return new Promise((resolve, reject) => {
      const interrupted = () => resolve(undefined);
      this.#waiting.add(interrupted);
      promise.then(resolve, reject).finally(() => this.#waiting.delete(interrupted));
    });
  }

  /** The work is done, or nobody waits for it any more. */
  dispose(): void {
    this.#giveUp?.cancel();
    this.#removeHandler();
  }

  #interrupt(): void {
    const { clock, onGiveUp } = this.#options;
    if (this.#requested) {
      onGiveUp();
      return;
    }
    this.#requested = true;
    this.#giveUp = clock.setTimer(FINISH_AFTER_INTERRUPT_MS, onGiveUp);
    for (const interrupted of this.#waiting) interrupted();
    this.#waiting.clear();
  }
}
