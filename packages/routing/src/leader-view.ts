import type { PartitionRef } from "./ask-leaders.ts";

/** What the router needs to know about a partition: who leads it, and in which epoch, and who has it too. */
export interface PartitionPlacement {
  /** The leader's node id; negative when there is none. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
}

/** What has changed in the view; the rest of what `ClusterView` tells is not needed here. */
export interface LeaderChange {
  readonly partitions: readonly PartitionRef[];
  readonly nodes: readonly { readonly role: string; readonly nodeId: number }[];
}

/** The part of `ClusterView` that routing uses. */
export interface LeaderView {
  partition(topicId: string, partition: number): PartitionPlacement | undefined;
  /** The registration of a storage node, undefined while it has none. */
  node(role: "partition-storage", nodeId: number): { readonly zone: string } | undefined;
  /** Catches up with the store: afterwards the view shows all that was committed before the call. */
  refresh(): Promise<unknown>;
  /** Calls the listener after each change; returns a function that ends it. */
  onChange(listener: (change: LeaderChange) => void): () => void;
}

/** A leader in its epoch (R2). */
export type LeaderTerm = Pick<PartitionPlacement, "leader" | "leaderEpoch">;

export function isSameTerm(one: LeaderTerm | undefined, other: LeaderTerm | undefined): boolean {
  return one?.leader === other?.leader && one?.leaderEpoch === other?.leaderEpoch;
}
