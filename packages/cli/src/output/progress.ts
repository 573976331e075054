import type { Clock, Timer } from "@ottla/runtime";
import type { CliEnvironment } from "../environment.ts";
import { formatBytes, plural } from "../units.ts";

const REDRAW_MS = 200;
const CLEAR_LINE = "\r\u001b[K";

export interface ProgressState {
  readonly records: number;
  readonly bytes: number;
  /** Of the whole input, when it is known: 0 to 1. */
  readonly fraction?: number | undefined;
}

/** A line on the terminal that tells how far the work is; nothing where standard error is no terminal. */
export class Progress {
  readonly #environment: CliEnvironment;
  readonly #clock: Clock;
  readonly #state: () => ProgressState;
  readonly #startMs: number;
  #timer: Timer | undefined;
  #drawn = false;

  constructor(environment: CliEnvironment, clock: Clock, quiet: boolean, state: () => ProgressState) {
    this.#environment = environment;
    this.#clock = clock;
    this.#state = state;
    this.#startMs = clock.monotonic();
    if (environment.stderrIsTerminal && !quiet) this.#schedule();
  }

  get elapsedMs(): number {
    return this.#clock.monotonic() - this.#startMs;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#drawn) this.#environment.stderr.write(CLEAR_LINE);
  }

  #schedule(): void {
    this.#timer = this.#clock.setTimer(
      REDRAW_MS,
      () => {
        this.#draw();
        this.#schedule();
      },
      { background: true },
    );
  }

  #draw(): void {
    const { records, bytes, fraction } = this.#state();
    const seconds = Math.max(0.001, this.elapsedMs / 1000);
    const rate = `${plural(records / seconds, "record")}/s, ${formatBytes(bytes / seconds)}/s`;
    this.#environment.stderr.write(`${CLEAR_LINE}${bar(fraction)}${plural(records, "record")}, ${rate}`);
    this.#drawn = true;
  }
}

function bar(fraction: number | undefined): string {
  if (fraction === undefined) return "";
  const width = 20;
  const full = Math.round(Math.min(1, fraction) * width);
  return `[${"#".repeat(full)}${".".repeat(width - full)}] ${String(Math.floor(fraction * 100)).padStart(3)} %  `;
}
