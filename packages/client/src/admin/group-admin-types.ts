import type { TopicPartition } from "../consume/assigned-partition.ts";

export interface GroupListing {
  readonly group: string;
  /** Empty, Stable, PreparingRebalance, CompletingRebalance, Assigning or Reconciling. */
  readonly state: string;
  /** By which of Kafka's protocols its members share: "classic" or "consumer". */
  readonly type: string;
}

export interface GroupDescription extends GroupListing {
  readonly assignor: string;
  readonly members: readonly GroupMemberDescription[];
  readonly offsets: readonly GroupOffset[];
}

export interface GroupMemberDescription {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  readonly partitions: readonly TopicPartition[];
}

export interface GroupOffset extends TopicPartition {
  /** -1n when the group has none. */
  readonly committedOffset: bigint;
  /** -1n when the partition's leader does not answer. */
  readonly highWatermark: bigint;
  readonly logStartOffset: bigint;
  /** -1n when one of the two is not known. */
  readonly lag: bigint;
  /** The member that has the partition. */
  readonly memberId: string | undefined;
}
