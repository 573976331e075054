import type { Clock } from "./clock.ts";
import { type Logger, nullLogger } from "./logging.ts";

/** Stops one part. The signal aborts when its time is over: what is still open then is left behind. */
export type StopPart = (signal: AbortSignal) => Promise<void> | void;

export interface StopReport {
  /** Whether every part stopped in time and without an error. */
  readonly clean: boolean;
  /** Parts that did not stop in time, or had no time left at all. */
  readonly overran: readonly string[];
  /** Parts whose stop threw. */
  readonly failed: readonly string[];
}

export interface PartOptions {
  /** The most of the whole deadline that this part may use, so that parts after it keep some. */
  readonly timeoutMs?: number;
}

interface Part extends PartOptions {
  readonly name: string;
  readonly stop: StopPart;
}

type Outcome = "stopped" | "overran" | "failed";

/**
 * Ordered shutdown: parts are added as they start and stop in reverse order, one after another, within one
 * deadline. A part that overruns is named and left behind; those after it are still told to stop, but not
 * waited for.
 */
export class Lifecycle {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #parts: Part[] = [];
  readonly #failure = new AbortController();
  #report: Promise<StopReport> | undefined;

  constructor(options: { readonly clock: Clock; readonly logger?: Logger }) {
    this.#clock = options.clock;
    this.#logger = options.logger ?? nullLogger;
  }

  /** Whether `stop` has been called: readiness must fail from then on. */
  get stopping(): boolean {
    return this.#report !== undefined;
  }

  /** Aborts, with the reason, when a part cannot go on: whoever runs the process then stops it. */
  get failed(): AbortSignal {
    return this.#failure.signal;
  }

  fail(reason: Error): void {
    this.#failure.abort(reason);
  }

  add(name: string, stop: StopPart, options: PartOptions = {}): void {
    if (this.stopping) throw new TypeError(`lifecycle: ${name} was added after the stop began`);
    this.#parts.push({ ...options, name, stop });
  }

  /** Stops all parts within `timeoutMs`. A second call returns the first one's report. */
  stop(timeoutMs: number): Promise<StopReport> {
    this.#report ??= this.#stopAll(timeoutMs);
    return this.#report;
  }

  async #stopAll(timeoutMs: number): Promise<StopReport> {
    const deadlineMs = this.#clock.monotonic() + timeoutMs;
    const overran: string[] = [];
    const failed: string[] = [];
    for (const part of this.#parts.toReversed()) {
      const outcome = await this.#stopPart(part, deadlineMs);
      if (outcome === "overran") overran.push(part.name);
      if (outcome === "failed") failed.push(part.name);
    }
    return { clean: overran.length === 0 && failed.length === 0, overran, failed };
  }

  #stopPart(part: Part, deadlineMs: number): Promise<Outcome> {
    const startedMs = this.#clock.monotonic();
    const limitMs = Math.min(deadlineMs - startedMs, part.timeoutMs ?? Number.POSITIVE_INFINITY);
    const overrun = new AbortController();
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(Math.max(0, limitMs), () => {
        this.#logger.error({ part: part.name }, "did not stop in time: left behind");
        overrun.abort(new Error(`${part.name} did not stop in time`));
        resolve("overran");
      });
      const end = (outcome: Outcome): void => {
        timer.cancel();
        resolve(outcome);
      };
      this.#run(part, overrun.signal).then(
        () => {
          const durationMs = Math.round(this.#clock.monotonic() - startedMs);
          this.#logger.info({ part: part.name, durationMs }, "stopped");
          end("stopped");
        },
        (error: unknown) => {
          this.#logger.error({ part: part.name, err: error }, "failed to stop");
          end("failed");
        },
      );
    });
  }

  async #run(part: Part, signal: AbortSignal): Promise<void> {
    await part.stop(signal);
  }
}
