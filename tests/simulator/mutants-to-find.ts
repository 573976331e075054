import type { CoordinatorMutant } from "@ottla/coordinator";
import type { GroupMutant } from "@ottla/group-coordinator";
import type { Mutant as ReplicationMutant } from "@ottla/replication";

/** The deliberate bugs that the simulator must find. */
export type Mutant = ReplicationMutant | CoordinatorMutant | GroupMutant;

export interface MutantToFind {
  readonly mutant: Mutant;
  /** Within so many seeds, beginning with 1. */
  readonly limit: number;
  /** The first seed that found it when all were run last: `make simulate-mutants` says where that has changed. */
  readonly foundBy: number;
}

/** What the simulator finds, and how soon. The model of `@ottla/replication` finds many of them in seconds. */
export const MUTANTS: readonly MutantToFind[] = [
  { mutant: "high-watermark-by-majority", limit: 5, foundBy: 0 },
  { mutant: "isr-counted-after-shrink", limit: 30, foundBy: 0 },
  { mutant: "joining-replica-not-counted", limit: 5, foundBy: 0 },
  { mutant: "min-isr-ignored", limit: 5, foundBy: 0 },
  { mutant: "latest-before-epoch-start", limit: 10, foundBy: 0 },
  { mutant: "truncate-by-high-watermark", limit: 10, foundBy: 0 },
  { mutant: "epoch-start-ignored", limit: 60, foundBy: 0 },
  { mutant: "joins-below-high-watermark", limit: 10, foundBy: 0 },
  { mutant: "sync-skipped", limit: 5, foundBy: 0 },
  { mutant: "agreement-unchecked", limit: 5, foundBy: 0 },
  { mutant: "stale-node-epoch-accepted", limit: 140, foundBy: 0 },
  { mutant: "unfenced-leader", limit: 10, foundBy: 0 },
  { mutant: "waiter-survives-epoch", limit: 60, foundBy: 0 },
  { mutant: "lost-disk-keeps-place", limit: 20, foundBy: 0 },
  { mutant: "min-change-keeps-eligible", limit: 200, foundBy: 0 },
  { mutant: "isr-without-compare", limit: 60, foundBy: 0 },
  { mutant: "unclean-election", limit: 5, foundBy: 0 },
  { mutant: "lease-ignored", limit: 5, foundBy: 0 },
  { mutant: "damaged-leads", limit: 20, foundBy: 0 },
  { mutant: "joins-unregistered", limit: 20, foundBy: 0 },
  { mutant: "lost-directory-unnoticed", limit: 100, foundBy: 0 },
  { mutant: "epoch-survives-replica", limit: 100, foundBy: 0 },
  { mutant: "deletion-not-awaited", limit: 20, foundBy: 0 },
  { mutant: "low-watermark-early", limit: 20, foundBy: 0 },
  { mutant: "joins-below-log-start", limit: 20, foundBy: 0 },
  { mutant: "epoch-led-twice", limit: 60, foundBy: 0 },
  { mutant: "old-view-after-restart", limit: 30, foundBy: 0 },
  { mutant: "unknown-outcome-forgotten", limit: 30, foundBy: 0 },
  { mutant: "stale-leader-epoch-accepted", limit: 60, foundBy: 0 },
  { mutant: "former-owner-accepted", limit: 200, foundBy: 0 },
  { mutant: "owner-epoch-kept", limit: 10, foundBy: 0 },
  { mutant: "serves-before-replay", limit: 10, foundBy: 0 },
  { mutant: "offsets-forgotten", limit: 10, foundBy: 0 },
  { mutant: "loaded-without-fence", limit: 20, foundBy: 0 },
  { mutant: "unknown-outcome-ignored", limit: 120, foundBy: 0 },
  { mutant: "commit-answered-early", limit: 10, foundBy: 0 },
  { mutant: "fenced-member-commits", limit: 80, foundBy: 0 },
  { mutant: "held-partition-assigned", limit: 10, foundBy: 0 },
  { mutant: "revocation-not-awaited", limit: 80, foundBy: 0 },
  { mutant: "assignment-answered-early", limit: 100, foundBy: 0 },
];
