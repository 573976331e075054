import { describeFailure, summaryOf, Totals } from "./report.ts";
import { runSimulation } from "./run-simulation.ts";

// `make simulate`: runs seeds one after another, and says how to replay those that fail.
//
//     SEED=n        one seed, or the first of SEEDS
//     SEEDS=n       how many (default 1 with SEED, else 20)
//     LOG=1         the event log of each run

const first = numberOf("SEED") ?? 1;
const count = numberOf("SEEDS") ?? (process.env["SEED"] === undefined || process.env["SEED"] === "" ? 20 : 1);
const logs = (process.env["LOG"] ?? "") !== "";

process.exitCode = (await runSeeds()) ? 0 : 1;

async function runSeeds(): Promise<boolean> {
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

function numberOf(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === "") return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${name}=${text} is no number of a seed`);
  return number;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
