import type { Clock } from "./clock.ts";

/** Undefined when ready, else the reason in words. */
export type ReadinessCheck = () => string | undefined | Promise<string | undefined>;

export interface ReadinessFinding {
  readonly name: string;
  readonly ready: boolean;
  readonly reason?: string;
}

export interface ReadinessReport {
  readonly ready: boolean;
  readonly checks: readonly ReadinessFinding[];
}

const DEFAULT_CHECK_TIMEOUT_MS = 1_000;

/** The named conditions under which this process may be sent traffic. */
export class Readiness {
  readonly #clock: Clock;
  readonly #checkTimeoutMs: number;
  readonly #checks = new Map<string, ReadinessCheck>();

  constructor(options: { readonly clock: Clock; readonly checkTimeoutMs?: number }) {
    this.#clock = options.clock;
    this.#checkTimeoutMs = options.checkTimeoutMs ?? DEFAULT_CHECK_TIMEOUT_MS;
  }

  add(name: string, check: ReadinessCheck): void {
    if (this.#checks.has(name)) throw new TypeError(`readiness check ${name} was added twice`);
    this.#checks.set(name, check);
  }

  remove(name: string): void {
    this.#checks.delete(name);
  }

  /** Runs all checks side by side. One that throws or takes too long counts as not ready, with the reason. */
  async report(): Promise<ReadinessReport> {
    const checks = await Promise.all([...this.#checks].map(([name, check]) => this.#find(name, check)));
    return { ready: checks.every(({ ready }) => ready), checks };
  }

  #find(name: string, check: ReadinessCheck): Promise<ReadinessFinding> {
    return new Promise((resolve) => {
      const notReady = (reason: string): void => resolve({ name, ready: false, reason });
      const timer = this.#clock.setTimer(
        this.#checkTimeoutMs,
        () => notReady(`no answer within ${this.#checkTimeoutMs} ms`),
        { background: true },
      );
      const run = async (): Promise<string | undefined> => check();
      run()
        .then(
          (reason) => (reason === undefined ? resolve({ name, ready: true }) : notReady(reason)),
          (error: unknown) => notReady(error instanceof Error ? error.message : String(error)),
        )
        .finally(() => timer.cancel());
    });
  }
}
