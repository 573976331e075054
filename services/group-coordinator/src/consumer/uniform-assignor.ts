import type { MemberToAssign, PartitionCounts } from "./assignor.ts";
import { PartitionCollector, type TopicPartitions } from "./topic-partitions.ts";

/** A member while partitions are handed out. */
interface Share {
  readonly member: MemberToAssign;
  readonly collector: PartitionCollector;
  count: number;
}

/**
 * As even as subscriptions allow, and as little moved as that allows: members keep what they had up to a fair
 * share of the whole, what is left goes to those that have least, and then one partition at a time moves from
 * members with more to subscribers of its topic with at least two less.
 */
export function assignUniform(
  members: readonly MemberToAssign[],
  partitions: PartitionCounts,
): Map<string, TopicPartitions> {
  const shares = members.map((member) => ({ member, collector: new PartitionCollector(), count: 0 }));
  const subscribers = new Map<string, Share[]>();
  for (const topicId of partitions.keys()) {
    const ofTopic = shares.filter(({ member }) => member.topicIds.has(topicId));
    if (ofTopic.length > 0) subscribers.set(topicId, ofTopic);
  }
  const open = keepWhatIsFair(shares, subscribers, partitions);
  // Topics with few subscribers first: the others have more choice.
  const topics = [...open.keys()].toSorted(
    (left, right) => (subscribers.get(left)?.length ?? 0) - (subscribers.get(right)?.length ?? 0),
  );
  for (const topicId of topics) {
    const ofTopic = new LeastFirst(subscribers.get(topicId) ?? []);
    for (const partition of open.get(topicId) ?? []) {
      const least = ofTopic.take();
      least?.collector.add(topicId, partition);
    }
  }
  evenOut(shares, subscribers);
  return new Map(shares.map(({ member, collector }) => [member.memberId, collector.partitions] as const));
}

/** What members had stays with them up to their fair share; returns what is to be handed out. */
function keepWhatIsFair(
  shares: readonly Share[],
  subscribers: ReadonlyMap<string, readonly Share[]>,
  partitions: PartitionCounts,
): Map<string, number[]> {
  let total = 0;
  for (const topicId of subscribers.keys()) total += partitions.get(topicId) ?? 0;
  const floor = Math.floor(total / Math.max(1, shares.length));
  let extras = total % Math.max(1, shares.length);
  const taken = new Map<string, Set<number>>();
  for (const share of shares) {
    for (const [topicId, had] of share.member.before) {
      const partitionCount = share.member.topicIds.has(topicId) ? (partitions.get(topicId) ?? 0) : 0;
      const ofTopic = taken.get(topicId) ?? new Set<number>();
      taken.set(topicId, ofTopic);
      for (const partition of had) {
        const isRoom = share.count < floor || (share.count === floor && extras > 0);
        if (!isRoom || partition >= partitionCount || ofTopic.has(partition)) continue;
        if (share.count === floor) extras -= 1;
        ofTopic.add(partition);
        share.collector.add(topicId, partition);
        share.count += 1;
      }
    }
  }
  const open = new Map<string, number[]>();
  for (const topicId of subscribers.keys()) {
    const ofTopic = taken.get(topicId);
    const all = Array.from({ length: partitions.get(topicId) ?? 0 }, (_, partition) => partition);
    open.set(
      topicId,
      all.filter((partition) => ofTopic?.has(partition) !== true),
    );
  }
  return open;
}

/** Subscribers of a topic in buckets by how many partitions they have, so that the least is found at once. */
class LeastFirst {
  readonly #buckets = new Map<number, Share[]>();
  #least = Number.POSITIVE_INFINITY;

  constructor(shares: readonly Share[]) {
    for (const share of shares) {
      this.#put(share);
      this.#least = Math.min(this.#least, share.count);
    }
  }

  /** The one with the fewest; it has one more from then on. */
  take(): Share | undefined {
    if (this.#buckets.size === 0) return undefined;
    while (!this.#buckets.has(this.#least)) this.#least += 1;
    const bucket = this.#buckets.get(this.#least) ?? [];
    const share = bucket.pop();
    if (bucket.length === 0) this.#buckets.delete(this.#least);
    if (share === undefined) return undefined;
    share.count += 1;
    this.#put(share);
    return share;
  }

  #put(share: Share): void {
    const bucket = this.#buckets.get(share.count);
    if (bucket === undefined) this.#buckets.set(share.count, [share]);
    else bucket.push(share);
  }
}

/** Only members with different subscriptions are uneven by now. Each pass moves less, so there are few. */
const MAX_PASSES = 20;

function evenOut(shares: readonly Share[], subscribers: ReadonlyMap<string, readonly Share[]>): void {
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    let moved = false;
    for (const share of shares.toSorted((left, right) => right.count - left.count)) {
      if (giveAway(share, subscribers)) moved = true;
    }
    if (!moved) return;
  }
}

function giveAway(from: Share, subscribers: ReadonlyMap<string, readonly Share[]>): boolean {
  let moved = false;
  for (const [topicId, own] of from.collector.partitions) {
    const ofTopic = subscribers.get(topicId) ?? [];
    for (const partition of own) {
      const to = ofTopic.reduce((least, share) => (share.count < least.count ? share : least), from);
      if (to.count > from.count - 2) break;
      own.delete(partition);
      from.count -= 1;
      to.collector.add(topicId, partition);
      to.count += 1;
      moved = true;
    }
    if (own.size === 0) from.collector.partitions.delete(topicId);
  }
  return moved;
}
