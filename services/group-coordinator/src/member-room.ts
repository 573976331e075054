import { type MemberProtocol, protocolsBytes } from "./classic/classic-member.ts";
import type { JoinRequest } from "./classic/join-group.ts";
import type { ConsumerHeartbeat } from "./consumer/check-heartbeat.ts";
import { memberBytes } from "./consumer/consumer-bytes.ts";
import { withHeartbeat } from "./consumer/consumer-heartbeat.ts";
import { JOIN_EPOCH, newMember } from "./consumer/consumer-member.ts";
import type { ConsumerMembership } from "./consumer/consumer-membership.ts";
import type { Group } from "./group.ts";
import type { MemberBudget } from "./member-budget.ts";

/*
 * Whether the node has room for what a member says. Asked before anything of the group changes: who is
 * refused must not have made it, nor have changed its protocol.
 */

/** Throws COORDINATOR_NOT_AVAILABLE where there is no room for what a member of a classic group says. */
export function requireRoomToJoin(
  group: Group | undefined,
  request: Pick<JoinRequest, "memberId" | "instanceId" | "client" | "protocols">,
  budget: MemberBudget,
): void {
  const known = group && protocolsSaid(group, request);
  const growthBytes = protocolsBytes(request.protocols);
  if (known !== undefined) budget.requireRoom(growthBytes - protocolsBytes(known), "member");
  else budget.requireRoom(growthBytes + namesBytes(request), "new member");
}

/** What it said before; undefined for a new member. A static one takes the place of its former self. */
function protocolsSaid(
  { rebalance, consumers }: Group,
  { memberId, instanceId }: Pick<JoinRequest, "memberId" | "instanceId">,
): readonly MemberProtocol[] | undefined {
  if (rebalance !== undefined) {
    const { group } = rebalance;
    const id = instanceId === undefined ? memberId : (group.staticMemberId(instanceId) ?? memberId);
    return group.member(id)?.protocols;
  }
  const member =
    instanceId === undefined ? consumers?.group.member(memberId) : consumers?.group.staticMember(instanceId);
  return member && (member.classic?.supportedProtocols ?? []);
}

function namesBytes({ memberId, client }: Pick<JoinRequest, "memberId" | "client">): number {
  return memberId.length + (client?.clientId.length ?? 0) + (client?.clientHost.length ?? 0);
}

/** Throws COORDINATOR_NOT_AVAILABLE where there is no room for what a member of a consumer group says. */
export function requireRoomToSubscribe(
  consumers: ConsumerMembership | undefined,
  heartbeat: ConsumerHeartbeat,
  budget: MemberBudget,
): void {
  const { memberId, memberEpoch, instanceId, subscribedTopicNames, subscribedTopicRegex } = heartbeat;
  const subscribes = subscribedTopicNames !== undefined || subscribedTopicRegex !== undefined;
  if (memberEpoch < JOIN_EPOCH || !subscribes) return;
  const group = consumers?.group;
  const known = instanceId === undefined ? group?.member(memberId) : group?.staticMember(instanceId);
  const saysBytes = memberBytes(withHeartbeat(known ?? newMember(memberId), heartbeat));
  if (known === undefined) budget.requireRoom(saysBytes, "new member");
  else budget.requireRoom(saysBytes - memberBytes(known), "member");
}
