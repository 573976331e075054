import type { TopicCatalog } from "../topic-catalog.ts";
import { ASSIGNORS, DEFAULT_ASSIGNOR, type MemberToAssign } from "./assignor.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerChanges } from "./consumer-records.ts";
import { samePartitions } from "./topic-partitions.ts";

/** Makes the target that fits the group's epoch: who is to have which partitions in the end. */
export function updateTarget(
  group: ConsumerGroup,
  catalog: TopicCatalog,
  changes: ConsumerChanges,
  nowMs: number,
): void {
  const counts = new Map<string, number>();
  const members: MemberToAssign[] = [];
  const idsOf = new Map<string, string>();
  for (const name of group.subscribedTopics()) {
    const topic = catalog.find(name);
    if (topic === undefined) continue;
    idsOf.set(name, topic.topicId);
    counts.set(topic.topicId, topic.partitionCount);
  }
  for (const member of group.members()) {
    const names = new Set<string>();
    group.addTopicsOf(member, names);
    const topicIds = new Set([...names].flatMap((name) => idsOf.get(name) ?? []));
    const { memberId, instanceId } = member;
    members.push({ memberId, instanceId, topicIds, before: group.targetOf(memberId) });
  }
  const assign = ASSIGNORS.get(preferredAssignor(group));
  if (assign === undefined) throw new Error("the group prefers an assignor that does not exist");
  for (const [memberId, target] of assign(members, counts)) {
    if (!samePartitions(target, group.targetOf(memberId))) changes.target(memberId, target);
  }
  changes.targetEpoch(group.groupEpoch, nowMs);
}

/** The one that most members ask for; the default while nobody asks. */
export function preferredAssignor(group: ConsumerGroup): string {
  const votes = new Map<string, number>();
  let preferred = DEFAULT_ASSIGNOR;
  for (const { serverAssignor } of group.members()) {
    if (serverAssignor === null || !ASSIGNORS.has(serverAssignor)) continue;
    const count = (votes.get(serverAssignor) ?? 0) + 1;
    votes.set(serverAssignor, count);
    if (count > (votes.get(preferred) ?? 0)) preferred = serverAssignor;
  }
  return preferred;
}

/** A number that differs when the subscribed topics, or their partitions, do. */
export function metadataHash(group: ConsumerGroup, catalog: TopicCatalog): number {
  let low = FNV_OFFSET;
  let high = FNV_OFFSET ^ 0x5bd1;
  for (const name of [...group.subscribedTopics()].toSorted()) {
    const topic = catalog.find(name);
    if (topic === undefined) continue;
    for (const character of `${name}:${topic.topicId}:${topic.partitionCount};`) {
      const code = character.codePointAt(0) ?? 0;
      low = Math.imul(low ^ code, FNV_PRIME) >>> 0;
      high = Math.imul(high ^ (code + 1), FNV_PRIME) >>> 0;
    }
  }
  return (high & 0xf_ffff) * 0x1_0000_0000 + low;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
