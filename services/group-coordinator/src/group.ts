import { ClassicMembership } from "./classic/classic-membership.ts";
import type { ClassicRebalance } from "./classic/classic-rebalance.ts";
import { CommittedOffsets } from "./committed-offsets.ts";
import { ConsumerMembership } from "./consumer/consumer-membership.ts";
import type { GroupMembership } from "./group-membership.ts";

/** One consumer group: its members, by one of the two protocols, and its offsets. */
export class Group {
  readonly groupId: string;
  readonly offsets = new CommittedOffsets();
  /** Changes with the protocol of the members. */
  membership: GroupMembership;

  constructor(groupId: string, membership: GroupMembership) {
    this.groupId = groupId;
    this.membership = membership;
  }

  /** Undefined where its members use the other protocol. */
  get rebalance(): ClassicRebalance | undefined {
    return this.membership instanceof ClassicMembership ? this.membership.rebalance : undefined;
  }

  /** Undefined where its members use the other protocol. */
  get consumers(): ConsumerMembership | undefined {
    return this.membership instanceof ConsumerMembership ? this.membership : undefined;
  }

  /** Nobody would miss it. */
  get isVoid(): boolean {
    return this.membership.isEmpty && this.offsets.isEmpty;
  }
}
