import { consumerProtocolSubscription } from "@ottla/kafka-protocol";
import type { GroupMetadataValue, GroupRecord } from "../group-record.ts";
import { MemberBytes } from "../member-budget.ts";
import { ClassicMember, type JoinedMember, type MemberProtocol, protocolsBytes } from "./classic-member.ts";

/** Kafka's names. "Dead" is a group that is gone: its object is used by nobody any more. */
export type ClassicState = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable" | "Dead";

/** The protocol type of groups whose members share out partitions of topics. */
export const CONSUMER_PROTOCOL_TYPE = "consumer";

/**
 * A classic group: its members, its generation and what they agreed on. Without time and without requests;
 * those are in `ClassicRebalance`.
 */
export class ClassicGroup {
  readonly groupId: string;
  #state: ClassicState = "Empty";
  /** Wall clock: it is stored, and offsets of an empty group expire by it. */
  #stateSinceMs: number;
  generation = 0;
  protocolType: string | undefined;
  protocolName: string | undefined;
  leaderId: string | undefined;
  readonly #members = new Map<string, ClassicMember>();
  readonly #staticMembers = new Map<string, string>();
  /** Of members, and of the ids of those that may become members. */
  readonly bytes = new MemberBytes();
  readonly #pendingMembers = new Set<string>();
  /** Were given an id and have not joined with it yet (KIP-394). */
  readonly pendingMembers: ReadonlySet<string> = this.#pendingMembers;
  /** Of the present generation, and have not asked for their assignment yet. */
  readonly pendingSync = new Set<string>();
  /** While the first members of a group gather: whether another has come. */
  newMemberAdded = false;
  #subscribedTopics: ReadonlySet<string> | undefined;

  constructor(groupId: string, nowMs: number) {
    this.groupId = groupId;
    this.#stateSinceMs = nowMs;
  }

  get state(): ClassicState {
    return this.#state;
  }

  get stateSinceMs(): number {
    return this.#stateSinceMs;
  }

  get size(): number {
    return this.#members.size;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  moveTo(state: ClassicState, nowMs: number): void {
    this.#state = state;
    this.#stateSinceMs = nowMs;
  }

  member(memberId: string): ClassicMember | undefined {
    return this.#members.get(memberId);
  }

  has(memberId: string): boolean {
    return this.#members.has(memberId);
  }

