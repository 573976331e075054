import { ClassicGroup, CONSUMER_PROTOCOL_TYPE } from "../classic/classic-group.ts";
import { ClassicMember } from "../classic/classic-member.ts";
import { ConsumerGroup } from "../consumer/consumer-group.ts";
import { type ConsumerMember, newMember } from "../consumer/consumer-member.ts";
import { ConsumerChanges } from "../consumer/consumer-records.ts";
import type { GroupRecord } from "../group-record.ts";
import type { TopicCatalog } from "../topic-catalog.ts";
import { readAssignment, readSubscription, writeAssignment } from "./embedded-protocol.ts";

/** A group in the other protocol, and the records that make it so. */
export interface Converted<G> {
  readonly group: G;
  readonly records: readonly GroupRecord[];
}

/**
 * The group with the same members in the consumer protocol (KIP-848's online migration), among them those
 * that are away just now: each keeps its partitions, and its session. Undefined for a group whose members
 * share out something else than partitions.
 */
export function toConsumerGroup(
  classic: ClassicGroup,
  catalog: TopicCatalog,
): Converted<ConsumerGroup> | undefined {
  if (classic.protocolType !== CONSUMER_PROTOCOL_TYPE) return undefined;
  const members: ConsumerMember[] = [];
  for (const member of classic.members()) {
    const converted = toConsumerMember(member, classic, catalog);
    if (converted === undefined) return undefined;
    members.push(converted);
  }
  const group = new ConsumerGroup(classic.groupId);
  const changes = new ConsumerChanges(group);
  // The hash is that of no topics: who joins next finds another, and begins the next epoch.
  changes.groupEpoch(classic.generation, 0);
  for (const member of members) {
    changes.memberMetadata(member);
    changes.target(member.memberId, member.assigned);
    changes.current(member);
  }
  changes.targetEpoch(classic.generation, classic.stateSinceMs);
  const tombstone: GroupRecord = { kind: "group", groupId: classic.groupId, value: null };
  return { group, records: [tombstone, ...changes.records] };
}

function toConsumerMember(
  member: ClassicMember,
  { generation, protocolName }: ClassicGroup,
  catalog: TopicCatalog,
): ConsumerMember | undefined {
  const [preferred] = member.protocols;
  const metadata = protocolName === undefined ? preferred?.metadata : member.metadataFor(protocolName);
  const subscription = metadata && readSubscription(metadata, catalog);
  if (subscription === undefined) return undefined;
  return {
    ...newMember(member.memberId),
    instanceId: member.instanceId ?? null,
    rackId: subscription.rackId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    subscribedTopicNames: subscription.topics,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    memberEpoch: generation,
    previousMemberEpoch: generation,
    assigned: readAssignment(member.assignment, catalog),
    classic: { sessionTimeoutMs: member.sessionTimeoutMs, supportedProtocols: member.protocols },
  };
}

/** Whether nobody is left in the group who uses the consumer protocol. */
export function usesClassicOnly(group: ConsumerGroup): boolean {
  if (group.isEmpty) return false;
  for (const { classic } of group.members()) if (classic === null) return false;
  return true;
}

/** The classic group of the same members, all of which use that protocol; they have to be rebalanced. */
export function toClassicGroup(
  consumers: ConsumerGroup,
  catalog: TopicCatalog,
  nowMs: number,
): Converted<ClassicGroup> {
  const group = new ClassicGroup(consumers.groupId, nowMs);
  // That of the members that are where they should be: they are told to join again, and have lost nothing.
  group.generation = Math.max(...[...consumers.members()].map(({ memberEpoch }) => memberEpoch));
  for (const member of consumers.members()) {
    const protocols = member.classic?.supportedProtocols ?? [];
    const converted = new ClassicMember({
      memberId: member.memberId,
      instanceId: member.instanceId ?? undefined,
      clientId: member.clientId,
      clientHost: member.clientHost,
      sessionTimeoutMs: member.classic?.sessionTimeoutMs ?? 0,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      protocols,
    });
    converted.assignment = writeAssignment(member.assigned, protocols[0]?.metadata ?? NO_BYTES, catalog);
    group.add(converted, CONSUMER_PROTOCOL_TYPE);
  }
  group.protocolName = group.selectProtocol();
  group.moveTo("Stable", nowMs);
  const gone = new ConsumerChanges(new ConsumerGroup(consumers.groupId));
  for (const { memberId } of consumers.members()) gone.removeMember(memberId);
  return { group, records: [...gone.records, group.record()] };
}

const NO_BYTES = new Uint8Array(0);
