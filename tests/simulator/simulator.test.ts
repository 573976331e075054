import { describe, expect, test } from "vitest";
import { runSimulation } from "./run-simulation.ts";

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

  test("keeps all rules under faults, and works hard enough for that to mean something", async () => {
    for (let seed = 1; seed <= 8; seed += 1) {
      const { checks, failure, faults, operations } = await runSimulation({ seed });
      expect(failure).toBeUndefined();
      expect(operations).toBeGreaterThanOrEqual(500);
      expect([...faults.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(20);
      expect(faults.size).toBeGreaterThanOrEqual(4);
      expect(checks.get("final contents")).toBeGreaterThan(0);
    }
  });
});
