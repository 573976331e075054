/** Partitions by topic id. Never changed in place: a change makes another. */
export type TopicPartitions = ReadonlyMap<string, ReadonlySet<number>>;

/** As records and messages carry them. */
export interface TopicPartitionList {
  readonly topicId: string;
  readonly partitions: readonly number[];
}

export const NO_PARTITIONS: TopicPartitions = new Map();

export function fromLists(lists: readonly TopicPartitionList[]): TopicPartitions {
  const result = new Map<string, Set<number>>();
  for (const { topicId, partitions } of lists) {
    if (partitions.length === 0) continue;
    const known = result.get(topicId) ?? new Set<number>();
    for (const partition of partitions) known.add(partition);
    result.set(topicId, known);
  }
  return result;
}

/** Sorted, so that the same partitions are always the same bytes. */
export function toLists(partitions: TopicPartitions): { topicId: string; partitions: number[] }[] {
  return [...partitions.keys()].toSorted().map((topicId) => ({
    topicId,
    partitions: [...(partitions.get(topicId) ?? [])].toSorted((left, right) => left - right),
  }));
}

export function samePartitions(left: TopicPartitions, right: TopicPartitions): boolean {
  if (left.size !== right.size) return false;
  for (const [topicId, partitions] of left) {
    const others = right.get(topicId);
    if (others?.size !== partitions.size || !partitions.isSubsetOf(others)) return false;
  }
  return true;
}

/** Whether each of `owned` is among `all`. */
export function isAmong(owned: TopicPartitions, all: TopicPartitions): boolean {
  for (const [topicId, partitions] of owned) {
    if (!partitions.isSubsetOf(all.get(topicId) ?? new Set())) return false;
  }
  return true;
}

export function haveCommon(left: TopicPartitions, right: TopicPartitions): boolean {
  for (const [topicId, partitions] of left) {
    const others = right.get(topicId);
    if (others !== undefined && !partitions.isDisjointFrom(others)) return true;
  }
  return false;
}

/** Collects partitions by topic, without topics that have none. */
export class PartitionCollector {
  readonly partitions = new Map<string, Set<number>>();

  get isEmpty(): boolean {
    return this.partitions.size === 0;
  }

  add(topicId: string, partition: number): void {
    const known = this.partitions.get(topicId);
    if (known === undefined) this.partitions.set(topicId, new Set([partition]));
    else known.add(partition);
  }
}