  members(): readonly ClassicMember[] {
    return [...this.#members.values()];
  }

  /** The id of the member that has the instance id now. */
  staticMemberId(instanceId: string): string | undefined {
    return this.#staticMembers.get(instanceId);
  }

  add(member: ClassicMember, protocolType: string): void {
    if (this.isEmpty) this.protocolType = protocolType;
    this.bytes.change(member.bytes - (this.#members.get(member.memberId)?.bytes ?? 0));
    this.#members.set(member.memberId, member);
    if (member.instanceId !== undefined) this.#staticMembers.set(member.instanceId, member.memberId);
    this.leaderId ??= member.memberId;
    this.removePending(member.memberId);
  }

  addPending(memberId: string): void {
    if (!this.#pendingMembers.has(memberId)) this.bytes.change(memberId.length);
    this.#pendingMembers.add(memberId);
  }

  /** Whether it was pending. */
  removePending(memberId: string): boolean {
    const isKnown = this.#pendingMembers.delete(memberId);
    if (isKnown) this.bytes.change(-memberId.length);
    return isKnown;
  }

  setProtocols(member: ClassicMember, protocols: readonly MemberProtocol[]): void {
    this.bytes.change(protocolsBytes(protocols) - protocolsBytes(member.protocols));
    member.protocols = protocols;
  }

  setAssignment(member: ClassicMember, assignment: Uint8Array): void {
    this.bytes.change(assignment.byteLength - member.assignment.byteLength);
    member.assignment = assignment;
  }

  remove(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member === undefined) return;
    this.bytes.change(-member.bytes);
    this.#members.delete(memberId);
    this.pendingSync.delete(memberId);
    const { instanceId } = member;
    if (instanceId !== undefined && this.#staticMembers.get(instanceId) === memberId) {
      this.#staticMembers.delete(instanceId);
    }
    if (this.leaderId === memberId) this.leaderId = this.#members.keys().next().value;
  }

  /** A static member has come back under a new id: it takes the old one's place, the leader's too. */
  replaceStatic(oldMemberId: string, replacement: ClassicMember): void {
    const wasLeader = this.leaderId === oldMemberId;
    this.bytes.change(replacement.bytes - (this.#members.get(oldMemberId)?.bytes ?? 0));
    this.#members.delete(oldMemberId);
    this.pendingSync.delete(oldMemberId);
    this.#members.set(replacement.memberId, replacement);
    if (replacement.instanceId !== undefined) {
      this.#staticMembers.set(replacement.instanceId, replacement.memberId);
    }
    if (wasLeader) this.leaderId = replacement.memberId;
  }

  get joiningCount(): number {
    let count = 0;
    for (const member of this.#members.values()) if (member.isJoining) count += 1;
    return count;
  }

  /** All that may come have come. */
  get hasAllJoined(): boolean {
    return this.pendingMembers.size === 0 && this.joiningCount === this.#members.size;
  }

  /** The slowest member says how long a rebalance may take. */
  get rebalanceTimeoutMs(): number {
    let longestMs = 0;
    for (const { rebalanceTimeoutMs } of this.#members.values()) {
      longestMs = Math.max(longestMs, rebalanceTimeoutMs);
    }
    return longestMs;
  }

  /** Whether a member with these protocols could be part of the group. */
  supports(protocolType: string, protocols: readonly MemberProtocol[]): boolean {
    if (protocolType === "" || protocols.length === 0) return false;
    if (this.isEmpty) return true;
    if (protocolType !== this.protocolType) return false;
    const common = this.#commonProtocols();
    return protocols.some(({ name }) => common.has(name));
  }

  /** The protocol that most members like best of those that all can do. */
  selectProtocol(): string | undefined {
    const candidates = this.#commonProtocols();
    const votes = new Map<string, number>();
    for (const member of this.#members.values()) {
      const choice = member.vote(candidates);
      if (choice !== undefined) votes.set(choice, (votes.get(choice) ?? 0) + 1);
    }
    let elected: string | undefined;
    for (const [name, count] of votes) {
      if (elected === undefined || count > (votes.get(elected) ?? 0)) elected = name;
    }
    return elected;
  }

  /** The leader goes on if it has joined; otherwise another that has becomes it. False when none has. */
  electJoinedLeader(): boolean {
    const leader = this.leaderId === undefined ? undefined : this.#members.get(this.leaderId);
    if (leader?.isJoining === true) return true;
    const next = this.members().find((member) => member.isJoining);
    if (next === undefined) return false;
    this.leaderId = next.memberId;
    return true;
  }

  beginGeneration(nowMs: number): void {
    this.generation += 1;
    this.pendingSync.clear();
    if (this.isEmpty) {
      this.protocolName = undefined;
      this.#subscribedTopics = new Set();
      this.moveTo("Empty", nowMs);
      return;
    }
    this.protocolName = this.selectProtocol();
    this.#subscribedTopics = this.#topicsOfMembers();
    this.moveTo("CompletingRebalance", nowMs);
  }

  /** For the leader: everybody's metadata for the chosen protocol. */
  joinedMembers(): JoinedMember[] {
    return this.members().map((member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      metadata: member.metadataFor(this.protocolName),
    }));
  }

  /** Whether members consume the topic; true when it cannot be known. */
  isSubscribedTo(topic: string): boolean {
    if (this.protocolType !== CONSUMER_PROTOCOL_TYPE) return false;
    return this.#subscribedTopics?.has(topic) ?? true;
  }

  /** What is stored of the group, with assignments that are not in force yet or those that are. */
  record(assignments?: ReadonlyMap<string, Uint8Array>): GroupRecord {
    const { groupId, generation } = this;
    return {
      kind: "group",
      groupId,
      value: {
        protocolType: this.protocolType ?? "",
        generation,
        protocol: this.protocolName ?? null,
        leader: this.leaderId ?? null,
        currentStateTimestamp: this.#stateSinceMs,
        members: this.members().map((member) => ({
          memberId: member.memberId,
          groupInstanceId: member.instanceId ?? null,
          clientId: member.clientId,
          clientHost: member.clientHost,
          rebalanceTimeout: member.rebalanceTimeoutMs,
          sessionTimeout: member.sessionTimeoutMs,
          subscription: member.metadataFor(this.protocolName),
          assignment: assignments?.get(member.memberId) ?? member.assignment,
        })),
      },
    };
  }

  static fromRecord(groupId: string, value: GroupMetadataValue, nowMs: number): ClassicGroup {
    const group = new ClassicGroup(groupId, value.currentStateTimestamp);
    group.generation = value.generation;
    group.protocolType = value.protocolType === "" ? undefined : value.protocolType;
    group.protocolName = value.protocol ?? undefined;
    for (const stored of value.members) {
      const member = new ClassicMember({
        memberId: stored.memberId,
        instanceId: stored.groupInstanceId ?? undefined,
        clientId: stored.clientId,
        clientHost: stored.clientHost,
        sessionTimeoutMs: stored.sessionTimeout,
        rebalanceTimeoutMs: stored.rebalanceTimeout < 0 ? stored.sessionTimeout : stored.rebalanceTimeout,
        protocols: [{ name: value.protocol ?? "", metadata: stored.subscription }],
      });
      member.assignment = stored.assignment;
      group.add(member, value.protocolType);
    }
    group.leaderId = value.leader ?? undefined;
    const sinceMs = value.currentStateTimestamp < 0 ? nowMs : value.currentStateTimestamp;
    group.moveTo(group.isEmpty ? "Empty" : "Stable", sinceMs);
    group.#subscribedTopics = group.#topicsOfMembers();
    return group;
  }

  #commonProtocols(): Set<string> {
    let common: Set<string> | undefined;
    for (const { protocols } of this.#members.values()) {
      const names = new Set(protocols.map(({ name }) => name));
      common = common === undefined ? names : common.intersection(names);
    }
    return common ?? new Set();
  }

  /** Undefined when a member's subscription cannot be read, as in groups with protocols of their own. */
  #topicsOfMembers(): ReadonlySet<string> | undefined {
    if (this.protocolType !== CONSUMER_PROTOCOL_TYPE) return undefined;
    const topics = new Set<string>();
    try {
      for (const member of this.#members.values()) {
        const metadata = member.metadataFor(this.protocolName);
        for (const topic of subscribedTopics(metadata)) topics.add(topic);
      }
    } catch {
      return undefined;
    }
    return topics;
  }
}

/** Versions above those that we know begin in the same way. */
function subscribedTopics(metadata: Uint8Array): readonly string[] {
  const version = ((metadata[0] ?? 0) << 8) | (metadata[1] ?? 0);
  const known = Math.min(version, consumerProtocolSubscription.versions.to);
  return consumerProtocolSubscription.decodeBody(metadata, known).topics;
}
