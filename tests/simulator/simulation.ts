import { ModelServer } from "@ottla/metadata";
import { createLogger, type Logger, nullLogger, type SeededRandom } from "@ottla/runtime";
import type { Mutant } from "./mutants-to-find.ts";
import { SimulatedNetwork } from "./network.ts";
import { Scheduler } from "./scheduler.ts";

/** The name of the simulated cluster in its metadata store. */
export const CLUSTER = "simulated";
export const LEASE_TTL_MS = 3_000;

/** Whether consumer groups take part. In the other seeds everything is as if there were none. */
export function hasGroups(seed: number): boolean {
  return seed % 2 === 0;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly mutants: ReadonlySet<Mutant>;
  /** Gets a line for everything worth reading. */
  readonly trace: ((line: string) => void) | undefined;
}

/** What all parts of one simulation share. */
export class Simulation {
  readonly seed: number;
  readonly mutants: ReadonlySet<Mutant>;
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly etcd: ModelServer;
  /** How often each fault struck and each rule's check ran, by name. */
  readonly faultCounts = new Map<string, number>();
  readonly checkCounts = new Map<string, number>();
  readonly #trace: ((line: string) => void) | undefined;

  constructor(options: SimulationOptions) {
    const { mutants, seed, trace } = options;
    this.seed = seed;
    this.mutants = mutants;
    this.#trace = trace;
    this.scheduler = new Scheduler(seed);
    this.network = new SimulatedNetwork(this.scheduler, this.random("network"));
    const { scheduler } = this;
    this.etcd = new ModelServer({
      clock: {
        now: () => scheduler.nowMs,
        monotonic: () => scheduler.nowMs,
        setTimer: (delayMs, callback) => scheduler.after(delayMs, callback),
        sleep: (delayMs) => scheduler.sleep(delayMs),
        nextTurn: (callback) => void scheduler.after(0, callback),
      },
    });
  }

  get nowMs(): number {
    return this.scheduler.nowMs;
  }

  /** A stream of random numbers of its own for each part, so that one part's draws do not shift another's. */
  random(name: string): SeededRandom {
    return this.scheduler.random.fork(name);
  }

  fault(name: string, count = 1): void {
    this.faultCounts.set(name, (this.faultCounts.get(name) ?? 0) + count);
  }

  checked(rule: string): void {
    this.checkCounts.set(rule, (this.checkCounts.get(rule) ?? 0) + 1);
  }

  /** A line of the event log. */
  say(who: string, what: () => string): void {
    this.#trace?.(`${(this.nowMs / 1000).toFixed(4).padStart(9)}  ${who.padEnd(14)} ${what()}`);
  }

  loggerOf(who: string): Logger {
    if (this.#trace === undefined) return nullLogger;
    const write = (line: string): void => this.say(who, () => readable(line));
    return createLogger({ level: "debug", format: "json", destination: { write } });
  }
}

const LEVELS: Readonly<Record<number, string>> = {
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

/** pino's JSON as a person reads it. */
function readable(line: string): string {
  const {
    level,
    msg,
    time: _time,
    service: _service,
    pid: _pid,
    hostname: _host,
    ...facts
  } = JSON.parse(line);
  const more = Object.keys(facts).length === 0 ? "" : ` ${JSON.stringify(facts).slice(0, 600)}`;
  return `${LEVELS[level] ?? level}: ${msg}${more}`;
}
