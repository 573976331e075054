/**
 * Deliberate bugs, for the tests that show that the checkers find them. No product code passes any: a
 * coordinator without the option has none.
 */
export type CoordinatorMutant =
  /** A node with another directory keeps its place (R9). */
  | "lost-disk-keeps-place"
  /** A changed min.insync.replicas leaves the eligible replicas as they are (R4). */
  | "min-change-keeps-eligible"
  /** The partition epoch of an ISR change is not compared (R1). */
  | "isr-without-compare"
  /** Leaders come from all replicas (R8). */
  | "unclean-election"
  /** Who is to join the ISR is not compared with its registration (R7). */
  | "joins-unregistered"
  /** A new owner of groups gets the owner epoch of the one before (R13). */
  | "owner-epoch-kept"
  /** A replica that is taken away does not end the leader epoch (R3). */
  | "epoch-survives-replica";

export type CoordinatorMutants = ReadonlySet<CoordinatorMutant>;

export const NO_MUTANTS: CoordinatorMutants = new Set();
