import { OttlaError } from "@ottla/errors";
import type { GroupConfig } from "@ottla/metadata";
import type { Clock, Deadline, Deadlines, Logger } from "@ottla/runtime";
import { wrongGeneration } from "../classic/classic-errors.ts";
import type { GroupJournal } from "../group-journal.ts";
import type { GroupLimits } from "../group-limits.ts";
import type { DescribedGroup, DescribedTopic, GroupMembership, OffsetClient } from "../group-membership.ts";
import type { GroupRecord } from "../group-record.ts";
import type { MemberBudget } from "../member-budget.ts";
import type { GroupMutants } from "../mutants.ts";
import { Session } from "../session.ts";
import type { TopicCatalog } from "../topic-catalog.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import { type ConsumerMember, MemberState } from "./consumer-member.ts";
import { ConsumerChanges } from "./consumer-records.ts";
import { metadataHash, preferredAssignor } from "./consumer-target.ts";
import { type TopicPartitions, toLists } from "./topic-partitions.ts";

export interface ConsumerMembershipOptions {
  readonly group: ConsumerGroup;
  readonly journal: GroupJournal;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly limits: GroupLimits;
  readonly budget: MemberBudget;
  readonly logger: Logger;
  readonly catalog: TopicCatalog;
  readonly configOf: (groupId: string) => GroupConfig;
  readonly mutants: GroupMutants;
  /** A member is out. What this brings about is stored behind that. */
  readonly onMemberGone?: () => void;
}

interface Timers {
  readonly session: Session;
  readonly sessionTimeoutMs: number;
  /** Until when a member of the classic protocol has to join, or to fetch its assignment. */
  rebalance: Deadline | undefined;
  /** Until when it has to give partitions up. */
  revocation: Deadline | undefined;
}

/** The members of a group of the consumer protocol in time: who has fallen silent, who gives nothing up. */
export class ConsumerMembership implements GroupMembership {
  readonly type = "consumer";
  readonly protocolType = "consumer";
  readonly group: ConsumerGroup;
  readonly options: ConsumerMembershipOptions;
  readonly #timers = new Map<string, Timers>();
  /** The epoch in which each member has joined, of those that this owner has seen join. */
  readonly #joinedEpochs = new Map<string, number>();
  #catalogVersion = -1;
  #isClosed = false;

  constructor(options: ConsumerMembershipOptions) {
    this.options = options;
    this.group = options.group;
    this.group.bytes.countIn(options.budget);
    for (const member of this.group.members()) this.watch(member);
  }

  get state(): string {
    return this.#isClosed ? "Dead" : this.group.state;
  }

  get config(): GroupConfig {
    return this.options.configOf(this.group.groupId);
  }

  get memberCount(): number {
    return this.group.size;
  }

  get isEmpty(): boolean {
    return this.group.isEmpty;
  }

  get isStored(): boolean {
    return this.group.groupEpoch > 0;
  }

  /** Whether topics may have changed since this was asked last. */
  isCatalogNew(): boolean {
    const { version } = this.options.catalog;
    if (version === this.#catalogVersion) return false;
    this.#catalogVersion = version;
    return true;
  }

  joined({ memberId, memberEpoch }: ConsumerMember): void {
    this.#joinedEpochs.set(memberId, memberEpoch);
  }

  /** Whether somebody else has joined under the id since the member was in that epoch. */
  isTakenOver(memberId: string, memberEpoch: number): boolean {
    return memberEpoch < (this.#joinedEpochs.get(memberId) ?? 0);
  }

  /** It was heard, and may have to give partitions up: its times run from now. */
  watch(member: ConsumerMember): void {
    const { memberId, memberEpoch, state, rebalanceTimeoutMs } = member;
    const { deadlines } = this.options;
    const timers = this.#timersOf(member);
    timers.session.heard();
    if (state !== MemberState.UNREVOKED_PARTITIONS) {
      timers.revocation?.cancel();
      timers.revocation = undefined;
    } else if (timers.revocation === undefined) {
      timers.revocation = deadlines.set(rebalanceTimeoutMs, () => {
        const now = this.group.member(memberId);
        if (now?.state !== MemberState.UNREVOKED_PARTITIONS || now.memberEpoch !== memberEpoch) return;
        this.#fence(memberId, "did not give partitions up in time");
      });
    }
  }

  #timersOf({ memberId, classic }: ConsumerMember): Timers {
    const { clock, deadlines } = this.options;
    const sessionTimeoutMs = classic?.sessionTimeoutMs ?? this.config.consumerSessionTimeoutMs;
    const known = this.#timers.get(memberId);
    if (known?.sessionTimeoutMs === sessionTimeoutMs) return known;
    this.#stopTimers(memberId);
    const onSilence = (): boolean => {
      this.#fence(memberId, "fell silent");
      return true;
    };
    const timers: Timers = {
      session: new Session({ clock, deadlines, timeoutMs: sessionTimeoutMs, onSilence }),
      sessionTimeoutMs,
      rebalance: undefined,
      revocation: undefined,
    };
    this.#timers.set(memberId, timers);
    return timers;
  }

  /** A member of the classic protocol was told to join; it has its rebalance timeout for that. */
  expectJoin(member: ConsumerMember): void {
    const timers = this.#timersOf(member);
    timers.rebalance ??= this.#rebalanceDeadline(member);
  }

  /** A member of the classic protocol has joined and is to fetch its assignment. */
  expectSync(member: ConsumerMember): void {
    const timers = this.#timersOf(member);
    timers.rebalance?.cancel();
    timers.rebalance = this.#rebalanceDeadline(member);
  }

  synced(memberId: string): void {
    const timers = this.#timers.get(memberId);
    timers?.rebalance?.cancel();
    if (timers !== undefined) timers.rebalance = undefined;
  }

  #rebalanceDeadline({ memberId, rebalanceTimeoutMs }: ConsumerMember): Deadline {
    return this.options.deadlines.set(rebalanceTimeoutMs, () =>
      this.#fence(memberId, "did not join, or fetch its assignment, in time"),
    );
  }

