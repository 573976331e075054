import type { Clock } from "@ottla/runtime";
import { notAppended } from "./retry.ts";

export interface NodeHealthOptions {
  readonly nodeId: number;
  readonly clock: Clock;
}

/** One failure may be a restart; so many in a row, without an answer in between, are not. */
const FAILURES_UNTIL_EJECTED = 3;
const FIRST_EJECTION_MS = 250;
const MAX_EJECTION_MS = 2_000;

/**
 * Whether a storage node is worth asking. After streams that ended without an answer, again and again, it
 * is left alone for a moment, and callers learn so at once instead of each finding out for itself; then one
 * more stream tries. A node that registers again starts with a clean sheet, as the router drops this one.
 */
export class NodeHealth {
  readonly #options: NodeHealthOptions;
  #failures = 0;
  #ejectedUntilMs = 0;

  constructor(options: NodeHealthOptions) {
    this.#options = options;
  }

  get isEjected(): boolean {
    return this.#options.clock.monotonic() < this.#ejectedUntilMs;
  }

  /** Throws LEADER_NOT_AVAILABLE while the node is ejected. */
  check(): void {
    if (!this.isEjected) return;
    const message = `storage node ${this.#options.nodeId} does not answer: it is left alone for a moment`;
    throw notAppended("LEADER_NOT_AVAILABLE", message);
  }

  streamEnded(hadAnswers: boolean): void {
    this.#failures = hadAnswers ? 0 : this.#failures + 1;
    const beyond = this.#failures - FAILURES_UNTIL_EJECTED;
    if (beyond < 0) return;
    const ejectionMs = Math.min(MAX_EJECTION_MS, FIRST_EJECTION_MS * 2 ** beyond);
    this.#ejectedUntilMs = this.#options.clock.monotonic() + ejectionMs;
  }
}
