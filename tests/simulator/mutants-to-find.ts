import type { CoordinatorMutant } from "@ottla/coordinator";
import type { GroupMutant } from "@ottla/group-coordinator";
import type { Mutant as ReplicationMutant } from "@ottla/replication";

/** The deliberate bugs that the simulator must find. */
export type Mutant = ReplicationMutant | CoordinatorMutant | GroupMutant;

export interface MutantToFind {
  readonly mutant: Mutant;
  /** Within so many seeds, beginning with 1. */
  readonly limit: number;
  /** The first seed that found it when it was run last; `make simulate-mutants` says where that differs. */
  readonly foundBy: number;
}

/** What the simulator finds, and how soon; many are found by the model of `@ottla/replication`, too. */
export const MUTANTS: readonly MutantToFind[] = [
  { mutant: "high-watermark-by-majority", limit: 5, foundBy: 1 },
  { mutant: "isr-counted-after-shrink", limit: 30, foundBy: 3 },
  { mutant: "joining-replica-not-counted", limit: 5, foundBy: 1 },
  { mutant: "min-isr-ignored", limit: 5, foundBy: 1 },
  { mutant: "latest-before-epoch-start", limit: 10, foundBy: 2 },
  { mutant: "truncate-by-high-watermark", limit: 10, foundBy: 2 },
  { mutant: "epoch-start-ignored", limit: 10, foundBy: 6 },
  { mutant: "joins-below-high-watermark", limit: 10, foundBy: 6 },
  { mutant: "sync-skipped", limit: 5, foundBy: 1 },
  { mutant: "agreement-unchecked", limit: 5, foundBy: 2 },
  { mutant: "stale-node-epoch-accepted", limit: 140, foundBy: 57 },
  { mutant: "unfenced-leader", limit: 10, foundBy: 1 },
  { mutant: "waiter-survives-epoch", limit: 60, foundBy: 25 },
  { mutant: "lost-disk-keeps-place", limit: 20, foundBy: 6 },
  { mutant: "min-change-keeps-eligible", limit: 200, foundBy: 20 },
  { mutant: "isr-without-compare", limit: 60, foundBy: 5 },
  { mutant: "unclean-election", limit: 5, foundBy: 3 },
  { mutant: "lease-ignored", limit: 5, foundBy: 1 },
  { mutant: "damaged-leads", limit: 20, foundBy: 9 },
  { mutant: "joins-unregistered", limit: 20, foundBy: 9 },
  { mutant: "lost-directory-unnoticed", limit: 40, foundBy: 21 },
  { mutant: "epoch-survives-replica", limit: 100, foundBy: 17 },
  { mutant: "deletion-not-awaited", limit: 10, foundBy: 3 },
  { mutant: "low-watermark-early", limit: 20, foundBy: 3 },
  { mutant: "joins-below-log-start", limit: 40, foundBy: 8 },
  { mutant: "epoch-led-twice", limit: 60, foundBy: 4 },
  { mutant: "old-view-after-restart", limit: 120, foundBy: 58 },
  { mutant: "unknown-outcome-forgotten", limit: 30, foundBy: 6 },
  { mutant: "stale-leader-epoch-accepted", limit: 140, foundBy: 66 },
  { mutant: "former-owner-accepted", limit: 160, foundBy: 2 },
  { mutant: "owner-epoch-kept", limit: 10, foundBy: 2 },
  { mutant: "serves-before-replay", limit: 10, foundBy: 2 },
  { mutant: "offsets-forgotten", limit: 10, foundBy: 2 },
  { mutant: "loaded-without-fence", limit: 20, foundBy: 2 },
  { mutant: "unknown-outcome-ignored", limit: 60, foundBy: 12 },
  { mutant: "commit-answered-early", limit: 10, foundBy: 2 },
  { mutant: "fenced-member-commits", limit: 80, foundBy: 46 },
  { mutant: "held-partition-assigned", limit: 10, foundBy: 4 },
  { mutant: "revocation-not-awaited", limit: 80, foundBy: 40 },
  { mutant: "assignment-answered-early", limit: 10, foundBy: 2 },
];
