import type { CoordinatorMutant } from "@ottla/coordinator";
import type { GroupMutant } from "@ottla/group-coordinator";
import type { Mutant as ReplicationMutant } from "@ottla/replication";
import type { Mutant, MutantToFind } from "./mutants-to-find.ts";
import { hasGroups } from "./simulation.ts";

export const NO_MUTANTS: ReadonlySet<Mutant> = new Set();

const OF_THE_COORDINATOR: readonly CoordinatorMutant[] = [
  "lost-disk-keeps-place",
  "min-change-keeps-eligible",
  "isr-without-compare",
  "unclean-election",
  "joins-unregistered",
  "owner-epoch-kept",
  "epoch-survives-replica",
];

/** Of the log and of the coordinator, about owners of groups. */
const OF_OWNERS = ["former-owner-accepted", "owner-epoch-kept"] as const;

const OF_GROUPS: readonly GroupMutant[] = [
  "serves-before-replay",
  "offsets-forgotten",
  "loaded-without-fence",
  "unknown-outcome-ignored",
  "commit-answered-early",
  "fenced-member-commits",
  "held-partition-assigned",
  "revocation-not-awaited",
  "assignment-answered-early",
];

/** The seeds in which it can be found: bugs of groups show in those with groups only. */
export function* seedsFor({ mutant, limit }: Pick<MutantToFind, "mutant" | "limit">): Generator<number> {
  const needsGroups = (OF_OWNERS as readonly Mutant[]).includes(mutant) || isOfGroups(mutant);
  for (let seed = 1; seed <= limit; seed += 1) if (!needsGroups || hasGroups(seed)) yield seed;
}

function isOfGroups(mutant: Mutant): mutant is GroupMutant {
  return OF_GROUPS.some((other) => other === mutant);
}

export function coordinatorMutants(mutants: ReadonlySet<Mutant>): ReadonlySet<CoordinatorMutant> {
  return new Set(OF_THE_COORDINATOR.filter((mutant) => mutants.has(mutant)));
}

export function replicationMutants(mutants: ReadonlySet<Mutant>): ReadonlySet<ReplicationMutant> {
  const elsewhere: readonly Mutant[] = [...OF_THE_COORDINATOR, ...OF_GROUPS];
  return new Set([...mutants].filter((mutant) => !elsewhere.includes(mutant)) as ReplicationMutant[]);
}

export function groupMutants(mutants: ReadonlySet<Mutant>): ReadonlySet<GroupMutant> {
  return new Set(OF_GROUPS.filter((mutant) => mutants.has(mutant)));
}
