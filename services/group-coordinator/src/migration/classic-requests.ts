import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  fencedInstance,
  rebalanceInProgress,
  unknownMember,
  wrongGeneration,
} from "../classic/classic-errors.ts";
import { CONSUMER_PROTOCOL_TYPE } from "../classic/classic-group.ts";
import type { JoinOutcome, SyncOutcome } from "../classic/classic-member.ts";
import type { HeartbeatRequest } from "../classic/heartbeat.ts";
import type { JoinContext, JoinRequest } from "../classic/join-group.ts";
import type { LeavingMember } from "../classic/leave-group.ts";
import type { SyncRequest } from "../classic/sync-group.ts";
import { advanceMember } from "../consumer/advance-member.ts";
import type { ConsumerGroup } from "../consumer/consumer-group.ts";
import {
  type ClassicMetadata,
  type ConsumerMember,
  JOIN_EPOCH,
  MemberState,
  newMember,
} from "../consumer/consumer-member.ts";
import type { ConsumerMembership } from "../consumer/consumer-membership.ts";
import { ConsumerChanges } from "../consumer/consumer-records.ts";
import { isAmong, NO_PARTITIONS, type TopicPartitions } from "../consumer/topic-partitions.ts";
import { type ClassicSubscription, readSubscription, writeAssignment } from "./embedded-protocol.ts";

/*
 * Requests of members that use the classic protocol in a group of the consumer protocol (KIP-848's online
 * migration). To such a member the server is a leader that assigns: its generation is its epoch, a
 * rebalance in progress is a step towards its target, and no other member waits for it.
 */

type ClassicInMixed = ConsumerMember & { readonly classic: ClassicMetadata };

/** Joins a member, new or known; it is answered at once, for its own step alone. */
export async function joinMixedGroup(
  membership: ConsumerMembership,
  request: JoinRequest,
  { random, limits, journal }: JoinContext,
): Promise<JoinOutcome> {
  const { group, options } = membership;
  const subscription = checkProtocols(group, request, options.catalog);
  const known = findJoining(group, request);
  if (known === undefined && group.size >= limits.maxSize) {
    throw new OttlaError(
      "GROUP_MAX_SIZE_REACHED",
      `the group has ${limits.maxSize} members, which is groups.max-size`,
      { metadata: { limit: String(limits.maxSize) } },
    );
  }
  const isNew = request.memberId === "";
  const memberId = isNew ? newId(request, random.uuid()) : request.memberId;
  if (isNew && request.instanceId === undefined && request.requiresKnownMemberId) {
    throw new OttlaError("MEMBER_ID_REQUIRED", "join again with the member id given", {
      metadata: { member_id: memberId },
    });
  }
  const changes = new ConsumerChanges(group);
  const before = takeOver(membership, known, memberId, changes);
  const updated = withJoin(before, request, subscription);
  const owned = ownedBy(before, subscription);
  const reconciled = advanceMember(membership, { before, updated, isAnew: false, owned }, changes);
  membership.watch(reconciled);
  membership.expectSync(reconciled);
  await changes.store(journal);
  return {
    memberId,
    generation: reconciled.memberEpoch,
    protocolType: CONSUMER_PROTOCOL_TYPE,
    protocolName: request.protocols[0]?.name,
    // Nobody is: the server assigns.
    leaderId: "",
    skipAssignment: false,
    members: [],
  };
}

/** Gives a member what it may have now. */
export async function syncMixedGroup(
  membership: ConsumerMembership,
  request: SyncRequest,
): Promise<SyncOutcome> {
  const { group, options } = membership;
  const member = requireClassic(group, request.memberId, request.instanceId);
  checkGeneration(member, request.generation);
  const [preferred] = member.classic.supportedProtocols;
  const { protocolType = CONSUMER_PROTOCOL_TYPE, protocolName = preferred?.name ?? "" } = request;
  const used = member.classic.supportedProtocols.find(({ name }) => name === protocolName);
  if (protocolType !== CONSUMER_PROTOCOL_TYPE || used === undefined) {
    throw new OttlaError(
      "INCONSISTENT_GROUP_PROTOCOL",
      `the member joined with other protocols than ${protocolType}/${protocolName}`,
    );
  }
  membership.watch(member);
  membership.synced(member.memberId);
  const assignment = writeAssignment(member.assigned, used.metadata, options.catalog);
  // What is in memory may be ahead of the log.
  await options.journal.flushed();
  return { protocolType, protocolName, assignment };
}

/** Notes that a member lives; throws REBALANCE_IN_PROGRESS when there is a step for it to take. */
export function heartbeatMixedGroup(membership: ConsumerMembership, request: HeartbeatRequest): void {
  const { group } = membership;
  const member = requireClassic(group, request.memberId, request.instanceId);
  checkGeneration(member, request.generation);
  membership.watch(member);
  if (!hasStepToTake(group, member)) return;
  membership.expectJoin(member);
  throw rebalanceInProgress();
}

