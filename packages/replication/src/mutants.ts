/**
 * Deliberate bugs, for the tests that show that the checkers find them. No product code
 * passes any: a machine without the option has none.
 */
export type Mutant =
  /** The high watermark needs a majority instead of all of the maximal ISR (R4). */
  | "high-watermark-by-majority"
  /** A replica stops counting when its removal is proposed, not when it is committed (R4). */
  | "isr-counted-after-shrink"
  /** A replica being added counts only when that is committed (R4). */
  | "joining-replica-not-counted"
  /** The high watermark advances whatever the size of the ISR (R4). */
  | "min-isr-ignored"
  /** The latest offset is told before the high watermark has reached the start of the epoch (R5). */
  | "latest-before-epoch-start"
  /** A follower truncates to its high watermark instead of by epoch (R6). */
  | "truncate-by-high-watermark"
  /** A replica joins the ISR before it has reached the start of the leader's epoch (R7). */
  | "epoch-start-ignored"
  /** A replica joins the ISR before it has reached the high watermark (R7). */
  | "joins-below-high-watermark"
  /** A follower acknowledges what is not synced yet (R3). */
  | "sync-skipped"
  /** A leader does not check that a follower's log agrees with its own (R3). */
  | "agreement-unchecked"
  /** A leader counts acknowledgements of a former registration of a node (R2, R7). */
  | "stale-node-epoch-accepted"
  /** A leader counts acknowledgements from another term (R2). */
  | "stale-leader-epoch-accepted"
  /** A restarted node goes on as the leader that it was before (R2). */
  | "unfenced-leader"
  /** A restarted node acts on metadata from before its restart (R6). */
  | "old-view-after-restart"
  /** A node whose log was opened anew, without its unsynced end, leads the same epoch again (R2). */
  | "epoch-led-twice"
  /** Waiting replies are not failed when a term ends (R15). */
  | "waiter-survives-epoch"
  /** A leader without a lease changes the ISR and takes weak acks (R10). */
  | "lease-ignored"
  /** A proposal whose outcome is unknown is taken for refused (R4). */
  | "unknown-outcome-forgotten"
  /** DeleteRecords is answered while too few are in sync (R14). */
  | "low-watermark-early"
  /** DeleteRecords is answered when the leader alone has deleted (R14). */
  | "deletion-not-awaited"
  /** A replica joins the ISR before it has followed the leader's log start (R14). */
  | "joins-below-log-start"
  /** A replica with a hole leads (R12). */
  | "damaged-leads"
  /** A partition whose files went while its node was down is taken for a new one (R9). */
  | "lost-directory-unnoticed"
  /** A log takes what an owner appends whose epoch is over (R13). */
  | "former-owner-accepted";

export type Mutants = ReadonlySet<Mutant>;

export const NO_MUTANTS: Mutants = new Set();
