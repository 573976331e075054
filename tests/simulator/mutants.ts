import type { Mutant as ReplicationMutant } from "@ottla/replication";

/** The deliberate bugs that the simulator must find. */
export type Mutant = ReplicationMutant;

export const NO_MUTANTS: ReadonlySet<Mutant> = new Set();
