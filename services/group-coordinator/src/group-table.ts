import { OttlaError } from "@ottla/errors";
import type { GroupConfig } from "@ottla/metadata";
import type { Clock, Deadlines, Logger, Random } from "@ottla/runtime";
import { ClassicGroup } from "./classic/classic-group.ts";
import { ClassicMembership } from "./classic/classic-membership.ts";
import { ClassicRebalance } from "./classic/classic-rebalance.ts";
import { ConsumerGroup } from "./consumer/consumer-group.ts";
import { ConsumerMembership } from "./consumer/consumer-membership.ts";
import { Group } from "./group.ts";
import type { GroupJournal } from "./group-journal.ts";
import { type GroupLimits, MAX_ID_BYTES } from "./group-limits.ts";
import { GroupLoading } from "./group-loading.ts";
import type { GroupMembership } from "./group-membership.ts";
import type { GroupRecord, ReadRecord } from "./group-record.ts";
import type { MemberBudget } from "./member-budget.ts";
import { toClassicGroup, toConsumerGroup, usesClassicOnly } from "./migration/convert-groups.ts";
import type { GroupMutants } from "./mutants.ts";
import type { TopicCatalog } from "./topic-catalog.ts";

export interface GroupTableOptions {
  readonly journal: GroupJournal;
  readonly clock: Clock;
  readonly random: Random;
  readonly deadlines: Deadlines;
  readonly limits: GroupLimits;
  /** Of the node, in all its partitions. */
  readonly budget: MemberBudget;
  readonly logger: Logger;
  readonly catalog: TopicCatalog;
  /** The effective settings of a group, which may change at any time. */
  readonly configOf: (groupId: string) => GroupConfig;
  /** How many groups this node keeps in all its partitions. */
  readonly groupCount: () => number;
  /** Whether a topic was deleted: only when that is known for sure. */
  readonly isDeleted: (topicId: string) => boolean;
  readonly mutants: GroupMutants;
}

/** Who joins by the classic protocol; without a member id it is a new process. */
interface JoiningClient {
  readonly groupId: string;
  readonly memberId: string;
  readonly instanceId?: string | undefined;
}

/** The groups of one partition of the internal topic, while this node owns it. */
export class GroupTable {
  readonly options: GroupTableOptions;
  readonly #groups = new Map<string, Group>();
  #loading: GroupLoading | undefined = new GroupLoading();

  constructor(options: GroupTableOptions) {
    this.options = options;
  }

  get size(): number {
    return this.#groups.size;
  }

  groups(): IterableIterator<Group> {
    return this.#groups.values();
  }

