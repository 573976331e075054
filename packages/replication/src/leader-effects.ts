import type { ErrorCode } from "@ottla/errors";
import type { IsrProposal } from "./in-sync-replicas.ts";
import type { PositionAnswer } from "./replication-messages.ts";

/** What the owner of a leader's state machine has to do, in this order. */
export type LeaderEffect =
  /** Records below are visible now; replies that waited for them go out, and followers are told. */
  | { readonly kind: "advanceHighWatermark"; readonly highWatermark: number }
  /** All in-sync replicas begin there or later: `DeleteRecords` that waited are answered (R14). */
  | { readonly kind: "advanceLowWatermark"; readonly logStartOffset: number }
  | { readonly kind: "proposeIsr"; readonly proposal: IsrProposal }
  /** When accepted, records are sent from `fromOffset` on, under the follower's position version. */
  | {
      readonly kind: "answerPosition";
      readonly nodeId: number;
      readonly nodeEpoch: number;
      readonly fromOffset: number;
      readonly answer: PositionAnswer;
    }
  /**
   * The follower is told that its update did not count; what was being sent to it under another epoch ends.
   */
  | {
      readonly kind: "refuseUpdate";
      readonly nodeId: number;
      readonly nodeEpoch: number;
      readonly answer: PositionAnswer;
    }
  /** All replies and fetches that wait in this term fail with the code (R15). */
  | { readonly kind: "failWaiters"; readonly code: ErrorCode; readonly message: string }
  /**
   * This node leads no longer, though the metadata says that it does: the coordinator is to choose another.
   */
  | { readonly kind: "resign"; readonly leaderEpoch: number; readonly reason: ResignReason };

export type ResignReason = "damaged-log" | "log-failed" | "fenced";
