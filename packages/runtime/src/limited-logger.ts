import type { Clock, Timer } from "./clock.ts";
import type { Logger } from "./logging.ts";

type LimitedLevel = "debug" | "info" | "warn" | "error";

export interface LimitedLoggerOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  /** At most one line per key in this time. */
  readonly intervalMs?: number;
  /** Keys remembered at once; lines of further keys share one. */
  readonly maxKeys?: number;
}

interface Line {
  readonly level: LimitedLevel;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

interface KeyState {
  timer: Timer;
  suppressed: number;
  latest: Line | undefined;
}

const DEFAULT_INTERVAL_MS = 10_000;
const DEFAULT_MAX_KEYS = 1_000;
const OVERFLOW_KEY = "_other";

/**
 * For trouble that comes per connection or per request: the first line of a key is logged at once, then at
 * most one per interval, the latest, with `suppressed`: how many others came meanwhile. No burst floods the
 * log or fills memory.
 */
export class LimitedLogger {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #maxKeys: number;
  readonly #keys = new Map<string, KeyState>();

  constructor(options: LimitedLoggerOptions) {
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs ?? DEFAULT_INTERVAL_MS;
    this.#maxKeys = options.maxKeys ?? DEFAULT_MAX_KEYS;
  }

  debug(key: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#log(key, { level: "debug", fields, message });
  }

  info(key: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#log(key, { level: "info", fields, message });
  }

  warn(key: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#log(key, { level: "warn", fields, message });
  }

  error(key: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#log(key, { level: "error", fields, message });
  }

  /** Logs what was held back and sets no more timers for it. */
  close(): void {
    for (const state of this.#keys.values()) {
      state.timer.cancel();
      this.#flush(state);
    }
    this.#keys.clear();
  }

  #log(key: string, line: Line): void {
    const known = this.#keys.has(key) || this.#keys.size < this.#maxKeys;
    const boundedKey = known ? key : OVERFLOW_KEY;
    const state = this.#keys.get(boundedKey);
    if (state === undefined) {
      this.#keys.set(boundedKey, { timer: this.#startTimer(boundedKey), suppressed: 0, latest: undefined });
      this.#write(line, 0);
    } else {
      // The latest line is the one that will be written, so it does not count as held back.
      if (state.latest !== undefined) state.suppressed += 1;
      state.latest = line;
    }
  }

  #startTimer(key: string): Timer {
    return this.#clock.setTimer(this.#intervalMs, () => this.#intervalEnded(key), { background: true });
  }

  #intervalEnded(key: string): void {
    const state = this.#keys.get(key);
    if (state === undefined) return;
    if (state.latest === undefined) {
      this.#keys.delete(key);
    } else {
      this.#flush(state);
      state.timer = this.#startTimer(key);
    }
  }

  #flush(state: KeyState): void {
    if (state.latest !== undefined) this.#write(state.latest, state.suppressed);
    state.latest = undefined;
    state.suppressed = 0;
  }

  #write(line: Line, suppressed: number): void {
    const fields = suppressed === 0 ? line.fields : { ...line.fields, suppressed };
    this.#logger[line.level](fields, line.message);
  }
}
