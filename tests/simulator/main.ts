import { givenNumber, orRefused } from "./given-number.ts";
import { describeFailure, summaryOf, Totals } from "./report.ts";
import { runSimulation } from "./run-simulation.ts";

// `make simulate`: runs seeds one after another, and says how to replay those that fail.
//
//     SEED=n        one seed, or the first of SEEDS
//     SEEDS=n       how many (default 1 with SEED, else 20)
//     LOG=1         the event log of each run

const DEFAULT_SEEDS = 20;

const logs = (process.env["LOG"] ?? "") !== "";

await orRefused(runSeeds);

async function runSeeds(): Promise<boolean> {
  const seedGiven = givenNumber("SEED", 0);
  const first = seedGiven ?? 1;
  const count = givenNumber("SEEDS", 1) ?? (seedGiven === undefined ? DEFAULT_SEEDS : 1);
  const totals = new Totals();
  const failed: number[] = [];
  const trace = logs ? say : undefined;
  for (let seed = first; seed < first + count; seed += 1) {
    const report = await runSimulation({ seed, trace });
    totals.add(report);
    if (report.failure !== undefined) {
      failed.push(seed);
      say(`seed ${seed} failed: ${describeFailure(report.failure, count === 1)}`);
      say(`  make simulate SEED=${seed} LOG=1`);
    } else if (count === 1) say(`seed ${seed}: ${summaryOf(report)}`);
  }
  for (const line of totals.lines()) say(line);
  say(failed.length === 0 ? `${count} seeds, none failed` : `${count} seeds, failed: ${failed.join(" ")}`);
  return failed.length === 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
