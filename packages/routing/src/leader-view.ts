/** What the router needs to know about a partition: who leads it, and in which epoch. */
export interface PartitionPlacement {
  /** The leader's node id; negative when there is none. */
  readonly leader: number;
  readonly leaderEpoch: number;
}

/** The part of `ClusterView` that routing uses. */
export interface LeaderView {
  partition(topicId: string, partition: number): PartitionPlacement | undefined;
  /** Catches up with the store: afterwards the view shows all that was committed before the call. */
  refresh(): Promise<unknown>;
}
