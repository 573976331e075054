import type { Clock } from "@ottla/runtime";
import { Fifo } from "./fifo.ts";

/** So many deliveries run before input and output of the process get their turn again. */
const DELIVERIES_PER_TURN = 128;

/**
 * Runs deliveries later and in the order in which they were posted, never within the poster's
 * own call. They run at the next microtask; after many of them at the next turn of the event
 * loop, so that two sides that only talk to each other cannot starve timers and sockets.
 */
export class Mailbox {
  readonly #clock: Clock;
  readonly #deliveries = new Fifo<() => void>();
  #scheduled = false;
  #left = DELIVERIES_PER_TURN;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  post(deliver: () => void): void {
    this.#deliveries.push(deliver);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#deliveries.length === 0) return;
    this.#scheduled = true;
    if (this.#left > 0) {
      queueMicrotask(() => this.#run());
      return;
    }
    this.#clock.nextTurn(() => {
      this.#left = DELIVERIES_PER_TURN;
      this.#run();
    });
  }

  #run(): void {
    try {
      // What these post is for the next round.
      for (let count = Math.min(this.#deliveries.length, this.#left); count > 0; count -= 1) {
        this.#left -= 1;
        this.#deliveries.shift()?.();
      }
    } finally {
      this.#scheduled = false;
      this.#schedule();
    }
  }
}
