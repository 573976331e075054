import { expect, test } from "vitest";
import { type CrashRunReport, runCrashes } from "./log-crash-run.ts";

const SEEDS = Number(process.env["LOG_CRASH_SEEDS"] ?? 1000);
const FIRST_SEED = Number(process.env["LOG_CRASH_FIRST_SEED"] ?? 1);

test("after 1,000 seeds of crashes, each acknowledged batch is found once, at its offset", async () => {
  const totals: Record<string, number> = {};
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
    const report = await runCrashes(seed).catch((error: unknown) => {
      throw new Error(`LOG_CRASH_FIRST_SEED=${seed} LOG_CRASH_SEEDS=1 replays this`, { cause: error });
    });
    addTo(totals, report);
  }
  const lines = Object.entries(totals).map(([name, count]) => `  ${name}: ${count}`);
  process.stdout.write(`${SEEDS} seeds; how often each thing happened:\n${lines.join("\n")}\n`);
  expect(totals["acknowledgedBatches"]).toBeGreaterThan(0);
  if (SEEDS < 1000) return;
  const mustHappen = [
    "crashes",
    "writesLost",
    "writesTorn",
    "syncsFailed",
    "writesFailed",
    "recognisedRetries",
  ];
  const never = [...mustHappen, "failedAppends", "truncations"].filter((name) => !totals[name]);
  expect(never).toEqual([]);
});

function addTo(totals: Record<string, number>, { faults, ...counts }: CrashRunReport): void {
  for (const [name, count] of [...Object.entries(counts), ...Object.entries(faults)]) {
    totals[name] = (totals[name] ?? 0) + count;
  }
}
