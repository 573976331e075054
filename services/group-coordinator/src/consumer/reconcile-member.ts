import { type ConsumerMember, MemberState } from "./consumer-member.ts";
import { haveCommon, NO_PARTITIONS, PartitionCollector, type TopicPartitions } from "./topic-partitions.ts";

export interface Reconciliation {
  readonly targetEpoch: number;
  readonly target: TopicPartitions;
  /** What the member says it has; undefined when it says nothing. */
  readonly owned: TopicPartitions | undefined;
  /** Whether some member has the partition, or has yet to give it up. */
  readonly isHeld: (topicId: string, partition: number) => boolean;
}

/**
 * The next step of one member towards its target (KIP-848): it first gives up what it is to give up and stays
 * in its epoch until it has; then it comes to the target's epoch and gets what nobody else holds any more.
 * So no partition ever has two owners, and members that nothing changes for go on undisturbed.
 */
export function reconcileMember(member: ConsumerMember, to: Reconciliation): ConsumerMember {
  switch (member.state) {
    case MemberState.STABLE:
      return member.memberEpoch === to.targetEpoch ? member : nextStep(member, to);
    case MemberState.UNREVOKED_PARTITIONS:
      return holds(to.owned, member.pendingRevocation) ? member : nextStep(member, to);
    default:
      return nextStep(member, to);
  }
}

function nextStep(member: ConsumerMember, to: Reconciliation): ConsumerMember {
  const kept = new PartitionCollector();
  const revoked = new PartitionCollector();
  const added = new PartitionCollector();
  let waitsForOthers = false;
  for (const [topicId, partitions] of member.assigned) {
    const wanted = to.target.get(topicId);
    for (const partition of partitions) {
      if (wanted?.has(partition) === true) kept.add(topicId, partition);
      else revoked.add(topicId, partition);
    }
  }
  for (const [topicId, partitions] of to.target) {
    const had = member.assigned.get(topicId);
    const givenUp = member.pendingRevocation.get(topicId);
    for (const partition of partitions) {
      if (had?.has(partition) === true) continue;
      // What the member itself has just given up is free for it.
      if (to.isHeld(topicId, partition) && givenUp?.has(partition) !== true) waitsForOthers = true;
      else added.add(topicId, partition);
    }
  }
  if (!revoked.isEmpty && holds(to.owned, revoked.partitions)) {
    return {
      ...member,
      state: MemberState.UNREVOKED_PARTITIONS,
      previousMemberEpoch: member.memberEpoch,
      assigned: kept.partitions,
      pendingRevocation: revoked.partitions,
    };
  }
  for (const [topicId, partitions] of added.partitions) {
    for (const partition of partitions) kept.add(topicId, partition);
  }
  return {
    ...member,
    state: waitsForOthers ? MemberState.UNRELEASED_PARTITIONS : MemberState.STABLE,
    memberEpoch: to.targetEpoch,
    previousMemberEpoch: member.memberEpoch,
    assigned: kept.partitions,
    pendingRevocation: NO_PARTITIONS,
  };
}

/** A member that does not say what it has may have it still. */
function holds(owned: TopicPartitions | undefined, partitions: TopicPartitions): boolean {
  return owned === undefined || haveCommon(owned, partitions);
}
