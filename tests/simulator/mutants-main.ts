import { MUTANTS, type Mutant, type MutantToFind, seedsFor } from "./mutants.ts";
import { runSimulation } from "./run-simulation.ts";

// `make simulate-mutants`: each deliberate bug must be found within its number of seeds.
//
//     MUTANT=name   only this one
//     SEEDS=n       as many seeds for each, whatever is stated
//     QUICK=1       only those that are found soon, as continuous integration does

/** Those that take longer are for `make simulate-mutants` by hand. */
const QUICK_LIMIT = 10;

const UNLISTED_LIMIT = 100;

const only = process.env["MUTANT"] ?? "";
const seeds = Number(process.env["SEEDS"] || Number.NaN);
const isQuick = (process.env["QUICK"] ?? "") !== "";

process.exitCode = (await findAll()) ? 0 : 1;

async function findAll(): Promise<boolean> {
  let missed = 0;
  const named = only === "" ? MUTANTS : [MUTANTS.find(({ mutant }) => mutant === only) ?? unlisted(only)];
  for (const { limit, mutant } of named) {
    if (isQuick && limit > QUICK_LIMIT) continue;
    if (!(await isFound(mutant, Number.isNaN(seeds) ? limit : seeds))) missed += 1;
  }
  say(missed === 0 ? "all mutants were found" : `${missed} mutants were not found`);
  return missed === 0;
}

/** One of those that only the model is sure to find. */
function unlisted(name: string): MutantToFind {
  return { mutant: name as Mutant, limit: UNLISTED_LIMIT };
}

async function isFound(mutant: Mutant, limit: number): Promise<boolean> {
  for (const seed of seedsFor({ mutant, limit })) {
    const { failure } = await runSimulation({ seed, mutant });
    if (failure === undefined) continue;
    say(`${mutant}: found by seed ${seed} of ${limit}: ${failure.message.slice(0, 160)}`);
    return true;
  }
  say(`${mutant}: NOT found by ${limit} seeds`);
  return false;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
