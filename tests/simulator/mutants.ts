import type { CoordinatorMutant } from "@ottla/coordinator";
import type { Mutant as ReplicationMutant } from "@ottla/replication";

/** The deliberate bugs that the simulator must find. */
export type Mutant = ReplicationMutant | CoordinatorMutant;

export const NO_MUTANTS: ReadonlySet<Mutant> = new Set();

const OF_THE_COORDINATOR: readonly CoordinatorMutant[] = [
  "lost-disk-keeps-place",
  "min-change-keeps-eligible",
  "isr-without-compare",
  "unclean-election",
  "joins-unregistered",
];

export function coordinatorMutants(mutants: ReadonlySet<Mutant>): ReadonlySet<CoordinatorMutant> {
  return new Set(OF_THE_COORDINATOR.filter((mutant) => mutants.has(mutant)));
}

export function replicationMutants(mutants: ReadonlySet<Mutant>): ReadonlySet<ReplicationMutant> {
  const others = [...mutants].filter((mutant) => !OF_THE_COORDINATOR.some((other) => other === mutant));
  return new Set(others as ReplicationMutant[]);
}
