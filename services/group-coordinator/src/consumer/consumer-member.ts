import type { ConsumerCurrentValue, ConsumerMemberValue } from "../group-record.ts";
import { fromLists, NO_PARTITIONS, type TopicPartitions } from "./topic-partitions.ts";

/** Kafka's numbers, as records carry them. */
export const MemberState = {
  /** Has what its target says. */
  STABLE: 0,
  /** Has to give partitions up before it may come to the next epoch. */
  UNREVOKED_PARTITIONS: 1,
  /** Waits for partitions that their former owners have not given up yet. */
  UNRELEASED_PARTITIONS: 2,
} as const;

/** A member of a KIP-848 group as its records say. Never changed in place. */
export interface ConsumerMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly rackId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly subscribedTopicNames: readonly string[];
  readonly subscribedTopicRegex: string | null;
  readonly rebalanceTimeoutMs: number;
  readonly serverAssignor: string | null;
  readonly memberEpoch: number;
  readonly previousMemberEpoch: number;
  readonly state: number;
  /** What it may have now. */
  readonly assigned: TopicPartitions;
  /** What it has to give up, and is not known to have given up yet. */
  readonly pendingRevocation: TopicPartitions;
}

/** A static member that has left for a while: its partitions wait for it (KIP-848). */
export const LEFT_FOR_A_WHILE_EPOCH = -2;
export const LEAVE_EPOCH = -1;
export const JOIN_EPOCH = 0;

export function newMember(memberId: string): ConsumerMember {
  return {
    memberId,
    instanceId: null,
    rackId: null,
    clientId: "",
    clientHost: "",
    subscribedTopicNames: [],
    subscribedTopicRegex: null,
    rebalanceTimeoutMs: -1,
    serverAssignor: null,
    memberEpoch: JOIN_EPOCH,
    previousMemberEpoch: JOIN_EPOCH,
    state: MemberState.STABLE,
    assigned: NO_PARTITIONS,
    pendingRevocation: NO_PARTITIONS,
  };
}

export function withMetadata(member: ConsumerMember, value: ConsumerMemberValue): ConsumerMember {
  const { classicMemberMetadata: _, ...metadata } = value;
  return { ...member, ...metadata };
}

export function withCurrent(member: ConsumerMember, value: ConsumerCurrentValue): ConsumerMember {
  return {
    ...member,
    memberEpoch: value.memberEpoch,
    previousMemberEpoch: value.previousMemberEpoch,
    state: value.state,
    assigned: fromLists(value.assignedPartitions),
    pendingRevocation: fromLists(value.partitionsPendingRevocation),
  };
}
