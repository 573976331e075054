import { OttlaError } from "@ottla/errors";
import { advanceMember } from "./advance-member.ts";
import { type ConsumerHeartbeat, checkHeartbeat } from "./check-heartbeat.ts";
import {
  type ConsumerMember,
  JOIN_EPOCH,
  LEAVE_EPOCH,
  LEFT_FOR_A_WHILE_EPOCH,
  MemberState,
  newMember,
} from "./consumer-member.ts";
import type { ConsumerMembership } from "./consumer-membership.ts";
import { ConsumerChanges } from "./consumer-records.ts";
import { checkRegex } from "./subscribed-regexes.ts";
import {
  fromLists,
  isAmong,
  NO_PARTITIONS,
  samePartitions,
  type TopicPartitionList,
  toLists,
} from "./topic-partitions.ts";

export interface ConsumerHeartbeatAnswer {
  readonly memberId: string;
  readonly memberEpoch: number;
  readonly heartbeatIntervalMs: number;
  /** What it may have now; undefined when that has not changed. */
  readonly assignment: readonly TopicPartitionList[] | undefined;
}

/**
 * Everything that a member of a consumer group says comes as a heartbeat (KIP-848): joining, leaving,
 * changing its subscription, giving partitions up. Answered when all that it brought about is durable.
 */
export async function consumerHeartbeat(
  membership: ConsumerMembership,
  heartbeat: ConsumerHeartbeat,
): Promise<ConsumerHeartbeatAnswer> {
  checkHeartbeat(heartbeat);
  if (heartbeat.memberEpoch < JOIN_EPOCH) return leave(membership, heartbeat);
  const { group, options } = membership;
  const { journal, limits } = options;
  const { subscribedTopicRegex: regex } = heartbeat;
  if (regex !== undefined && regex !== "") checkRegex(regex);
  const before = findMember(membership, heartbeat, limits.maxSize);
  const changes = new ConsumerChanges(group);
  const member = replaced(membership, before, heartbeat, changes);
  const updated = withHeartbeat(member, heartbeat);
  // In a new epoch, so that what still comes of its former self is fenced.
  const isAnew = before !== undefined && comesAnew(before, heartbeat);
  const owned = heartbeat.owned && fromLists(heartbeat.owned);
  const reconciled = advanceMember(membership, { before: member, updated, isAnew, owned }, changes);
  membership.watch(reconciled);
  if (heartbeat.memberEpoch === JOIN_EPOCH) membership.joined(reconciled);
  await changes.store(journal);
  const isTold =
    heartbeat.memberEpoch === JOIN_EPOCH ||
    isWhole(heartbeat) ||
    !samePartitions(before?.assigned ?? NO_PARTITIONS, reconciled.assigned);
  return {
    memberId: reconciled.memberId,
    memberEpoch: reconciled.memberEpoch,
    heartbeatIntervalMs: membership.config.consumerHeartbeatIntervalMs,
    assignment: isTold ? toLists(reconciled.assigned) : undefined,
  };
}

/** The member as it is known, or undefined for one that may join. Throws why it may not go on. */
function findMember(
  membership: ConsumerMembership,
  { memberId, memberEpoch, instanceId, owned }: ConsumerHeartbeat,
  maxSize: number,
): ConsumerMember | undefined {
  const { group, config } = membership;
  const joins = memberEpoch === JOIN_EPOCH;
  const known = instanceId === undefined ? group.member(memberId) : group.staticMember(instanceId);
  if (known === undefined) {
    if (!joins) throw unknownMember(memberId);
    if (group.size >= maxSize) throw full(maxSize);
    return undefined;
  }
  if (joins && instanceId !== undefined && known.memberId !== memberId) {
    if (hasMadeWay(known, memberId)) return known;
    const sessionTimeoutMs = known.classic?.sessionTimeoutMs ?? config.consumerSessionTimeoutMs;
    throw unreleased(known.memberId, instanceId, sessionTimeoutMs);
  }
  if (known.memberId !== memberId) {
    throw new OttlaError("FENCED_INSTANCE_ID", `member ${known.memberId} has taken over "${instanceId}"`);
  }
  // Who was fenced has given all up and comes anew; so does a static member that had left for a while.
  if (joins) return known;
  if (membership.isTakenOver(memberId, memberEpoch)) throw takenOver(memberId);
  checkEpoch(known, memberEpoch, owned);
  return known;
}

/**
 * The answer with the new epoch may have been lost: who comes with the one before, and has no more, goes on.
 */
function checkEpoch(
  member: ConsumerMember,
  given: number,
  owned: readonly TopicPartitionList[] | undefined,
): void {
  if (given === member.memberEpoch) return;
  const isLate = given < member.memberEpoch && given === member.previousMemberEpoch;
  if (isLate && owned !== undefined && isAmong(fromLists(owned), member.assigned)) return;
  throw new OttlaError(
    "FENCED_MEMBER_EPOCH",
    `epoch ${given} is not the member's, which is ${member.memberEpoch}: it has to give all up and join anew`,
  );
}

