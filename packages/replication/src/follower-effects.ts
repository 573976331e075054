import type { FollowerUpdate } from "./replication-messages.ts";

/**
 * diverged: the leader's log parts there (R6); damaged: what follows is broken here and
 * is fetched again (R12).
 */
export type TruncationReason = "diverged" | "damaged";

/** What the owner of a follower's state machine has to do, in this order. */
export type FollowerEffect =
  /**
   * To the leader of the term, on the stream to its node. Of several for one stream turn the later ones win.
   */
  | { readonly kind: "sendUpdate"; readonly update: FollowerUpdate }
  /** The batches that came with the answer go to the log, as they are. */
  | { readonly kind: "appendRecords"; readonly baseOffset: number; readonly nextOffset: number }
  /** Then `onTruncated`. Below the high watermark only after an unclean election or damage. */
  | {
      readonly kind: "truncate";
      readonly offset: number;
      readonly reason: TruncationReason;
      readonly isBelowHighWatermark: boolean;
    }
  /** Forget all records and begin anew at the offset, then `onTruncated`: the leader has nothing older. */
  | { readonly kind: "restartAt"; readonly offset: number }
  /** R14: the leader's log begins there. */
  | { readonly kind: "deleteRecordsBefore"; readonly offset: number }
  /** Readers of this replica may see records below (it is never beyond what is synced here). */
  | { readonly kind: "advanceHighWatermark"; readonly highWatermark: number }
  /** All that this replica had is there again, on disk: its mark goes, it may lead (R12). */
  | { readonly kind: "damageRepaired" }
  /** The two logs contradict each other in a way that the rules exclude: someone must look. */
  | { readonly kind: "cannotFollow"; readonly message: string };