  find(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  /** Throws INVALID_GROUP_ID, or GROUP_MAX_SIZE_REACHED where the node has no room for another group. */
  findOrCreate(groupId: string): Group {
    const known = this.#groups.get(groupId);
    if (known !== undefined) return known;
    checkGroupId(groupId);
    const { limits, clock, groupCount } = this.options;
    if (groupCount() >= limits.maxGroups) {
      throw new OttlaError(
        "GROUP_MAX_SIZE_REACHED",
        `this node has ${limits.maxGroups} groups, which is groups.max-groups: delete some or add nodes`,
        { metadata: { limit: String(limits.maxGroups) } },
      );
    }
    return this.#add(groupId, this.#classic(new ClassicGroup(groupId, clock.now())));
  }

  /** Throws GROUP_ID_NOT_FOUND. */
  get(groupId: string): Group {
    const group = this.#groups.get(groupId);
    if (group === undefined) throw new OttlaError("GROUP_ID_NOT_FOUND", `there is no group "${groupId}"`);
    return group;
  }

  /** The group with members of the classic protocol; one without members changes to it. */
  classicGroup(groupId: string): ClassicRebalance {
    const group = this.findOrCreate(groupId);
    if (group.rebalance === undefined && group.membership.isEmpty) {
      const { clock } = this.options;
      this.#replace(group, this.#classic(new ClassicGroup(groupId, clock.now())));
    }
    if (group.rebalance !== undefined) return group.rebalance;
    throw new OttlaError(
      "INCONSISTENT_GROUP_PROTOCOL",
      `the members of group "${groupId}" use the consumer protocol (group.protocol=consumer)`,
    );
  }

  /**
   * The group with members of the consumer protocol. One without members changes to it, and so does one whose
   * members use the classic protocol: they go on with it among the others (KIP-848's online migration).
   */
  consumerGroup(groupId: string): ConsumerMembership {
    const group = this.findOrCreate(groupId);
    if (group.consumers === undefined && group.membership.isEmpty) {
      this.#replace(group, this.#consumer(new ConsumerGroup(groupId)));
    }
    if (group.rebalance !== undefined) this.#upgrade(group, group.rebalance);
    if (group.consumers !== undefined) return group.consumers;
    throw new OttlaError("GROUP_ID_NOT_FOUND", `the members of group "${groupId}" use the classic protocol`);
  }

  /**
   * Where a static member comes back with the classic protocol, and it is the last that used the consumer
   * protocol: the group changes before it joins.
   */
  prepareForClassic({ groupId, memberId, instanceId }: JoiningClient): void {
    if (memberId !== "") return;
    const consumers = this.#groups.get(groupId)?.consumers;
    const former = instanceId === undefined ? undefined : consumers?.group.staticMember(instanceId);
    if (consumers === undefined || former === undefined || former.classic !== null) return;
    const others = [...consumers.group.members()].filter((member) => member !== former);
    if (others.some(({ classic }) => classic === null)) return;
    consumers.remove(former.memberId).catch(() => undefined);
  }

  remove(group: Group): void {
    if (this.#groups.get(group.groupId) === group) this.#groups.delete(group.groupId);
    group.membership.close(new OttlaError("COORDINATOR_NOT_AVAILABLE", "the group was deleted"));
  }

  /** Takes in what the log says, record by record, before `loaded`. */
  replay(record: ReadRecord): void {
    if (record.kind !== "offset") {
      this.#loading?.take(record);
      return;
    }
    const { groupId, topic, partition, value } = record;
    const known = this.#groups.get(groupId);
    if (value === null) {
      known?.offsets.remove(topic, partition);
      return;
    }
    const group = known ?? this.#add(groupId, this.#classic(new ClassicGroup(groupId, -1)));
    group.offsets.put(topic, partition, {
      offset: value.offset,
      leaderEpoch: value.leaderEpoch,
      metadata: value.metadata,
      committedAtMs: value.commitTimestamp,
      expiresAtMs: value.expireTimestamp,
      topicId: value.topicId === NO_TOPIC_ID ? undefined : value.topicId,
    });
  }

  /** All is read: members of before may be heard of from now on, and their sessions begin. */
  loaded(): void {
    const nowMs = this.options.clock.now();
    for (const [groupId, value] of this.#loading?.classic ?? []) {
      this.#setMembership(groupId, this.#classic(ClassicGroup.fromRecord(groupId, value, nowMs)));
    }
    for (const [groupId, group] of this.#loading?.consumer ?? []) {
      this.#setMembership(groupId, this.#consumer(group));
    }
    this.#loading = undefined;
    for (const group of this.#groups.values()) {
      if (group.isVoid && !group.membership.isStored) this.remove(group);
    }
  }

  /** Fails everybody who waits: this node does not own the groups any more, or has to read them anew. */
  close(reason: OttlaError): void {
    for (const group of this.#groups.values()) group.membership.close(reason);
    this.#groups.clear();
  }

  #setMembership(groupId: string, membership: GroupMembership): void {
    const known = this.#groups.get(groupId);
    if (known === undefined) this.#add(groupId, membership);
    else known.membership = membership;
  }

  /** Members that wait are told to join again: as members of the new group. */
  #upgrade(group: Group, rebalance: ClassicRebalance): void {
    const { catalog, limits } = this.options;
    if (rebalance.group.size >= limits.maxSize) return;
    const converted = toConsumerGroup(rebalance.group, catalog);
    if (converted !== undefined) this.#convert(group, this.#consumer(converted.group), converted.records);
  }

  /** The last member that used the consumer protocol is out: the others share out among themselves again. */
  #downgradeIfClassic(groupId: string): void {
    const group = this.#groups.get(groupId);
    const consumers = group?.consumers;
    if (group === undefined || consumers === undefined || !usesClassicOnly(consumers.group)) return;
    const { catalog, clock } = this.options;
    const converted = toClassicGroup(consumers.group, catalog, clock.now());
    const records = [...consumers.tombstones(), ...converted.records];
    const rebalance = new ClassicRebalance({ ...this.options, group: converted.group });
    this.#convert(group, new ClassicMembership(rebalance), records);
    rebalance.prepareIfPossible("no member uses the consumer protocol any more");
  }

  /** All or nothing is stored: a new owner finds the group in one of the two protocols. */
  #convert(group: Group, membership: GroupMembership, records: readonly GroupRecord[]): void {
    const { groupId } = group;
    const { logger, journal } = this.options;
    logger.info({ groupId, type: membership.type }, "a group changes its protocol with its members");
    group.membership.close(
      new OttlaError("REBALANCE_IN_PROGRESS", "the group changes its protocol: join again"),
    );
    group.membership = membership;
    // A failure concerns the whole partition, which then reads its groups anew.
    journal.append(records).catch(() => undefined);
  }

  /** A failure concerns the whole partition, which then reads its groups anew. */
  #replace(group: Group, membership: GroupMembership): void {
    const tombstones = group.membership.tombstones();
    group.membership.close(new OttlaError("COORDINATOR_NOT_AVAILABLE", "the group has changed its protocol"));
    group.membership = membership;
    if (tombstones.length > 0) this.options.journal.append(tombstones).catch(() => undefined);
  }

  #classic(group: ClassicGroup): ClassicMembership {
    return new ClassicMembership(new ClassicRebalance({ ...this.options, group }));
  }

  #consumer(group: ConsumerGroup): ConsumerMembership {
    const onMemberGone = (): void => this.#downgradeIfClassic(group.groupId);
    return new ConsumerMembership({ ...this.options, group, onMemberGone });
  }

  #add(groupId: string, membership: GroupMembership): Group {
    const group = new Group(groupId, membership);
    this.#groups.set(groupId, group);
    return group;
  }
}

const NO_TOPIC_ID = "00000000-0000-0000-0000-000000000000";

/** Throws INVALID_GROUP_ID. */
export function checkGroupId(groupId: string): void {
  if (groupId !== "" && Buffer.byteLength(groupId) <= MAX_ID_BYTES) return;
  throw new OttlaError("INVALID_GROUP_ID", `a group's id must have 1 to ${MAX_ID_BYTES} bytes`, {
    metadata: { field: "group_id", limit: String(MAX_ID_BYTES) },
  });
}
