import { describe, expect, test } from "vitest";
import { seedsFor } from "./mutants.ts";
import { MUTANTS } from "./mutants-to-find.ts";
import { RuleBroken } from "./rule-broken.ts";
import { runSimulation } from "./run-simulation.ts";

const SEEDS = 40;
/** Those that take more are for `make simulate-mutants`. */
const QUICK_LIMIT = 10;

describe("the simulated cluster", () => {
  test("does the same again from the same seed, to the last event", async () => {
    const first = await runSimulation({ seed: 11 });
    await runSimulation({ seed: 12 });
    const again = await runSimulation({ seed: 11 });
    const other = await runSimulation({ seed: 12 });
    expect({ digest: again.digest, events: again.events }).toEqual({
      digest: first.digest,
      events: first.events,
    });
    expect(other.digest).not.toBe(first.digest);
  });

  test.each(MUTANTS.filter(({ limit }) => limit <= QUICK_LIMIT))(
    "finds the deliberate bug $mutant within $limit seeds",
    async ({ limit, mutant }) => {
      let found: Error | undefined;
      for (const seed of seedsFor({ limit, mutant })) {
        found = (await runSimulation({ seed, mutant })).failure;
        if (found !== undefined) break;
      }
      expect(found).toBeInstanceOf(RuleBroken);
    },
  );

  test("keeps all rules under faults, and works hard enough for that to mean something", async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const { checks, failure, faults, operations } = await runSimulation({ seed });
      expect(failure).toBeUndefined();
      expect(operations).toBeGreaterThanOrEqual(500);
      expect([...faults.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(20);
      expect(faults.size).toBeGreaterThanOrEqual(4);
      expect(checks.get("final contents")).toBeGreaterThan(0);
    }
  });
});