  /** Puts a static member that came back in the place of the one that it was. */
  replace(old: ConsumerMember, back: ConsumerMember, changes: ConsumerChanges): void {
    const target = this.group.targetOf(old.memberId);
    this.unwatch(old.memberId);
    changes.removeMember(old.memberId);
    changes.memberMetadata(back);
    changes.target(back.memberId, target);
    changes.current(back);
  }

  unwatch(memberId: string): void {
    this.#stopTimers(memberId);
    this.#joinedEpochs.delete(memberId);
  }

  #stopTimers(memberId: string): void {
    const timers = this.#timers.get(memberId);
    timers?.session.end();
    timers?.rebalance?.cancel();
    timers?.revocation?.cancel();
    this.#timers.delete(memberId);
  }

  /** Takes a member out; its partitions are free from then on. */
  async remove(memberId: string): Promise<void> {
    const { group } = this;
    const { catalog, journal, onMemberGone } = this.options;
    this.unwatch(memberId);
    const changes = new ConsumerChanges(group);
    changes.removeMember(memberId);
    changes.groupEpoch(group.groupEpoch + 1, metadataHash(group, catalog));
    const stored = changes.store(journal);
    onMemberGone?.();
    await stored;
  }

  checkMayCommit({ memberId, instanceId, generationOrEpoch }: OffsetClient): void {
    // Tools may, while there are no members.
    if (generationOrEpoch < 0 && this.group.isEmpty) return;
    const member = this.group.member(memberId);
    if (member === undefined) throw this.#unknownMember(memberId);
    if (instanceId !== undefined && member.instanceId !== null && member.instanceId !== instanceId) {
      throw new OttlaError("FENCED_INSTANCE_ID", `the member's instance id is not "${instanceId}"`);
    }
    this.#checkEpoch(member, generationOrEpoch);
  }

  checkMayFetch({ memberId, generationOrEpoch }: OffsetClient): void {
    if (memberId === "" && generationOrEpoch < 0) return;
    const member = this.group.member(memberId);
    if (member === undefined) throw this.#unknownMember(memberId);
    this.#checkEpoch(member, generationOrEpoch);
  }

  uses(topic: string): boolean {
    return !this.group.isEmpty && this.group.isSubscribedTo(topic);
  }

  unusedSinceMs(topic: string, committedAtMs: number): number | undefined {
    return this.uses(topic) ? undefined : committedAtMs;
  }

  /** What members have. */
  *assigned(): Generator<{ readonly topicId: string; readonly partition: number }> {
    for (const { assigned } of this.group.members()) {
      for (const [topicId, partitions] of assigned) {
        for (const partition of partitions) yield { topicId, partition };
      }
    }
  }

  describe(): DescribedGroup {
    const { group } = this;
    return {
      type: this.type,
      state: this.state,
      protocolType: this.protocolType,
      protocol: preferredAssignor(group),
      generation: group.groupEpoch,
      assignmentEpoch: group.targetEpoch,
      members: [...group.members()].map((member) => ({
        memberId: member.memberId,
        instanceId: member.instanceId ?? undefined,
        clientId: member.clientId,
        clientHost: member.clientHost,
        epoch: member.memberEpoch,
        isClassic: member.classic !== null,
        rackId: member.rackId ?? undefined,
        subscribedTopics: member.subscribedTopicNames,
        subscribedRegex: member.subscribedTopicRegex ?? undefined,
        assigned: this.#described(member.assigned),
        target: this.#described(group.targetOf(member.memberId)),
      })),
    };
  }

  tombstones(): GroupRecord[] {
    if (!this.isStored) return [];
    const { groupId } = this.group;
    const regexes = [...this.group.regexes().keys()].map(
      (regularExpression): GroupRecord => ({
        kind: "consumer-regex",
        groupId,
        regularExpression,
        value: null,
      }),
    );
    return [
      ...regexes,
      { kind: "consumer-target", groupId, value: null },
      { kind: "consumer-group", groupId, value: null },
    ];
  }

  close(_reason: OttlaError): void {
    this.#isClosed = true;
    this.group.bytes.end();
    for (const memberId of this.#timers.keys()) this.unwatch(memberId);
  }

  #fence(memberId: string, why: string): void {
    const { logger } = this.options;
    logger.info({ groupId: this.group.groupId, memberId }, `a member ${why}: it is out`);
    // A failure concerns the whole partition, which then reads its groups anew.
    this.remove(memberId).catch(() => undefined);
  }

  #checkEpoch({ memberEpoch, classic }: ConsumerMember, given: number): void {
    if (given === memberEpoch) return;
    if (classic !== null) throw wrongGeneration(memberEpoch, given);
    throw new OttlaError("STALE_MEMBER_EPOCH", `epoch ${given} is not the member's, which is ${memberEpoch}`);
  }

  #unknownMember(memberId: string): OttlaError {
    return new OttlaError("UNKNOWN_MEMBER_ID", `the group does not know the member "${memberId}"`);
  }

  #described(partitions: TopicPartitions): DescribedTopic[] {
    const { catalog } = this.options;
    return toLists(partitions).flatMap(({ topicId, partitions: ofTopic }) => {
      const topic = catalog.nameOf(topicId);
      return topic === undefined ? [] : [{ topicId, topic, partitions: ofTopic }];
    });
  }
}
