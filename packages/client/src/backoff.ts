import type { Random } from "@ottla/runtime";

export interface BackoffOptions {
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  readonly random: Random;
}

/**
 * Delays between attempts: each twice the one before, up to a limit, and spread by a fifth either way
 * so that many clients of one server that went away do not all come back in the same millisecond.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  #attempts = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  nextDelayMs(): number {
    const { firstDelayMs, maxDelayMs, random } = this.#options;
    const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return delayMs * (0.8 + 0.4 * random.float());
  }

  /** After a success: the next failure starts with the first delay again. */
  reset(): void {
    this.#attempts = 0;
  }
}
