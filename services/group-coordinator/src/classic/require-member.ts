import { fencedInstance, unknownMember } from "./classic-errors.ts";
import type { ClassicGroup } from "./classic-group.ts";
import type { ClassicMember } from "./classic-member.ts";

/**
 * The member of that id. Throws UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID where another member has its
 * instance id now (KIP-345).
 */
export function requireMember(
  group: ClassicGroup,
  memberId: string,
  instanceId: string | undefined,
): ClassicMember {
  if (instanceId !== undefined) {
    const current = group.staticMemberId(instanceId);
    if (current === undefined) throw unknownMember(memberId);
    if (current !== memberId) throw fencedInstance(instanceId);
  }
  const member = group.member(memberId);
  if (member === undefined) throw unknownMember(memberId);
  return member;
}
