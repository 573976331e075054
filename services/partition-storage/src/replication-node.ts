import type {
  IsrOutcome,
  IsrProposal,
  Mutants,
  NodeIdentity,
  RegisteredNodes,
  ReplicaLimits,
} from "@ottla/replication";
import type { FollowerStreams, LeaderStreams } from "./replication/replica-seams.ts";

export interface PartitionRef {
  readonly topicId: string;
  readonly partition: number;
}

/** What the coordinator is told of a replica until the metadata shows that it has heard. */
export type ReplicaReport =
  /** Records from there on are lost or damaged (R12). */
  | { readonly kind: "damaged"; readonly fromOffset: number }
  /** This node leads in that epoch no longer. */
  | { readonly kind: "resigned"; readonly leaderEpoch: number };

/** A replica that waits to ask again, as long as it says so. */
export interface RestlessReplica {
  readonly isRestless: boolean;
  onTick(): void;
}

/** What all replicas of a node share: who the node is, and how they reach others. */
export interface ReplicationNode {
  readonly nodeId: number;
  /** Undefined before the node has registered for the first time. */
  readonly identity: NodeIdentity | undefined;
  readonly hasLease: boolean;
  readonly nodes: RegisteredNodes;
  readonly limits: ReplicaLimits;
  readonly mutants: Mutants | undefined;
  /** Replicas put themselves here. */
  readonly restless: Set<RestlessReplica>;
  readonly followerStreams: FollowerStreams;
  readonly leaderStreams: LeaderStreams;
  /** `done` is called exactly once, never at once. */
  proposeIsr(partition: PartitionRef, proposal: IsrProposal, done: (outcome: IsrOutcome) => void): void;
  report(partition: PartitionRef, report: ReplicaReport): void;
  countIsrChange(kind: "shrink" | "expand"): void;
  countResignation(reason: string): void;
}
