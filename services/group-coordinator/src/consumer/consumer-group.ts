import type { ReadRecord } from "../group-record.ts";
import { MemberBytes } from "../member-budget.ts";
import { memberBytes, namesBytes, partitionsBytes } from "./consumer-bytes.ts";
import { type ConsumerMember, MemberState, newMember, withCurrent, withMetadata } from "./consumer-member.ts";
import { fromLists, NO_PARTITIONS, type TopicPartitions } from "./topic-partitions.ts";

export type ConsumerState = "Empty" | "Assigning" | "Reconciling" | "Stable" | "Dead";

/** The topics that a regular expression stands for, as of some time. */
export interface ResolvedRegex {
  readonly topics: ReadonlySet<string>;
}

/**
 * A group of the consumer protocol (KIP-848). All its state comes from records, applied in the order of the
 * log: what a heartbeat changes is what a new owner reads.
 */
export class ConsumerGroup {
  readonly groupId: string;
  /** Grows when members, subscriptions or topics change. */
  groupEpoch = 0;
  /** Of the topics that the members subscribe to, as of `groupEpoch`. */
  metadataHash = 0;
  /** The group epoch that the target was made for. */
  targetEpoch = 0;
  readonly #members = new Map<string, ConsumerMember>();
  readonly #staticMembers = new Map<string, string>();
  readonly #target = new Map<string, TopicPartitions>();
  readonly #regexes = new Map<string, ResolvedRegex>();
  /** As of which version of the catalog each was resolved here; not stored. */
  readonly regexVersions = new Map<string, number>();
  /** Who holds a partition: it is assigned to the member, or the member has yet to give it up. */
  readonly bytes = new MemberBytes();
  readonly #holders = new Map<string, Map<number, string>>();

  constructor(groupId: string) {
    this.groupId = groupId;
  }

  get size(): number {
    return this.#members.size;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  get state(): ConsumerState {
    if (this.isEmpty) return "Empty";
    if (this.groupEpoch > this.targetEpoch) return "Assigning";
    for (const { state, memberEpoch } of this.#members.values()) {
      if (state !== MemberState.STABLE || memberEpoch !== this.targetEpoch) return "Reconciling";
    }
    return "Stable";
  }

  members(): IterableIterator<ConsumerMember> {
    return this.#members.values();
  }

  member(memberId: string): ConsumerMember | undefined {
    return this.#members.get(memberId);
  }

  staticMember(instanceId: string): ConsumerMember | undefined {
    const memberId = this.#staticMembers.get(instanceId);
    return memberId === undefined ? undefined : this.#members.get(memberId);
  }

  targetOf(memberId: string): TopicPartitions {
    return this.#target.get(memberId) ?? NO_PARTITIONS;
  }

  /** Those that have a target, members or not. */
  targetMemberIds(): IterableIterator<string> {
    return this.#target.keys();
  }

  isHeld(topicId: string, partition: number): boolean {
    return this.#holders.get(topicId)?.has(partition) ?? false;
  }

  regexes(): ReadonlyMap<string, ResolvedRegex> {
    return this.#regexes;
  }

  /** All topics that members subscribe to, by name. */
  subscribedTopics(): Set<string> {
    const topics = new Set<string>();
    for (const member of this.#members.values()) this.addTopicsOf(member, topics);
    return topics;
  }

  addTopicsOf(member: ConsumerMember, topics: Set<string>): void {
    for (const name of member.subscribedTopicNames) topics.add(name);
    if (member.subscribedTopicRegex === null) return;
    for (const name of this.#regexes.get(member.subscribedTopicRegex)?.topics ?? []) topics.add(name);
  }

  isSubscribedTo(topic: string): boolean {
    return this.subscribedTopics().has(topic);
  }

  /** Takes in a record of this group, written just now or read from the log. */
  apply(record: ReadRecord): void {
    switch (record.kind) {
      case "consumer-group":
        this.groupEpoch = record.value?.epoch ?? 0;
        this.metadataHash = record.value?.metadataHash ?? 0;
        return;
      case "consumer-member": {
        const { value } = record;
        this.#applyMember(record.memberId, value && ((member) => withMetadata(member, value)));
        return;
      }
      case "consumer-current": {
        const { value } = record;
        if (value === null) this.#applyCurrentGone(record.memberId);
        else this.#applyMember(record.memberId, (member) => withCurrent(member, value));
        return;
      }
      case "consumer-target":
        this.targetEpoch = record.value?.assignmentEpoch ?? 0;
        return;
      case "consumer-target-member":
        this.#applyTarget(record.memberId, record.value && fromLists(record.value.topicPartitions));
        return;
      case "consumer-regex":
        this.#applyRegex(record.regularExpression, record.value && new Set(record.value.topics));
        return;
      default:
        return;
    }
  }

  #applyTarget(memberId: string, target: TopicPartitions | null): void {
    this.bytes.change(-partitionsBytes(this.targetOf(memberId)));
    if (target === null) this.#target.delete(memberId);
    else this.#target.set(memberId, target);
    this.bytes.change(partitionsBytes(this.targetOf(memberId)));
  }

  #applyRegex(regularExpression: string, topics: ReadonlySet<string> | null): void {
    this.bytes.change(-namesBytes(this.#regexes.get(regularExpression)?.topics ?? []));
    if (topics === null) this.#regexes.delete(regularExpression);
    else this.#regexes.set(regularExpression, { topics });
    this.bytes.change(namesBytes(topics ?? []));
  }

  #applyMember(memberId: string, change: ((member: ConsumerMember) => ConsumerMember) | null): void {
    const before = this.#members.get(memberId);
    if (before !== undefined) {
      this.#release(before);
      this.bytes.change(-memberBytes(before));
    }
    if (change === null) {
      this.#members.delete(memberId);
      const instanceId = before?.instanceId ?? null;
      if (instanceId !== null && this.#staticMembers.get(instanceId) === memberId) {
        this.#staticMembers.delete(instanceId);
      }
      return;
    }
    const after = change(before ?? newMember(memberId));
    this.#members.set(memberId, after);
    this.bytes.change(memberBytes(after));
    if (after.instanceId !== null) this.#staticMembers.set(after.instanceId, memberId);
    this.#hold(after);
  }

  #applyCurrentGone(memberId: string): void {
    const before = this.#members.get(memberId);
    if (before === undefined) return;
    const { assigned: _, pendingRevocation: __, ...rest } = before;
    const { assigned, pendingRevocation } = newMember(memberId);
    this.#release(before);
    const after = { ...rest, assigned, pendingRevocation };
    this.#members.set(memberId, after);
    this.bytes.change(memberBytes(after) - memberBytes(before));
  }

  #hold(member: ConsumerMember): void {
    for (const partitions of [member.assigned, member.pendingRevocation]) {
      for (const [topicId, ofTopic] of partitions) {
        const holders = this.#holders.get(topicId) ?? new Map<number, string>();
        this.#holders.set(topicId, holders);
        for (const partition of ofTopic) holders.set(partition, member.memberId);
      }
    }
  }

  /** Another member may hold a partition by now, where a static one was replaced. */
  #release(member: ConsumerMember): void {
    for (const partitions of [member.assigned, member.pendingRevocation]) {
      for (const [topicId, ofTopic] of partitions) {
        const holders = this.#holders.get(topicId);
        for (const partition of ofTopic) {
          if (holders?.get(partition) === member.memberId) holders.delete(partition);
        }
        if (holders?.size === 0) this.#holders.delete(topicId);
      }
    }
  }
}
