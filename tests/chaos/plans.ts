import { type SeededRandom, systemClock } from "@ottla/runtime";
import type { Fault } from "./faults.ts";

type Plan = (random: SeededRandom) => Iterable<readonly Fault[]>;

/** Each fault once, in the seed's order. */
export function everyFaultOnce(faults: readonly Fault[]): Plan {
  return function* plan(random) {
    for (const fault of shuffled(random, faults)) yield [fault];
  };
}

export interface TimedPlan {
  readonly minutes: number;
  readonly faults: readonly Fault[];
  /** Ends the plan early. */
  readonly signal: AbortSignal;
}

/** Each fault once, then one or two at a time, as the seed says, until the time is over. */
export function untilMinutesAreOver({ minutes, faults, signal }: TimedPlan): Plan {
  return function* plan(random) {
    const endMs = systemClock.monotonic() + minutes * 60_000;
    const isOver = (): boolean => signal.aborted || systemClock.monotonic() > endMs;
    for (const first of everyFaultOnce(faults)(random)) {
      if (isOver()) return;
      yield first;
    }
    while (!isOver()) {
      const [one, other] = shuffled(random, faults);
      if (one === undefined) return;
      const isAlone = other === undefined || one.isAlone || other.isAlone || random.integer(3) > 0;
      yield isAlone ? [one] : [one, other];
    }
  };
}

function shuffled<T>(random: SeededRandom, items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, rank: random.float() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
