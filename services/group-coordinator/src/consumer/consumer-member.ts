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

/** What a member has said by the classic protocol (KIP-848's online migration). */
export interface ClassicMetadata {
  readonly sessionTimeoutMs: number;
  /** In its order of preference. */
  readonly supportedProtocols: readonly { readonly name: string; readonly metadata: Uint8Array }[];
}

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
  /** Null for a member that uses the consumer protocol itself. */
  readonly classic: ClassicMetadata | null;
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
    classic: null,
    memberEpoch: JOIN_EPOCH,
    previousMemberEpoch: JOIN_EPOCH,
    state: MemberState.STABLE,
    assigned: NO_PARTITIONS,
    pendingRevocation: NO_PARTITIONS,
  };
}

export function withMetadata(member: ConsumerMember, value: ConsumerMemberValue): ConsumerMember {
  const { classicMemberMetadata, ...metadata } = value;
  return { ...member, ...metadata, classic: classicMemberMetadata && copied(classicMemberMetadata) };
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

/** What came is a view of a request's frame or of a batch, which must not stay in memory for it. */
function copied({ sessionTimeoutMs, supportedProtocols }: ClassicMetadata): ClassicMetadata {
  return {
    sessionTimeoutMs,
    supportedProtocols: supportedProtocols.map(({ name, metadata }) => ({
      name,
      metadata: Uint8Array.from(metadata),
    })),
  };
}
