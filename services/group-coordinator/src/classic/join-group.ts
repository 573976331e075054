import { invalidRequest, OttlaError } from "@ottla/errors";
import type { Random } from "@ottla/runtime";
import type { GroupJournal } from "../group-journal.ts";
import { type GroupLimits, MAX_ID_BYTES, MAX_PROTOCOLS_BYTES } from "../group-limits.ts";
import { groupIsGone, unknownMember } from "./classic-errors.ts";
import { ClassicMember, type JoinOutcome, type MemberProtocol, protocolsBytes } from "./classic-member.ts";
import type { ClassicRebalance } from "./classic-rebalance.ts";
import { requireMember } from "./require-member.ts";

export interface JoinRequest {
  readonly groupId: string;
  readonly memberId: string;
  readonly instanceId?: string | undefined;
  readonly client?: { readonly clientId: string; readonly clientHost: string } | undefined;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly MemberProtocol[];
  readonly requiresKnownMemberId: boolean;
  readonly supportsSkippingAssignment: boolean;
}

export interface JoinContext {
  readonly random: Random;
  readonly limits: GroupLimits;
  readonly journal: GroupJournal;
}

/**
 * Throws INVALID_SESSION_TIMEOUT for a session that is too short or too long, INVALID_REQUEST for long names
 * and for protocols that no group can store.
 */
export function checkJoin(request: JoinRequest, limits: GroupLimits): void {
  const { client, instanceId, protocolType, protocols } = request;
  const names = [
    client?.clientId,
    client?.clientHost,
    instanceId,
    protocolType,
    ...protocols.map((p) => p.name),
  ];
  for (const name of names) {
    if (name !== undefined && Buffer.byteLength(name) > MAX_ID_BYTES) {
      throw invalidRequest("protocols", `a name is longer than ${MAX_ID_BYTES} bytes`, MAX_ID_BYTES);
    }
  }
  if (protocolsBytes(protocols) > MAX_PROTOCOLS_BYTES) {
    throw invalidRequest(
      "protocols",
      `have more than ${MAX_PROTOCOLS_BYTES} bytes together`,
      MAX_PROTOCOLS_BYTES,
    );
  }
  const { minSessionTimeoutMs: min, maxSessionTimeoutMs: max } = limits;
  const { sessionTimeoutMs } = request;
  if (sessionTimeoutMs >= min && sessionTimeoutMs <= max) return;
  throw new OttlaError(
    "INVALID_SESSION_TIMEOUT",
    `session.timeout.ms ${sessionTimeoutMs} is not allowed: it must be from ${min} to ${max}`,
    { metadata: { field: "session_timeout_ms", limit: `${min}-${max}` } },
  );
}

/** Joins a member, new or known; answered when the next generation begins, or at once where none has to. */
export function joinGroup(
  rebalance: ClassicRebalance,
  request: JoinRequest,
  context: JoinContext,
): Promise<JoinOutcome> {
  const { group } = rebalance;
  if (group.state === "Dead") throw groupIsGone(group.groupId);
  checkRoom(rebalance, request.memberId, context.limits);
  checkProtocolsSize(rebalance, request, context.limits);
  if (!group.supports(request.protocolType, request.protocols)) {
    throw new OttlaError(
      "INCONSISTENT_GROUP_PROTOCOL",
      `the group's protocol type is "${group.protocolType ?? ""}", and it has no assignor in common with the member`,
    );
  }
  return request.memberId === ""
    ? joinNewMember(rebalance, request, context)
    : joinKnownMember(rebalance, request);
}

function checkRoom({ group }: ClassicRebalance, memberId: string, { maxSize }: GroupLimits): void {
  const member = group.member(memberId);
  const taken = group.state === "PreparingRebalance" ? group.joiningCount : group.size;
  const isKnown = group.state === "PreparingRebalance" ? member?.isJoining === true : member !== undefined;
  // Ids that were given out count too: clients that never come back with them must not fill memory.
  if (isKnown || (taken < maxSize && group.pendingMembers.size <= maxSize)) return;
  throw new OttlaError(
    "GROUP_MAX_SIZE_REACHED",
    `the group has ${maxSize} members, which is groups.max-size`,
    {
      metadata: { limit: String(maxSize) },
    },
  );
}

/** Throws GROUP_MAX_SIZE_REACHED where the group would have more to keep of its members than it can store. */
function checkProtocolsSize(
  { group }: ClassicRebalance,
  { memberId, instanceId, protocols }: JoinRequest,
  { maxSize }: GroupLimits,
): void {
  let bytes = protocolsBytes(protocols);
  // Small ones are bounded by the count of members: most joins need not look at all the others.
  if (bytes <= MAX_PROTOCOLS_BYTES / maxSize) return;
  const replacedId = instanceId === undefined ? memberId : group.staticMemberId(instanceId);
  for (const member of group.members()) {
    if (member.memberId !== replacedId) bytes += protocolsBytes(member.protocols);
  }
  if (bytes <= MAX_PROTOCOLS_BYTES) return;
  throw new OttlaError(
    "GROUP_MAX_SIZE_REACHED",
    `the members' protocols have more than ${MAX_PROTOCOLS_BYTES} bytes together: subscribe to fewer topics`,
    { metadata: { limit: String(MAX_PROTOCOLS_BYTES) } },
  );
}