/** Takes members out; for each its id, and why it was refused if it was. */
export async function leaveMixedGroup(
  membership: ConsumerMembership,
  members: readonly LeavingMember[],
): Promise<{ readonly memberId: string; readonly error: OttlaError | undefined }[]> {
  const leaving: Promise<{ memberId: string; error: OttlaError | undefined }>[] = [];
  for (const { memberId, instanceId } of members) {
    const leave = async (): Promise<void> => {
      // An operator may name a static member of either protocol by its instance id alone.
      const named = memberId === "" && instanceId !== undefined;
      const known = named ? membership.group.staticMember(instanceId) : undefined;
      const member = known ?? requireClassic(membership.group, memberId, instanceId);
      await membership.remove(member.memberId);
    };
    leaving.push(
      leave().then(
        () => ({ memberId, error: undefined }),
        (thrown: unknown) => ({ memberId, error: toOttlaError(thrown) }),
      ),
    );
  }
  return Promise.all(leaving);
}

/** Who is to give partitions up has to say that it has; who waits for others' is told when they are free. */
function hasStepToTake(group: ConsumerGroup, member: ConsumerMember): boolean {
  if (member.memberEpoch < group.groupEpoch || member.state === MemberState.UNREVOKED_PARTITIONS) return true;
  if (member.state !== MemberState.UNRELEASED_PARTITIONS) return false;
  for (const [topicId, partitions] of group.targetOf(member.memberId)) {
    for (const partition of partitions) {
      const isItsOwn = member.assigned.get(topicId)?.has(partition) === true;
      if (!isItsOwn && !group.isHeld(topicId, partition)) return true;
    }
  }
  return false;
}

/** Throws INCONSISTENT_GROUP_PROTOCOL where it has no assignor in common with the other classic members. */
function checkProtocols(
  group: ConsumerGroup,
  { memberId, protocolType, protocols }: JoinRequest,
  catalog: Parameters<typeof readSubscription>[1],
): ClassicSubscription {
  let common = new Set(protocols.map(({ name }) => name));
  for (const member of group.members()) {
    if (member.classic === null || member.memberId === memberId) continue;
    common = common.intersection(new Set(member.classic.supportedProtocols.map(({ name }) => name)));
  }
  const [preferred] = protocols;
  const subscription = preferred && readSubscription(preferred.metadata, catalog);
  if (protocolType === CONSUMER_PROTOCOL_TYPE && common.size > 0 && subscription !== undefined) {
    return subscription;
  }
  throw new OttlaError(
    "INCONSISTENT_GROUP_PROTOCOL",
    "the member has no assignor in common with the other classic members, or shares out no partitions",
  );
}

/** Who is in the member's place now. A static member takes its own, by whichever protocol it held it. */
function findJoining(
  group: ConsumerGroup,
  { memberId, instanceId }: JoinRequest,
): ConsumerMember | undefined {
  if (instanceId === undefined) {
    const member = group.member(memberId);
    if (member !== undefined && member.classic === null) throw unknownMember(memberId);
    return member;
  }
  const known = group.staticMember(instanceId);
  if (memberId === "" || known?.memberId === memberId) return known;
  throw known === undefined ? unknownMember(memberId) : fencedInstance(instanceId);
}

function takeOver(
  membership: ConsumerMembership,
  known: ConsumerMember | undefined,
  memberId: string,
  changes: ConsumerChanges,
): ConsumerMember {
  if (known === undefined) return newMember(memberId);
  if (known.memberId === memberId) return known;
  const back: ConsumerMember = {
    ...known,
    memberId,
    memberEpoch: JOIN_EPOCH,
    previousMemberEpoch: JOIN_EPOCH,
    state: MemberState.STABLE,
    pendingRevocation: NO_PARTITIONS,
  };
  membership.replace(known, back, changes);
  return back;
}

function withJoin(
  member: ConsumerMember,
  request: JoinRequest,
  subscription: ClassicSubscription,
): ConsumerMember {
  const { client, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, protocols } = request;
  return {
    ...member,
    ...client,
    instanceId: instanceId ?? member.instanceId,
    rackId: subscription.rackId,
    rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs,
    serverAssignor: null,
    subscribedTopicNames: subscription.topics,
    subscribedTopicRegex: null,
    classic: { sessionTimeoutMs, supportedProtocols: protocols },
  };
}

/** What it names and was never given, it cannot have: then it has nothing. */
function ownedBy(member: ConsumerMember, { owned }: ClassicSubscription): TopicPartitions {
  const given = new Map(member.assigned);
  for (const [topicId, partitions] of member.pendingRevocation) {
    given.set(topicId, partitions.union(given.get(topicId) ?? new Set()));
  }
  return isAmong(owned, given) ? owned : NO_PARTITIONS;
}

function requireClassic(
  group: ConsumerGroup,
  memberId: string,
  instanceId: string | undefined,
): ClassicInMixed {
  if (instanceId !== undefined) {
    const current = group.staticMember(instanceId);
    if (current === undefined) throw unknownMember(memberId);
    if (current.memberId !== memberId) throw fencedInstance(instanceId);
  }
  const member = group.member(memberId);
  if (member === undefined || !isClassic(member)) throw unknownMember(memberId);
  return member;
}

function isClassic(member: ConsumerMember): member is ClassicInMixed {
  return member.classic !== null;
}

function checkGeneration({ memberEpoch }: ConsumerMember, given: number): void {
  if (given !== memberEpoch) throw wrongGeneration(memberEpoch, given);
}

function newId({ instanceId, client }: JoinRequest, uuid: string): string {
  return `${instanceId ?? client?.clientId ?? ""}-${uuid}`;
}
