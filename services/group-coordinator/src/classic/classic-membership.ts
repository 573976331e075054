import type { OttlaError } from "@ottla/errors";
import type { DescribedGroup, GroupMembership, OffsetClient } from "../group-membership.ts";
import type { GroupRecord } from "../group-record.ts";
import { groupIsGone, rebalanceInProgress, unknownMember, wrongGeneration } from "./classic-errors.ts";
import { CONSUMER_PROTOCOL_TYPE } from "./classic-group.ts";
import type { ClassicRebalance } from "./classic-rebalance.ts";
import { requireMember } from "./require-member.ts";

const NO_BYTES = new Uint8Array(0);

/** The members of a classic group. A group that has offsets and never had members is one without members. */
export class ClassicMembership implements GroupMembership {
  readonly type = "classic";
  readonly rebalance: ClassicRebalance;

  constructor(rebalance: ClassicRebalance) {
    this.rebalance = rebalance;
  }

  get state(): string {
    return this.rebalance.group.state;
  }

  get protocolType(): string {
    return this.rebalance.group.protocolType ?? "";
  }

  get memberCount(): number {
    return this.rebalance.group.size;
  }

  get isEmpty(): boolean {
    const { state, pendingMembers } = this.rebalance.group;
    return state === "Empty" && pendingMembers.size === 0;
  }

  get isStored(): boolean {
    return this.rebalance.group.generation > 0;
  }

  /** Members commit in their generation; who is no member only where there are none. */
  checkMayCommit({ memberId, instanceId, generationOrEpoch }: OffsetClient): void {
    const { group } = this.rebalance;
    if (group.state === "Dead") throw groupIsGone(group.groupId);
    if (generationOrEpoch < 0 && group.state === "Empty") return;
    if (generationOrEpoch < 0 && memberId === "" && instanceId === undefined) throw unknownMember(memberId);
    const member = requireMember(group, memberId, instanceId);
    if (generationOrEpoch !== group.generation) throw wrongGeneration(group.generation, generationOrEpoch);
    // It has its generation and not yet its assignment: what it commits may be another's by now.
    if (group.state === "CompletingRebalance") throw rebalanceInProgress();
    member.session?.heard();
  }

  checkMayFetch(): void {
    // Whoever asks: as in Kafka.
  }

  uses(topic: string): boolean | undefined {
    const { group } = this.rebalance;
    if (group.isEmpty) return false;
    return group.protocolType === CONSUMER_PROTOCOL_TYPE ? group.isSubscribedTo(topic) : undefined;
  }

  /** KIP-211: from when the last member left, or from the commit where there never was one. */
  unusedSinceMs(topic: string, committedAtMs: number): number | undefined {
    const { state, stateSinceMs, protocolType } = this.rebalance.group;
    if (state === "Empty") {
      return protocolType === undefined ? committedAtMs : Math.max(committedAtMs, stateSinceMs);
    }
    return state === "Stable" && this.uses(topic) === false ? committedAtMs : undefined;
  }

  /** What members say and got is shown where the group agrees on it. */
  describe(): DescribedGroup {
    const { group } = this.rebalance;
    const isStable = group.state === "Stable";
    return {
      type: this.type,
      state: group.state,
      protocolType: this.protocolType,
      protocol: isStable ? (group.protocolName ?? "") : "",
      generation: group.generation,
      members: group.members().map((member) => ({
        memberId: member.memberId,
        instanceId: member.instanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        metadata: isStable ? member.metadataFor(group.protocolName) : NO_BYTES,
        assignment: isStable ? member.assignment : NO_BYTES,
      })),
    };
  }

  tombstones(): GroupRecord[] {
    return this.isStored ? [{ kind: "group", groupId: this.rebalance.group.groupId, value: null }] : [];
  }

  close(reason: OttlaError): void {
    this.rebalance.close(reason);
  }
}
