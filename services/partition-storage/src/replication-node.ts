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

/** A replica for which time may change something, as long as it says so. */
export interface TickedReplica {
  readonly needsTicks: boolean;
  /** It waits for an answer, or to ask again: ticks are to come soon. */
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
  /** Replicas put themselves here; who is restless is in both. */
  readonly ticked: Set<TickedReplica>;
  readonly restless: Set<TickedReplica>;
  readonly followerStreams: FollowerStreams;
  readonly leaderStreams: LeaderStreams;
  /** `done` is called exactly once, never at once. */
  proposeIsr(partition: PartitionRef, proposal: IsrProposal, done: (outcome: IsrOutcome) => void): void;
  report(partition: PartitionRef, report: ReplicaReport): void;
  /** The replica has all again that it had lost (R12): it is not reported any more. */
  withdrawDamage(partition: PartitionRef): void;
  countIsrChange(kind: "shrink" | "expand"): void;
  countResignation(reason: string): void;
}
