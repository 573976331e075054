import type { ClassicGroup } from "./classic/classic-group.ts";
import type { ClassicRebalance } from "./classic/classic-rebalance.ts";
import { CommittedOffsets } from "./committed-offsets.ts";

/** One consumer group: its members, and its offsets, which may be there without members. */
export class Group {
  readonly groupId: string;
  readonly rebalance: ClassicRebalance;
  readonly offsets = new CommittedOffsets();

  constructor(groupId: string, rebalance: ClassicRebalance) {
    this.groupId = groupId;
    this.rebalance = rebalance;
  }

  get classic(): ClassicGroup {
    return this.rebalance.group;
  }

  /** Nobody would miss it: it has neither members nor offsets, and nobody is about to join. */
  get isVoid(): boolean {
    return this.classic.state === "Empty" && this.classic.pendingMembers.size === 0 && this.offsets.isEmpty;
  }
}
