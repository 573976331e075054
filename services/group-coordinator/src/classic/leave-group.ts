import { type OttlaError, toOttlaError } from "@ottla/errors";
import { groupIsGone, unknownMember } from "./classic-errors.ts";
import type { ClassicRebalance } from "./classic-rebalance.ts";
import { requireMember } from "./require-member.ts";

export interface LeavingMember {
  /** Empty where a static member is named by its instance id alone. */
  readonly memberId: string;
  readonly instanceId?: string | undefined;
}

/** Takes members out; for each its id, and why it was refused if it was. */
export function leaveGroup(
  rebalance: ClassicRebalance,
  members: readonly LeavingMember[],
): { readonly memberId: string; readonly error: OttlaError | undefined }[] {
  if (rebalance.group.state === "Dead") throw groupIsGone(rebalance.group.groupId);
  return members.map((member) => {
    try {
      leave(rebalance, member);
      return { memberId: member.memberId, error: undefined };
    } catch (thrown) {
      return { memberId: member.memberId, error: toOttlaError(thrown) };
    }
  });
}

function leave(rebalance: ClassicRebalance, { memberId, instanceId }: LeavingMember): void {
  const { group } = rebalance;
  if (group.pendingMembers.has(memberId)) {
    if (instanceId !== undefined) throw unknownMember(memberId);
    rebalance.removePending(memberId);
    return;
  }
  const id =
    memberId === "" && instanceId !== undefined ? (group.staticMemberId(instanceId) ?? "") : memberId;
  const member = requireMember(group, id, instanceId);
  rebalance.removeMember(member, `member ${id} leaves`);
}