/** A known member joins: it was fenced, or its connection was lost. */
function comesAnew(member: ConsumerMember, heartbeat: ConsumerHeartbeat): boolean {
  return heartbeat.memberEpoch === JOIN_EPOCH && !hasMadeWay(member, heartbeat.memberId);
}

/** A static member that has left for a while, or whose new process has come with the other protocol. */
function hasMadeWay(member: ConsumerMember, comingId: string): boolean {
  if (member.memberEpoch === LEFT_FOR_A_WHILE_EPOCH) return true;
  return member.classic !== null && member.memberId !== comingId;
}

/**
 * Who comes again takes its own place: a known member that joins anew, and a static member that has left for
 * a while, perhaps under another id.
 */
function replaced(
  membership: ConsumerMembership,
  before: ConsumerMember | undefined,
  heartbeat: ConsumerHeartbeat,
  changes: ConsumerChanges,
): ConsumerMember {
  const { memberId } = heartbeat;
  if (before === undefined) return newMember(memberId);
  if (!hasMadeWay(before, memberId) && !comesAnew(before, heartbeat)) return before;
  const back: ConsumerMember = {
    ...before,
    memberId,
    memberEpoch: JOIN_EPOCH,
    previousMemberEpoch: JOIN_EPOCH,
    state: MemberState.STABLE,
    // Who joins has nothing.
    pendingRevocation: NO_PARTITIONS,
  };
  if (before.memberId !== memberId) membership.replace(before, back, changes);
  else changes.current(back);
  return back;
}

/** The member with what it says; what it does not say stays as it was. */
export function withHeartbeat(member: ConsumerMember, heartbeat: ConsumerHeartbeat): ConsumerMember {
  const { instanceId, rackId, client, rebalanceTimeoutMs, serverAssignor } = heartbeat;
  const { subscribedTopicNames: names, subscribedTopicRegex: regex } = heartbeat;
  return {
    ...member,
    ...client,
    instanceId: instanceId ?? member.instanceId,
    rackId: rackId ?? member.rackId,
    rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? member.rebalanceTimeoutMs : rebalanceTimeoutMs,
    serverAssignor: serverAssignor ?? member.serverAssignor,
    classic: heartbeat.memberEpoch === JOIN_EPOCH ? null : member.classic,
    subscribedTopicNames: names === undefined ? member.subscribedTopicNames : [...new Set(names)].toSorted(),
    subscribedTopicRegex: regex === undefined ? member.subscribedTopicRegex : regex === "" ? null : regex,
  };
}

/** It says everything, as after an error: so it is told everything. */
function isWhole(heartbeat: ConsumerHeartbeat): boolean {
  const { rebalanceTimeoutMs, subscribedTopicNames, subscribedTopicRegex, owned } = heartbeat;
  const subscribes = subscribedTopicNames !== undefined || subscribedTopicRegex !== undefined;
  return rebalanceTimeoutMs >= 0 && subscribes && owned !== undefined;
}

async function leave(
  membership: ConsumerMembership,
  { memberId, memberEpoch, instanceId }: ConsumerHeartbeat,
): Promise<ConsumerHeartbeatAnswer> {
  const { group, options } = membership;
  const known = instanceId === undefined ? group.member(memberId) : group.staticMember(instanceId);
  if (known === undefined) throw unknownMember(memberId);
  if (known.memberId !== memberId) {
    throw new OttlaError("FENCED_INSTANCE_ID", `member ${known.memberId} has taken over "${instanceId}"`);
  }
  if (memberEpoch === LEAVE_EPOCH) await membership.remove(memberId);
  else {
    const changes = new ConsumerChanges(group);
    const away = { ...known, memberEpoch: LEFT_FOR_A_WHILE_EPOCH, pendingRevocation: NO_PARTITIONS };
    changes.current(away);
    membership.watch({ ...away, state: MemberState.STABLE });
    await changes.store(options.journal);
  }
  const { consumerHeartbeatIntervalMs: heartbeatIntervalMs } = membership.config;
  return { memberId, memberEpoch, heartbeatIntervalMs, assignment: undefined };
}

/** Says how long it may be that a member which is lost still counts as living. */
function unreleased(memberId: string, instanceId: string, sessionTimeoutMs: number): OttlaError {
  const message = `member ${memberId} still uses the instance id "${instanceId}", which is for one at a time`;
  return new OttlaError("UNRELEASED_INSTANCE_ID", message, {
    metadata: { sessionTimeoutMs: String(sessionTimeoutMs) },
  });
}

/** Not one that has to join anew: it would take the place of who has just joined. */
function takenOver(memberId: string): OttlaError {
  const message = `another has joined as member ${memberId} since, and has its place: a member id is for one`;
  return new OttlaError("FENCED_MEMBER_EPOCH", message, { metadata: { takenOver: "true" } });
}

function unknownMember(memberId: string): OttlaError {
  return new OttlaError("UNKNOWN_MEMBER_ID", `the group does not know the member "${memberId}"`);
}

function full(maxSize: number): OttlaError {
  return new OttlaError(
    "GROUP_MAX_SIZE_REACHED",
    `the group has ${maxSize} members, which is groups.max-size`,
    {
      metadata: { limit: String(maxSize) },
    },
  );
}
