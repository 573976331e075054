import type { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";

/** For so long in one go a server may be away: it is restarted, or it has not begun yet. */
const QUIET_MS = 5_000;
/** Attempts come more often than that: after a longer silence there was a connection between them. */
const MAX_GAP_MS = 30_000;

/**
 * Says once that no server is there, for clients without a logger: nothing else would tell why nothing comes.
 */
export class UnreachableWarning {
  readonly #clock: Clock;
  readonly #warn: (reason: string) => void;
  #firstMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #isSaid = false;

  constructor(clock: Clock, warn: (reason: string) => void) {
    this.#clock = clock;
    this.#warn = warn;
  }

  /** An attempt to connect, or a connection, has failed. */
  failed(error: OttlaError): void {
    if (this.#isSaid || error.code !== "UNAVAILABLE") return;
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#lastMs > MAX_GAP_MS) this.#firstMs = nowMs;
    this.#lastMs = nowMs;
    if (nowMs - this.#firstMs < QUIET_MS) return;
    this.#isSaid = true;
    this.#warn(error.message);
  }
}
