import { OttlaError } from "@ottla/errors";
import { groupIsGone, rebalanceInProgress, unknownMember, wrongGeneration } from "./classic-errors.ts";
import type { ClassicGroup } from "./classic-group.ts";
import type { SyncOutcome } from "./classic-member.ts";
import type { ClassicRebalance } from "./classic-rebalance.ts";
import { requireMember } from "./require-member.ts";

export interface SyncRequest {
  readonly groupId: string;
  readonly memberId: string;
  readonly instanceId?: string | undefined;
  readonly generation: number;
  readonly protocolType?: string | undefined;
  readonly protocolName?: string | undefined;
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[];
}

/** Gives a member its assignment, when the leader has brought it and it is durable. */
export function syncGroup(rebalance: ClassicRebalance, request: SyncRequest): Promise<SyncOutcome> {
  const { group } = rebalance;
  if (group.state === "Dead") throw groupIsGone(group.groupId);
  const member = requireMember(group, request.memberId, request.instanceId);
  if (request.generation !== group.generation) throw wrongGeneration(group.generation, request.generation);
  checkProtocol(group, request);
  switch (group.state) {
    case "PreparingRebalance":
      throw rebalanceInProgress();
    case "CompletingRebalance": {
      rebalance.synced(member);
      const answer = member.waitForAssignment();
      if (member.memberId === group.leaderId) {
        const assignments = new Map(
          request.assignments.map(({ memberId, assignment }) => [memberId, assignment] as const),
        );
        void rebalance.storeAssignments(assignments);
      }
      return answer;
    }
    case "Stable":
      rebalance.synced(member);
      member.session?.heard();
      return Promise.resolve(rebalance.assignmentOf(member));
    default:
      throw unknownMember(request.memberId);
  }
}

function checkProtocol(group: ClassicGroup, { protocolType, protocolName }: SyncRequest): void {
  const isType = protocolType === undefined || protocolType === group.protocolType;
  const isName = protocolName === undefined || protocolName === group.protocolName;
  if (isType && isName) return;
  throw new OttlaError(
    "INCONSISTENT_GROUP_PROTOCOL",
    `the group agreed on ${group.protocolType ?? ""}/${group.protocolName ?? ""}, ` +
      `not on ${protocolType ?? ""}/${protocolName ?? ""}`,
  );
}
