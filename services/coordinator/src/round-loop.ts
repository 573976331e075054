import { toOttlaError } from "@ottla/errors";
import type { Term } from "./term.ts";

const RETRY_MS = 100;
const RETRY_LIMIT_MS = 5000;

export interface RoundLoopOptions {
  readonly term: Term;
  /** What a round is about, for logs. */
  readonly about: string;
  /** May say after how many milliseconds the next one is due. */
  readonly round: () => Promise<number | undefined>;
  /** A round comes at least this often. */
  readonly intervalMs: number;
  /** How long after a round the next one comes at the earliest. Default 0. */
  readonly minPauseMs?: number;
}

/**
 * Repeats rounds, one after another, each when it is asked for. A round works from the state that it finds,
 * not from events, so one that failed is simply repeated, after a pause that grows. Ends with the term.
 */
export class RoundLoop {
  readonly #options: RoundLoopOptions;
  #isWanted = true;
  #nextMs: number | undefined;
  #wake: () => void = () => {};

  constructor(options: RoundLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#options.term.ended.addEventListener("abort", () => this.#wake(), { once: true });
    void this.#run();
  }

  /** Asks for a round: one that is under way does not count. */
  want(): void {
    this.#isWanted = true;
    this.#wake();
  }

  async #run(): Promise<void> {
    const { term, about, round, minPauseMs = 0 } = this.#options;
    const { ended, clock, logger, metrics } = term;
    let pauseMs = RETRY_MS;
    while (!ended.aborted) {
      await this.#untilWanted();
      if (ended.aborted) return;
      this.#isWanted = false;
      // What it would do would be done in the wrong state; the recovery ends the term.
      if (term.view.recoveryNeed !== undefined) continue;
      try {
        this.#nextMs = await round();
        pauseMs = RETRY_MS;
        if (minPauseMs > 0) await clock.sleep(minPauseMs, ended);
      } catch (thrown) {
        if (ended.aborted) return;
        metrics.roundFailed();
        logger.warn({ err: toOttlaError(thrown) }, `cannot bring ${about} in order, will try again`);
        await clock.sleep(pauseMs, ended).catch(() => undefined);
        pauseMs = Math.min(pauseMs * 2, RETRY_LIMIT_MS);
        this.#isWanted = true;
      }
    }
  }

  async #untilWanted(): Promise<void> {
    const { term, intervalMs } = this.#options;
    if (this.#isWanted || term.ended.aborted) return;
    const waitMs = Math.min(intervalMs, this.#nextMs ?? intervalMs);
    const upkeep = term.clock.setTimer(waitMs, () => this.want(), { background: true });
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    upkeep.cancel();
  }
}
