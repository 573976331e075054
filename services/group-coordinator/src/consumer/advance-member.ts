import type { ConsumerMember } from "./consumer-member.ts";
import type { ConsumerMembership } from "./consumer-membership.ts";
import type { ConsumerChanges } from "./consumer-records.ts";
import { metadataHash, updateTarget } from "./consumer-target.ts";
import { reconcileMember } from "./reconcile-member.ts";
import { resolveRegexes } from "./subscribed-regexes.ts";
import { NO_PARTITIONS, type TopicPartitions } from "./topic-partitions.ts";

export interface MemberAdvance {
  readonly before: ConsumerMember;
  /** With what it has just said about itself. */
  readonly updated: ConsumerMember;
  /** It has lost what it had: others must learn of it, whatever it says. */
  readonly isAnew: boolean;
  /** What it says it has; undefined when it says nothing. */
  readonly owned: TopicPartitions | undefined;
}

/**
 * Notes what a member says about itself, makes the group's target where that changes it, and takes the member
 * its next step towards it. Returns it as it is then.
 */
export function advanceMember(
  membership: ConsumerMembership,
  { before, updated, isAnew, owned }: MemberAdvance,
  changes: ConsumerChanges,
): ConsumerMember {
  const { group, options } = membership;
  const { catalog, clock, mutants } = options;
  const { memberId } = updated;
  const isSubscriptionNew =
    isAnew || group.member(memberId) === undefined || subscriptionDiffers(before, updated);
  if (isSubscriptionNew || metadataDiffers(before, updated)) changes.memberMetadata(updated);
  if (
    resolveRegexes(group, catalog, changes, clock.now()) ||
    isSubscriptionNew ||
    membership.isCatalogNew()
  ) {
    const hash = metadataHash(group, catalog);
    if (isSubscriptionNew || hash !== group.metadataHash) changes.groupEpoch(group.groupEpoch + 1, hash);
  }
  if (group.groupEpoch > group.targetEpoch) updateTarget(group, catalog, changes, clock.now());
  const present = group.member(memberId) ?? updated;
  const reconciled = reconcileMember(present, {
    targetEpoch: group.targetEpoch,
    target: group.targetOf(memberId),
    owned: mutants.has("revocation-not-awaited") ? NO_PARTITIONS : owned,
    isHeld: (topicId, partition) =>
      group.isHeld(topicId, partition) && !mutants.has("held-partition-assigned"),
  });
  if (reconciled !== present) changes.current(reconciled);
  return reconciled;
}

function subscriptionDiffers(left: ConsumerMember, right: ConsumerMember): boolean {
  return (
    left.subscribedTopicRegex !== right.subscribedTopicRegex ||
    left.subscribedTopicNames.length !== right.subscribedTopicNames.length ||
    left.subscribedTopicNames.some((name, index) => name !== right.subscribedTopicNames[index])
  );
}

function metadataDiffers(left: ConsumerMember, right: ConsumerMember): boolean {
  return (
    left.instanceId !== right.instanceId ||
    left.rackId !== right.rackId ||
    left.clientId !== right.clientId ||
    left.clientHost !== right.clientHost ||
    left.rebalanceTimeoutMs !== right.rebalanceTimeoutMs ||
    left.serverAssignor !== right.serverAssignor ||
    left.classic !== right.classic
  );
}
