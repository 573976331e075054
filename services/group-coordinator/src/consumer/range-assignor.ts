import type { MemberToAssign, PartitionCounts } from "./assignor.ts";
import { PartitionCollector, type TopicPartitions } from "./topic-partitions.ts";

/**
 * Each topic by itself, in ranges: the first of its members get the first partitions. Topics with as many
 * partitions and the same members are shared out alike, so that they can be joined. Static members come in
 * the order of their instance ids, which a restart does not change.
 */
export function assignRange(
  members: readonly MemberToAssign[],
  partitions: PartitionCounts,
): Map<string, TopicPartitions> {
  const collected = new Map(members.map(({ memberId }) => [memberId, new PartitionCollector()] as const));
  const sorted = members.toSorted(byName);
  for (const [topicId, partitionCount] of partitions) {
    const subscribers = sorted.filter(({ topicIds }) => topicIds.has(topicId));
    if (subscribers.length === 0) continue;
    const share = Math.floor(partitionCount / subscribers.length);
    const larger = partitionCount % subscribers.length;
    let next = 0;
    for (const [index, { memberId }] of subscribers.entries()) {
      const end = next + share + (index < larger ? 1 : 0);
      for (; next < end; next += 1) collected.get(memberId)?.add(topicId, next);
    }
  }
  return new Map([...collected].map(([memberId, collector]) => [memberId, collector.partitions] as const));
}

function byName(left: MemberToAssign, right: MemberToAssign): number {
  const [a, b] = [left.instanceId ?? left.memberId, right.instanceId ?? right.memberId];
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
