import { OttlaError } from "@ottla/errors";
import { givenNumber, orRefused } from "./given-number.ts";
import { seedsFor } from "./mutants.ts";
import { MUTANTS, type Mutant, type MutantToFind } from "./mutants-to-find.ts";
import { runSimulation } from "./run-simulation.ts";

// `make simulate-mutants`: each deliberate bug must be found within its number of seeds.
//
//     MUTANT=name   only this one
//     SEEDS=n       as many seeds for each, whatever is stated
//     QUICK=1       only those that are found soon, as continuous integration does
//     EACH=1        all of the seeds, however soon it is found: how many of them find it

/** Those that take longer are for `make simulate-mutants` by hand. */
const QUICK_LIMIT = 10;
const MESSAGE_LENGTH = 160;

const isQuick = isGiven("QUICK");
const triesEach = isGiven("EACH");

await orRefused(findAll);

async function findAll(): Promise<boolean> {
  const seeds = givenNumber("SEEDS", 1);
  const missed: Mutant[] = [];
  const moved: string[] = [];
  for (const { foundBy, limit, mutant } of asked()) {
    const found = await find(mutant, seeds ?? limit);
    if (found === undefined) missed.push(mutant);
    else if (found !== foundBy) moved.push(`${mutant}: foundBy ${foundBy} is ${found} now`);
  }
  for (const line of moved) say(line);
  if (moved.length > 0) say("(in mutants-to-find.ts; docs/mutants.md is made from it)");
  say(missed.length === 0 ? "all mutants were found" : `not found: ${missed.join(" ")}`);
  return missed.length === 0;
}

function asked(): readonly MutantToFind[] {
  const only = process.env["MUTANT"] ?? "";
  if (only === "") return isQuick ? MUTANTS.filter(({ limit }) => limit <= QUICK_LIMIT) : MUTANTS;
  const named = MUTANTS.filter(({ mutant }) => mutant === only);
  if (named.length > 0) return named;
  const names = MUTANTS.map(({ mutant }) => `  ${mutant}\n`).join("");
  throw new OttlaError("INVALID_REQUEST", `MUTANT=${only}: there is no such mutant. There are:\n${names}`);
}

/** The first seed that finds it. */
async function find(mutant: Mutant, limit: number): Promise<number | undefined> {
  const finding: number[] = [];
  let tried = 0;
  for (const seed of seedsFor({ mutant, limit })) {
    tried += 1;
    const { failure } = await runSimulation({ seed, mutant });
    if (failure === undefined) continue;
    finding.push(seed);
    if (finding.length > 1) continue;
    say(`${mutant}: found by seed ${seed} of ${limit}: ${failure.message.slice(0, MESSAGE_LENGTH)}`);
    if (!triesEach) break;
  }
  if (finding.length === 0) say(`${mutant}: NOT found by ${limit} seeds`);
  if (triesEach) say(`${mutant}: ${finding.length} of ${tried} seeds find it: ${finding.join(" ")}`);
  return finding[0];
}

function isGiven(name: string): boolean {
  return (process.env[name] ?? "") !== "";
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
