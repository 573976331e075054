import { groupIsGone, rebalanceInProgress, unknownMember, wrongGeneration } from "./classic-errors.ts";
import type { ClassicGroup } from "./classic-group.ts";
import { requireMember } from "./require-member.ts";

export interface HeartbeatRequest {
  readonly groupId: string;
  readonly memberId: string;
  readonly instanceId?: string | undefined;
  readonly generation: number;
}

/** Notes that a member lives, and throws REBALANCE_IN_PROGRESS when it is to join again. */
export function heartbeat(group: ClassicGroup, request: HeartbeatRequest): void {
  if (group.state === "Dead") throw groupIsGone(group.groupId);
  const member = requireMember(group, request.memberId, request.instanceId);
  if (request.generation !== group.generation) throw wrongGeneration(group.generation, request.generation);
  if (group.state === "Empty") throw unknownMember(request.memberId);
  member.session?.heard();
  if (group.state === "PreparingRebalance") throw rebalanceInProgress();
}
