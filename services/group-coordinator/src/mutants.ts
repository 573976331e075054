/**
 * Deliberate bugs, for the tests that show that the checkers find them. No product code passes any: a
 * group-coordinator without the option has none.
 */
export type GroupMutant =
  /** A new owner serves before it has read all that is below its fence (R13). */
  | "serves-before-replay"
  /** A new owner reads members and forgets offsets (R13). */
  | "offsets-forgotten"
  /** Groups are loaded again without a higher owner epoch (R13). */
  | "loaded-without-fence"
  /** After an append whose outcome is unknown the owner goes on (R13). */
  | "unknown-outcome-ignored"
  /** A commit is answered before it is durable. */
  | "commit-answered-early"
  /** Who commits in a generation or an epoch that is over is not refused. */
  | "fenced-member-commits"
  /** A partition is given to another member before its former one has given it up (KIP-848). */
  | "held-partition-assigned"
  /** A member's partitions are taken for given up when it is told to (KIP-848). */
  | "revocation-not-awaited"
  /** A member gets its share of a classic group before that is durable. */
  | "assignment-answered-early";

export type GroupMutants = ReadonlySet<GroupMutant>;

export const NO_MUTANTS: GroupMutants = new Set();
