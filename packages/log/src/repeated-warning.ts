import type { Clock } from "@ottla/runtime";
import type { LogLogger } from "./log-logger.ts";

const INTERVAL_MS = 60_000;

/** Trouble that is met again and again, many times a second maybe, is told once and then once a minute. */
export class RepeatedWarning {
  readonly #clock: Clock;
  readonly #logger: LogLogger;
  #nextMs = Number.NEGATIVE_INFINITY;
  #suppressed = 0;

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: LogLogger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  warn(fields: Readonly<Record<string, unknown>>, message: string, thrown: unknown): void {
    const nowMs = this.#clock.monotonic();
    if (nowMs < this.#nextMs) {
      this.#suppressed += 1;
      return;
    }
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const suppressed = this.#suppressed === 0 ? {} : { suppressed: this.#suppressed };
    this.#nextMs = nowMs + INTERVAL_MS;
    this.#suppressed = 0;
    this.#logger.warn({ ...fields, reason, ...suppressed }, message);
  }
}
