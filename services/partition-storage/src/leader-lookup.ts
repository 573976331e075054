import type { PartitionLeader } from "./partition-leader.ts";
import type { ReadableReplica } from "./readable-replica.ts";

/** How the service finds the leaders on this node. */
export interface LeaderLookup {
  /** The leader, when this node leads the partition right now in at least that epoch; -1 for any. */
  find(topicId: string, partition: number, leaderEpoch: number): PartitionLeader | undefined;
  /** What readers near this node may be answered by: the leader, or a follower (KIP-392). */
  findReadable(topicId: string, partition: number): ReadableReplica | undefined;
  /**
   * Catches up with the metadata store and waits a little for the partition to be led
   * here. Rejects with a refusal that says why it is not: the partition does not exist,
   * another node leads it, or its log is not open yet.
   */
  waitFor(topicId: string, partition: number, leaderEpoch: number): Promise<PartitionLeader>;
}
