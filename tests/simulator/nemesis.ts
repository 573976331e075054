import { FAULTS, type Fault, type FaultContext } from "./faults.ts";
import type { Simulation } from "./simulation.ts";

const CUT_OFF_CHANCE = 0.05;
const LONGEST_PROPOSAL_MS = 2;

export interface NemesisOptions extends Omit<FaultContext, "later" | "random"> {
  readonly name?: string;
  /** What may strike; everything that may strike a cluster by default. */
  readonly faults?: readonly Fault[];
  /** How much longer than usual it waits from one fault to the next. */
  readonly slowness?: number;
}

/**
 * Strikes the cluster with faults, each seed in its own manner: some faults are common in
 * it and others absent.
 */
export class Nemesis {
  readonly #simulation: Simulation;
  readonly #options: NemesisOptions;
  readonly #name: string;
  readonly #faults: readonly Fault[];
  readonly #meanPauseMs: number;
  readonly #pending = new Set<{ readonly undo: () => void; readonly cancel: () => void }>();
  #striking = false;
  count = 0;

  constructor(options: NemesisOptions) {
    const { faults = FAULTS, name = "", simulation, slowness = 1 } = options;
    this.#options = options;
    this.#simulation = simulation;
    const habits = simulation.random(`${name}habits`);
    const factors = [0, 0.5, 1, 1, 3];
    this.#faults = faults
      .map((fault) => ({
        ...fault,
        weight: fault.weight * (factors[habits.integer(factors.length)] ?? 1),
      }))
      .filter(({ weight }) => weight > 0);
    this.#meanPauseMs = (300 + habits.float() * 500) * slowness;
    this.#name = name;
  }

  start(): void {
    this.#striking = true;
    this.#next();
  }

  /** No more faults, and all that were are undone. */
  stop(): void {
    this.#striking = false;
    for (const { undo, cancel } of this.#pending) {
      cancel();
      undo();
    }
    this.#pending.clear();
    for (const { disk } of this.#options.cluster.storages) disk.faults.clear();
  }

  /** Now and then a leader that asks for another ISR does not hear what became of that. */
  proposed(nodeId: number): void {
    const { cluster } = this.#options;
    const simulation = this.#simulation;
    if (!this.#striking) return;
    const random = simulation.random(`proposal-${this.count}-${simulation.nowMs}`);
    if (random.float() >= CUT_OFF_CHANCE) return;
    simulation.scheduler.after(random.float() * LONGEST_PROPOSAL_MS, () => {
      const leader = cluster.storages[nodeId]?.node.name ?? "";
      const others = cluster.coordinators.map(({ name }) => name);
      if (simulation.network.breakBetween(leader, others) > 0) simulation.fault("proposal cut off");
    });
  }

  #next(): void {
    const random = this.#simulation.random(`${this.#name}pause-${this.count}-${this.#simulation.nowMs}`);
    const pauseMs = random.float() * 2 * this.#meanPauseMs;
    this.#simulation.scheduler.after(pauseMs, () => {
      if (!this.#striking) return;
      this.#strike();
      this.#next();
    });
  }

  #strike(): void {
    const random = this.#simulation.random(`${this.#name}fault-${this.count}-${this.#simulation.nowMs}`);
    const total = this.#faults.reduce((sum, { weight }) => sum + weight, 0);
    let point = random.float() * total;
    const fault = this.#faults.find(({ weight }) => {
      point -= weight;
      return point < 0;
    });
    if (fault === undefined) return;
    this.#simulation.say("fault", () => fault.name);
    const context: FaultContext = {
      ...this.#options,
      random,
      later: (delayMs, undo) => this.#later(fault.name, delayMs, undo),
    };
    if (!fault.strike(context)) return;
    this.count += 1;
    this.#simulation.fault(fault.name);
  }

  #later(name: string, delayMs: number, undo: () => void): void {
    // What an undoing would have done next: the run sees to the rest.
    if (!this.#striking) return;
    const entry = {
      undo: () => {
        this.#pending.delete(entry);
        this.#simulation.say("fault", () => `over: ${name}`);
        undo();
      },
      cancel: () => event.cancel(),
    };
    this.#pending.add(entry);
    const event = this.#simulation.scheduler.after(delayMs, entry.undo);
  }
}
