import { OttlaError } from "@ottla/errors";
import { groupConfig } from "@ottla/metadata";
import { Deadlines, LimitedLogger, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import type { JoinOutcome, SyncOutcome } from "./classic/classic-member.ts";
import type { ClassicRebalance } from "./classic/classic-rebalance.ts";
import { checkJoin, type JoinRequest, joinGroup } from "./classic/join-group.ts";
import { type LeavingMember, leaveGroup } from "./classic/leave-group.ts";
import { type SyncRequest, syncGroup } from "./classic/sync-group.ts";
import type { GroupJournal } from "./group-journal.ts";
import type { GroupLimits } from "./group-limits.ts";
import {
  decodeGroupRecord,
  type EncodedRecord,
  encodeGroupRecord,
  type GroupRecord,
} from "./group-record.ts";
import { GroupTable } from "./group-table.ts";
import { MemberBudget } from "./member-budget.ts";
import { requireRoomToJoin } from "./member-room.ts";
import { NO_MUTANTS } from "./mutants.ts";
import type { CatalogTopic, TopicCatalog } from "./topic-catalog.ts";

export const GROUP = "orders";

export const TEST_LIMITS: GroupLimits = {
  minSessionTimeoutMs: 6_000,
  maxSessionTimeoutMs: 1_800_000,
  initialRebalanceDelayMs: 0,
  maxSize: 10,
  maxGroups: 100,
  maxMemberBytes: 64 << 20,
  offsetsRetentionMs: 604_800_000,
  offsetsRetentionCheckIntervalMs: 600_000,
  offsetMetadataMaxBytes: 100,
  consumerSessionTimeoutMs: 45_000,
  consumerHeartbeatIntervalMs: 5_000,
};

/** A journal in memory, which can be held back, and from which a new owner can read. */
export class MemoryJournal implements GroupJournal {
  readonly records: EncodedRecord[] = [];
  #held: (() => void)[] | undefined;

  append(records: readonly GroupRecord[]): Promise<void> {
    const encoded = records.map(encodeGroupRecord);
    const { promise, resolve } = Promise.withResolvers<void>();
    const finish = (): void => {
      this.records.push(...encoded);
      resolve();
    };
    if (this.#held === undefined) finish();
    else this.#held.push(finish);
    return promise;
  }

  flushed(): Promise<void> {
    if (this.#held === undefined) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.push(resolve);
    return promise;
  }

  /** Nothing becomes durable until `release`. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const finish of held) finish();
  }
}

/** Topics of a test: each change is seen at once. */
export class TestCatalog implements TopicCatalog {
  readonly #topics = new Map<string, CatalogTopic>();
  version = 0;

  set(name: string, partitionCount: number): void {
    this.#topics.set(name, { topicId: topicIdOf(name), partitionCount });
    this.version += 1;
  }

  find(name: string): CatalogTopic | undefined {
    return this.#topics.get(name);
  }

  nameOf(topicId: string): string | undefined {
    return this.names().find((name) => topicIdOf(name) === topicId);
  }

  names(): readonly string[] {
    return [...this.#topics.keys()];
  }
}

/** The id that a test's topic of that name has. */
export function topicIdOf(name: string): string {
  return Buffer.from(name.padEnd(16, "_"))
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The groups of one partition on virtual time, as a test's clients see them. */
export class TestGroups {
  readonly clock = new VirtualClock();
  readonly journal = new MemoryJournal();
  readonly limits: GroupLimits;
  readonly catalog = new TestCatalog();
  /** What was set on groups. */
  readonly configs = new Map<string, Record<string, string>>();
  readonly deletedTopics = new Set<string>();
  readonly budget: MemberBudget;
  readonly #random = new SeededRandom(1);
  table: GroupTable;

  constructor(limits: Partial<GroupLimits> = {}) {
    this.limits = { ...TEST_LIMITS, ...limits };
    const logger = new LimitedLogger({ logger: nullLogger, clock: this.clock });
    this.budget = new MemberBudget({ limitBytes: this.limits.maxMemberBytes, logger });
    this.table = this.#openTable();
    this.table.loaded();
  }

  /** Another owner takes over: it knows what is in the journal and nothing else. */
  takeOver(): void {
    this.table.close(new OttlaError("NOT_COORDINATOR", "another owner has taken over"));
    this.table = this.#openTable();
    for (const { key, value } of this.journal.records) {
      const record = decodeGroupRecord(key, value);
      if (record !== undefined) this.table.replay(record);
    }
    this.table.loaded();
  }

  /** The group of the tests, with members of the classic protocol. */
  get classic(): ClassicRebalance {
    return this.table.classicGroup(GROUP);
  }

  async join(request: Partial<JoinRequest> = {}): Promise<JoinOutcome> {
    const full: JoinRequest = {
      groupId: GROUP,
      memberId: "",
      client: { clientId: "client", clientHost: "/127.0.0.1" },
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: "consumer",
      protocols: protocols("range"),
      requiresKnownMemberId: false,
      supportsSkippingAssignment: true,
      ...request,
    };
    checkJoin(full, this.limits);
    requireRoomToJoin(this.table.find(full.groupId), full, this.budget);
    return joinGroup(this.table.classicGroup(full.groupId), full, {
      random: this.#random,
      limits: this.limits,
      journal: this.journal,
    });
  }

  async sync(
    member: JoinOutcome,
    assignments: Readonly<Record<string, string>> = {},
    more: Partial<SyncRequest> = {},
  ): Promise<SyncOutcome> {
    return syncGroup(this.classic, {
      groupId: GROUP,
      memberId: member.memberId,
      generation: member.generation,
      assignments: Object.entries(assignments).map(([memberId, text]) => ({
        memberId,
        assignment: Buffer.from(text),
      })),
      ...more,
    });
  }

  leave(...members: LeavingMember[]) {
    return leaveGroup(this.classic, members);
  }

  /** One member, in its generation and with its assignment. */
  async stableMember(request: Partial<JoinRequest> = {}): Promise<JoinOutcome> {
    const member = await this.join(request);
    await this.sync(member, { [member.memberId]: "all" });
    return member;
  }

  #openTable(): GroupTable {
    const { clock, journal, limits, budget } = this;
    return new GroupTable({
      journal,
      clock,
      random: this.#random,
      deadlines: new Deadlines({ clock }),
      limits,
      budget,
      logger: nullLogger,
      catalog: this.catalog,
      configOf: (groupId) => groupConfig(this.configs.get(groupId) ?? {}, limits),
      groupCount: () => this.table?.size ?? 0,
      mutants: NO_MUTANTS,
      isDeleted: (topicId) => this.deletedTopics.has(topicId),
    });
  }
}

export function protocols(...names: string[]) {
  return names.map((name) => ({ name, metadata: Buffer.from(`about ${name}`) }));
}
