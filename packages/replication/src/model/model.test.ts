import { describe, expect, it } from "vitest";
import type { ModelMutant } from "./model-cluster.ts";
import { runModel } from "./model-run.ts";

const STEPS = 800;
const SEEDS = 3_000;

/** How many seeds, from 1 on, each deliberate bug may survive. */
const SEEDS_UNTIL_FOUND: Readonly<Record<ModelMutant, number>> = {
  "high-watermark-by-majority": 20,
  "isr-counted-after-shrink": 100,
  "joining-replica-not-counted": 500,
  "min-isr-ignored": 50,
  "latest-before-epoch-start": 100,
  "truncate-by-high-watermark": 50,
  "epoch-start-ignored": 300,
  "joins-below-high-watermark": 50,
  "sync-skipped": 20,
  "agreement-unchecked": 50,
  "stale-node-epoch-accepted": 2_000,
  "stale-leader-epoch-accepted": 200,
  "unfenced-leader": 100,
  "epoch-led-twice": 1_000,
  "old-view-after-restart": 5_000,
  "waiter-survives-epoch": 50,
  "lease-ignored": 50,
  "unknown-outcome-forgotten": 1_500,
  "low-watermark-early": 5_000,
  "joins-below-log-start": 500,
  "damaged-leads": 1_500,
  "lost-disk-keeps-place": 200,
  "min-change-keeps-eligible": 300,
  "isr-without-compare": 1_500,
  "unclean-election": 100,
  "joins-unregistered": 4_000,
};

describe("the model of a cluster", () => {
  it(`holds all rules in ${SEEDS} runs and recovers from each`, () => {
    const faults = new Map<string, number>();
    let acknowledged = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const outcome = runModel(seed, STEPS);
      expect(outcome.broken?.message, `seed ${seed}`).toBeUndefined();
      acknowledged += outcome.acknowledged;
      for (const [fault, count] of outcome.faults) faults.set(fault, (faults.get(fault) ?? 0) + count);
    }
    // A model in which nothing happens holds every rule.
    expect(acknowledged).toBeGreaterThan(5 * SEEDS);
    expect([...faults.keys()].sort()).toEqual([
      "crash",
      "crash of all",
      "damage",
      "directory lost",
      "leader moved",
      "lease lost",
      "lease revoked early",
      "log failure",
      "message lost",
      "min.insync.replicas changed",
    ]);
    expect(Math.min(...faults.values())).toBeGreaterThan(SEEDS / 20);
  });

  it("does the same again from the same seed", () => {
    const traces = [1, 2].map(() => {
      const lines: string[] = [];
      runModel(7, STEPS, undefined, (line) => lines.push(line));
      return lines;
    });
    expect(traces[0]).toEqual(traces[1]);
    expect(traces[0]?.length).toBeGreaterThanOrEqual(STEPS);
  });
});

describe("the model's checks", () => {
  it.each(Object.entries(SEEDS_UNTIL_FOUND) as [ModelMutant, number][])(
    "find %s within %i seeds",
    (mutant, limit) => {
      let seed = 1;
      while (seed <= limit && runModel(seed, STEPS, mutant).broken === undefined) seed += 1;
      expect(seed).toBeLessThanOrEqual(limit);
    },
  );
});
