import type { FollowerEffect } from "./follower-effects.ts";
import type { LeaderEffect } from "./leader-effects.ts";

/** What the owner of a replica's state machine has to do, in this order. */
export type ReplicaEffect =
  | LeaderEffect
  | FollowerEffect
  /** This node leads from now on: the log notes the epoch before anything is appended. */
  | { readonly kind: "becomeLeader"; readonly leaderEpoch: number }
  /** -1 when there is nobody to follow. */
  | { readonly kind: "becomeFollower"; readonly leader: number; readonly leaderEpoch: number }
  /** The partition's replicas do not name this node any more. Files go on the coordinator's word only. */
  | { readonly kind: "leaveReplicas" }
  /**
   * To be kept on disk until `damageRepaired`, and told to the coordinator: this replica must not lead (R12).
   */
  | { readonly kind: "reportDamage"; readonly fromOffset: number };
