import { OttlaError } from "@ottla/errors";

/** The refusals that the requests of classic groups share. */

export function unknownMember(memberId: string): OttlaError {
  return new OttlaError(
    "UNKNOWN_MEMBER_ID",
    `the group does not know the member "${memberId.slice(0, 300)}"`,
  );
}

export function groupIsGone(groupId: string): OttlaError {
  return new OttlaError("COORDINATOR_NOT_AVAILABLE", `group "${groupId}" has just been removed`);
}

export function rebalanceInProgress(): OttlaError {
  return new OttlaError("REBALANCE_IN_PROGRESS", "the group rebalances: join again");
}

export function fencedInstance(instanceId: string): OttlaError {
  return new OttlaError(
    "FENCED_INSTANCE_ID",
    `another member has taken over the instance id "${instanceId}"`,
  );
}

export function wrongGeneration(generation: number, given: number): OttlaError {
  return new OttlaError(
    "ILLEGAL_GENERATION",
    `generation ${given} is not the group's, which is ${generation}`,
  );
}
