export type { FollowerEffect, TruncationReason } from "./follower-effects.ts";
export type { ReplicaLag } from "./follower-progress.ts";
export {
  type FollowerLimits,
  type FollowerPhase,
  FollowerState,
  type FollowerStateOptions,
} from "./follower-state.ts";
export { nextHighWatermark, type ReplicaProgress } from "./high-watermark.ts";
export type { IsrOutcome, IsrProposal, IsrRefusal } from "./in-sync-replicas.ts";
export type { LeaderEffect, ResignReason } from "./leader-effects.ts";
export {
  type LeaderLimits,
  LeaderState,
  type LeaderStateOptions,
  type RequiredAcks,
} from "./leader-state.ts";
export type { Mutant, Mutants } from "./mutants.ts";
export { type OwnerEpochStart, OwnerEpochs } from "./owner-epochs.ts";
export type { NodeIdentity, PartitionTerm, RegisteredNodes } from "./partition-term.ts";
export type { ReplicaEffect } from "./replica-effects.ts";
export { type EpochEnd, epochBefore, NO_EPOCH, type ReplicaLog } from "./replica-log.ts";
export {
  type ReplicaLimits,
  type ReplicaRole,
  ReplicaState,
  type ReplicaStateOptions,
} from "./replica-state.ts";
export type {
  Acknowledgement,
  AnswerHead,
  FetchPosition,
  FollowerUpdate,
  PositionAnswer,
  PositionOutcome,
  RecordsAnswer,
  ReplicationRefusal,
} from "./replication-messages.ts";
