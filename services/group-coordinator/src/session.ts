import type { Clock, Deadline, Deadlines } from "@ottla/runtime";

export interface SessionOptions {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly timeoutMs: number;
  /** Called when nothing was heard for so long; `false` forgives it, and the time begins anew. */
  readonly onSilence: () => boolean;
}

/**
 * How long a member may be silent. Being heard only notes the time, because members are heard often and
 * hardly ever fall silent: the deadline looks at that note when it passes.
 */
export class Session {
  readonly #options: SessionOptions;
  #timeoutMs: number;
  #heardAtMs: number;
  #deadline: Deadline;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs;
    this.#heardAtMs = options.clock.monotonic();
    this.#deadline = options.deadlines.set(this.#timeoutMs, () => this.#look());
  }

  heard(): void {
    this.#heardAtMs = this.#options.clock.monotonic();
  }

  /** Begins anew with another timeout. */
  restart(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs;
    this.heard();
    this.#deadline.cancel();
    this.#deadline = this.#options.deadlines.set(timeoutMs, () => this.#look());
  }

  end(): void {
    this.#deadline.cancel();
  }

  #look(): void {
    const leftMs = this.#heardAtMs + this.#timeoutMs - this.#options.clock.monotonic();
    if (leftMs > 0) {
      this.#deadline = this.#options.deadlines.set(leftMs, () => this.#look());
    } else if (!this.#options.onSilence()) {
      this.restart(this.#timeoutMs);
    }
  }
}
