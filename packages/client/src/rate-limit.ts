import type { Clock } from "@ottla/runtime";

/** Lets the first of each kind pass, and then one in a while: for messages that would repeat endlessly. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #periodMs: number;
  readonly #quietUntilMs = new Map<string, number>();

  constructor(clock: Clock, periodMs: number) {
    this.#clock = clock;
    this.#periodMs = periodMs;
  }

  /** `kind` is one of a closed list, such as an error's code: each is remembered. */
  admits(kind: string): boolean {
    const nowMs = this.#clock.monotonic();
    if (nowMs < (this.#quietUntilMs.get(kind) ?? 0)) return false;
    this.#quietUntilMs.set(kind, nowMs + this.#periodMs);
    return true;
  }
}