function joinNewMember(
  rebalance: ClassicRebalance,
  request: JoinRequest,
  context: JoinContext,
): Promise<JoinOutcome> {
  const { instanceId, client } = request;
  const memberId = `${instanceId ?? client?.clientId ?? ""}-${context.random.uuid()}`;
  if (instanceId !== undefined) {
    const oldId = rebalance.group.staticMemberId(instanceId);
    const old = oldId === undefined ? undefined : rebalance.group.member(oldId);
    const member = newMember(memberId, request);
    if (old !== undefined) return rejoinStatic(rebalance, old, member, request, context.journal);
    return rebalance.addMember(member, request.protocolType);
  }
  if (request.requiresKnownMemberId) {
    rebalance.addPending(memberId, request.sessionTimeoutMs);
    throw new OttlaError("MEMBER_ID_REQUIRED", "join again with the member id given", {
      metadata: { member_id: memberId },
    });
  }
  return rebalance.addMember(newMember(memberId, request), request.protocolType);
}

function joinKnownMember(rebalance: ClassicRebalance, request: JoinRequest): Promise<JoinOutcome> {
  const { group } = rebalance;
  const { memberId, instanceId } = request;
  if (group.pendingMembers.has(memberId)) {
    if (instanceId !== undefined) throw unknownMember(memberId);
    return rebalance.addMember(newMember(memberId, request), request.protocolType);
  }
  const member = requireMember(group, memberId, instanceId);
  switch (group.state) {
    case "PreparingRebalance":
      return rejoin(rebalance, member, request);
    case "CompletingRebalance":
      // The answer to its join may have been lost: where nothing changed it gets the same again.
      if (!member.matches(request.protocols)) return rejoin(rebalance, member, request);
      return Promise.resolve(rebalance.outcomeFor(member));
    case "Stable":
      if (member.memberId === group.leaderId || !member.matches(request.protocols)) {
        return rejoin(rebalance, member, request);
      }
      return Promise.resolve(rebalance.outcomeFor(member));
    default:
      throw unknownMember(memberId);
  }
}

function rejoin(
  rebalance: ClassicRebalance,
  member: ClassicMember,
  request: JoinRequest,
): Promise<JoinOutcome> {
  const before = rebalance.group.state;
  update(rebalance, member, request);
  member.session?.heard();
  const joined = member.waitForGeneration();
  if (before !== "PreparingRebalance") rebalance.prepareIfPossible(`member ${member.memberId} joins again`);
  rebalance.completeIfAllJoined();
  return joined;
}

/**
 * A static member that returns in a stable group goes on with its old assignment, without a rebalance, as
 * long as that does not change the protocol that the group has chosen (KIP-345).
 */
async function rejoinStatic(
  rebalance: ClassicRebalance,
  old: ClassicMember,
  member: ClassicMember,
  request: JoinRequest,
  journal: GroupJournal,
): Promise<JoinOutcome> {
  const { group } = rebalance;
  const formerLeaderId = group.leaderId ?? "";
  rebalance.replaceMember(old, member);
  if (group.state === "Stable" && group.selectProtocol() === group.protocolName) {
    await journal.append([group.record()]);
    const outcome = rebalance.outcomeFor(member);
    // Who cannot be told to skip it must not take itself for the leader, which would assign anew.
    if (!request.supportsSkippingAssignment) return { ...outcome, leaderId: formerLeaderId, members: [] };
    return { ...outcome, skipAssignment: group.leaderId === member.memberId };
  }
  const joined = member.waitForGeneration();
  rebalance.prepareIfPossible(`static member ${member.memberId} came back with other protocols`);
  rebalance.completeIfAllJoined();
  return joined;
}

function newMember(memberId: string, request: JoinRequest): ClassicMember {
  return new ClassicMember({
    memberId,
    instanceId: request.instanceId,
    clientId: request.client?.clientId ?? "",
    clientHost: request.client?.clientHost ?? "",
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: rebalanceTimeoutOf(request),
    protocols: copied(request.protocols),
  });
}

function update({ group }: ClassicRebalance, member: ClassicMember, request: JoinRequest): void {
  member.sessionTimeoutMs = request.sessionTimeoutMs;
  member.rebalanceTimeoutMs = rebalanceTimeoutOf(request);
  group.setProtocols(member, copied(request.protocols));
}

/** Old clients have one timeout for both. */
function rebalanceTimeoutOf({ rebalanceTimeoutMs, sessionTimeoutMs }: JoinRequest): number {
  return rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs;
}

/** What came is a view of the request's frame, which must not stay in memory for it. */
function copied(protocols: readonly MemberProtocol[]): MemberProtocol[] {
  return protocols.map(({ name, metadata }) => ({ name, metadata: Uint8Array.from(metadata) }));
}
