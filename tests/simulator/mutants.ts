import type { CoordinatorMutant } from "@ottla/coordinator";
import type { GroupMutant } from "@ottla/group-coordinator";
import type { Mutant as ReplicationMutant } from "@ottla/replication";

/** The deliberate bugs that the simulator must find. */
export type Mutant = ReplicationMutant | CoordinatorMutant | GroupMutant;

import { hasGroups } from "./simulation.ts";

export const NO_MUTANTS: ReadonlySet<Mutant> = new Set();

export interface MutantToFind {
  readonly mutant: Mutant;
  /** Within so many seeds, beginning with 1. */
  readonly limit: number;
}

/** What the simulator finds, and how soon. The model of `@ottla/replication` finds the others, in seconds. */
export const MUTANTS: readonly MutantToFind[] = [
  { mutant: "high-watermark-by-majority", limit: 5 },
  { mutant: "isr-counted-after-shrink", limit: 30 },
  { mutant: "joining-replica-not-counted", limit: 5 },
  { mutant: "min-isr-ignored", limit: 5 },
  { mutant: "latest-before-epoch-start", limit: 10 },
  { mutant: "truncate-by-high-watermark", limit: 10 },
  { mutant: "epoch-start-ignored", limit: 60 },
  { mutant: "joins-below-high-watermark", limit: 10 },
  { mutant: "sync-skipped", limit: 5 },
  { mutant: "agreement-unchecked", limit: 5 },
  { mutant: "stale-node-epoch-accepted", limit: 140 },
  { mutant: "unfenced-leader", limit: 10 },
  { mutant: "waiter-survives-epoch", limit: 60 },
  { mutant: "lost-disk-keeps-place", limit: 20 },
  { mutant: "min-change-keeps-eligible", limit: 80 },
  { mutant: "isr-without-compare", limit: 60 },
  { mutant: "unclean-election", limit: 5 },
  { mutant: "lease-ignored", limit: 5 },
  { mutant: "damaged-leads", limit: 20 },
  { mutant: "joins-unregistered", limit: 20 },
  { mutant: "low-watermark-early", limit: 20 },
  { mutant: "joins-below-log-start", limit: 20 },
  { mutant: "epoch-led-twice", limit: 60 },
  { mutant: "old-view-after-restart", limit: 30 },
  { mutant: "unknown-outcome-forgotten", limit: 30 },
  { mutant: "stale-leader-epoch-accepted", limit: 60 },
  { mutant: "former-owner-accepted", limit: 80 },
  { mutant: "owner-epoch-kept", limit: 10 },
  { mutant: "serves-before-replay", limit: 10 },
  { mutant: "offsets-forgotten", limit: 10 },
  { mutant: "loaded-without-fence", limit: 20 },
  { mutant: "unknown-outcome-ignored", limit: 120 },
  { mutant: "commit-answered-early", limit: 10 },
  { mutant: "fenced-member-commits", limit: 80 },
  { mutant: "held-partition-assigned", limit: 10 },
  { mutant: "revocation-not-awaited", limit: 80 },
  { mutant: "assignment-answered-early", limit: 100 },
];

const OF_THE_COORDINATOR: readonly CoordinatorMutant[] = [
  "lost-disk-keeps-place",
  "min-change-keeps-eligible",
  "isr-without-compare",
  "unclean-election",
  "joins-unregistered",
  "owner-epoch-kept",
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
export function* seedsFor({ mutant, limit }: MutantToFind): Generator<number> {
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
