import { readFile } from "node:fs/promises";
import { MUTANTS } from "../tests/simulator/mutants-to-find.ts";

/** Where the deliberate bugs are named, each with a comment that says what it breaks. */
const SOURCES = [
  "packages/replication/src/mutants.ts",
  "services/coordinator/src/mutants.ts",
  "services/group-coordinator/src/mutants.ts",
];
const NAMED = /\/\*\*([^/]*)\*\/\s*\| "([a-z-]+)"/g;
const RULES = / \(([^()]+)\)$/;

interface NamedMutant {
  readonly what: string;
  readonly rules: string;
}

/** The page that lists the deliberate bugs, and how soon the simulator finds each. */
export async function mutantsPage(): Promise<string> {
  const named = await namedMutants();
  const unlisted = [...named.keys()].filter((name) => !MUTANTS.some(({ mutant }) => mutant === name));
  if (unlisted.length > 0) throw new Error(`mutants that nobody has to find: ${unlisted.join(" ")}`);
  const rows = MUTANTS.map(({ mutant, limit, foundBy }) => {
    const { what, rules } = named.get(mutant) ?? noComment(mutant);
    return `| \`${mutant}\` | ${what} | ${rules} | ${limit} | ${foundBy} |`;
  });
  return [
    "# Deliberate bugs",
    "",
    "<!-- Made by scripts/generate-docs.ts from the lists of mutants in the sources: change them there. -->",
    "",
    "What shows that [the simulator](../tests/simulator/README.md) bites: each of these is planted by a switch that only tests can set, and has to be",
    "found within its number of seeds, from 1 on. The last column is the seed that found it when it was run last. `make simulate-mutants` runs all, with",
    "`MUTANT=name` one, and with `EACH=1` it tells how many of the seeds find it. Those of at most 10 seeds are run by `make simulate-short`, too.",
    "",
    "| name | what it breaks | rule | within seeds | found by |",
    "|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

async function namedMutants(): Promise<Map<string, NamedMutant>> {
  const named = new Map<string, NamedMutant>();
  for (const path of SOURCES) {
    const source = await readFile(new URL(`../${path}`, import.meta.url), "utf8");
    for (const [, comment = "", name = ""] of source.matchAll(NAMED)) {
      const text = comment.replace(/\s*\n\s*\*?\s*/g, " ").trim();
      const sentence = text.replace(/\.$/, "");
      const rules = RULES.exec(sentence)?.[1] ?? "–";
      named.set(name, { what: sentence.replace(RULES, ""), rules });
    }
  }
  return named;
}

function noComment(mutant: string): never {
  throw new Error(`no comment says what the mutant ${mutant} breaks`);
}
