import { RuleBroken } from "./model-checks.ts";
import { ModelCluster, type ModelMutant } from "./model-cluster.ts";
import { SeededChoices } from "./seeded-choices.ts";

type Step = (cluster: ModelCluster) => unknown;

/** What may happen next, and how often beside the rest. */
const STEPS: readonly (readonly [string, number, Step])[] = [
  ["append", 7, (cluster) => cluster.append()],
  ["sync", 24, (cluster) => cluster.sync()],
  ["deliver", 70, (cluster) => cluster.deliver()],
  ["pump", 30, (cluster) => cluster.pump()],
  ["tick", 5, (cluster) => cluster.tick()],
  ["see metadata", 20, (cluster) => cluster.seeMetadata()],
  ["round", 5, (cluster) => cluster.round()],
  ["reconnect", 5, (cluster) => cluster.reconnect()],
  ["finish truncation", 6, (cluster) => cluster.finishTruncation()],
  ["checkpoint", 2, (cluster) => cluster.checkpoint()],
  ["delete records", 2, (cluster) => cluster.deleteRecords()],
  ["restart", 5, (cluster) => cluster.restart()],
  ["regain lease", 2, (cluster) => cluster.regainLease()],
  ["notice expiry", 2, (cluster) => cluster.noticeExpiry()],
];

const FAULTS: readonly (readonly [string, number, Step])[] = [
  ["message lost", 2, (cluster) => cluster.lose()],
  ["crash", 0.7, (cluster) => cluster.crash()],
  ["crash of all", 0.05, (cluster) => cluster.crashAll()],
  ["directory lost", 2, (cluster) => cluster.loseDirectory()],
  ["damage", 0.5, (cluster) => cluster.damage()],
  ["log failure", 0.2, (cluster) => cluster.failLog()],
  ["lease lost", 0.4, (cluster) => cluster.loseLease()],
  ["lease revoked early", 0.8, (cluster) => cluster.expireLease()],
  ["leader moved", 0.4, (cluster) => cluster.moveLeader()],
  ["min.insync.replicas changed", 0.3, (cluster) => cluster.changeMinInsyncReplicas()],
];

interface WeightedStep {
  readonly name: string;
  readonly weight: number;
  readonly step: Step;
}

/**
 * Each run has its own habits: what is rare in one is common in another, and some faults
 * stay away, so that others can grow.
 */
function habitsOf(seed: number): readonly WeightedStep[] {
  const choices = new SeededChoices(seed + 0x5eed);
  const weighted = (factors: readonly number[]) => {
    return ([name, weight, step]: (typeof STEPS)[number]): WeightedStep => {
      return { name, weight: weight * (choices.pick(factors) ?? 1), step };
    };
  };
  return [...STEPS.map(weighted([0.5, 1, 1, 2])), ...FAULTS.map(weighted([0, 0.5, 1, 3]))];
}

export interface ModelOutcome {
  readonly steps: number;
  readonly committed: number;
  readonly acknowledged: number;
  readonly faults: ReadonlyMap<string, number>;
  /** Undefined when all rules held and the partition recovered. */
  readonly broken: Error | undefined;
}

/** One run from one seed: the same seed, steps and mutant give the same run. */
export function runModel(
  seed: number,
  steps: number,
  mutant?: ModelMutant,
  trace?: (line: string) => void,
): ModelOutcome {
  const cluster = new ModelCluster(seed, mutant);
  const habits = habitsOf(seed);
  const totalWeight = habits.reduce((sum, { weight }) => sum + weight, 0);
  const faults = new Map<string, number>();
  let done = 0;
  let broken: Error | undefined;
  try {
    for (; done < steps; done += 1) {
      const { name, step } = nextStep(cluster, habits, totalWeight);
      const happened = step(cluster) === true;
      if (happened) faults.set(name, (faults.get(name) ?? 0) + 1);
      trace?.(`${done} ${name}: ${cluster.describe()}`);
      cluster.check();
    }
    cluster.heal(trace);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (!(error instanceof RuleBroken) && mutant === undefined) trace?.(error.stack ?? "");
    broken = error;
  }
  const { acknowledged, committed } = cluster.checks;
  return { steps: done, committed: committed.length, acknowledged, faults, broken };
}

function nextStep(cluster: ModelCluster, habits: readonly WeightedStep[], totalWeight: number): WeightedStep {
  let point = cluster.choices.float() * totalWeight;
  for (const entry of habits) {
    point -= entry.weight;
    if (point < 0) return entry;
  }
  return { name: "tick", weight: 1, step: () => cluster.tick() };
}
