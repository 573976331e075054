import { toOttlaError } from "@ottla/errors";
import { describe, expect, test } from "vitest";
import { commitOffsets } from "../commit-offsets.ts";
import { fetchOffsets } from "../fetch-offsets.ts";
import { GROUP, TestGroups, topicIdOf } from "../test-groups.ts";
import type { ConsumerHeartbeat } from "./check-heartbeat.ts";
import { type ConsumerHeartbeatAnswer, consumerHeartbeat } from "./consumer-heartbeat.ts";

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "none",
    (thrown: unknown) => toOttlaError(thrown).code,
  );
}

/** A member as its client keeps it: it takes what it is given, and gives up what it is not given any more. */
class TestMember {
  readonly #groups: TestGroups;
  readonly memberId: string;
  readonly instanceId: string | undefined;
  topics: readonly string[] | undefined = ["t"];
  regex: string | undefined;
  assignor: string | undefined;
  epoch = 0;
  owned: Record<string, readonly number[]> = {};
  /** Does not give partitions up. */
  clings = false;

  constructor(groups: TestGroups, memberId: string, instanceId?: string) {
    this.#groups = groups;
    this.memberId = memberId;
    this.instanceId = instanceId;
  }

  async beat(more: Partial<ConsumerHeartbeat> = {}): Promise<ConsumerHeartbeatAnswer> {
    const joins = this.epoch === 0;
    const membership = this.#groups.table.consumerGroup(GROUP);
    const answer = await consumerHeartbeat(membership, {
      groupId: GROUP,
      memberId: this.memberId,
      memberEpoch: this.epoch,
      instanceId: this.instanceId,
      client: { clientId: "client", clientHost: "/127.0.0.1" },
      rebalanceTimeoutMs: joins ? 30_000 : -1,
      subscribedTopicNames: joins ? this.topics : undefined,
      subscribedTopicRegex: joins ? this.regex : undefined,
      serverAssignor: joins ? this.assignor : undefined,
      owned: joins ? [] : this.#ownedLists(),
      ...more,
    });
    this.epoch = answer.memberEpoch;
    if (answer.assignment !== undefined && !this.clings) {
      this.owned = Object.fromEntries(
        answer.assignment.map(({ topicId, partitions }) => [topicId, partitions]),
      );
    }
    return answer;
  }

  /** Says that it is there, and nothing else. */
  ping(): Promise<ConsumerHeartbeatAnswer> {
    return this.beat({ owned: undefined });
  }

  get partitions(): readonly number[] {
    return this.owned[topicIdOf("t")] ?? [];
  }

  #ownedLists() {
    return Object.entries(this.owned).map(([topicId, partitions]) => ({ topicId, partitions }));
  }
}

function newGroups(): TestGroups {
  const groups = new TestGroups();
  groups.catalog.set("t", 4);
  return groups;
}

function stateOf(groups: TestGroups): string {
  return groups.table.get(GROUP).membership.state;
}

describe("a group of the consumer protocol", () => {
  test("a first member gets everything, with its first heartbeat", async () => {
    const groups = newGroups();
    const member = new TestMember(groups, "a");
    expect(await member.beat()).toMatchObject({ memberEpoch: 1, heartbeatIntervalMs: 5_000 });
    expect(member.partitions).toEqual([0, 1, 2, 3]);
    expect(stateOf(groups)).toBe("Stable");
    expect((await member.ping()).assignment).toBeUndefined();
  });

  test("a second member gets a partition only when the first has given it up", async () => {
    const groups = newGroups();
    const first = new TestMember(groups, "a");
    await first.beat();
    const second = new TestMember(groups, "b");
    expect((await second.beat()).assignment).toEqual([]);
    expect(stateOf(groups)).toBe("Reconciling");
    const told = await first.ping();
    expect(told.memberEpoch).toBe(1);
    expect(first.partitions).toHaveLength(2);
    await second.beat();
    expect(second.partitions).toEqual([]);
    expect((await first.beat()).memberEpoch).toBe(2);
    await second.beat();
    expect([...first.partitions, ...second.partitions].toSorted((left, right) => left - right)).toEqual([
      0, 1, 2, 3,
    ]);
    expect(stateOf(groups)).toBe("Stable");
  });

  test("members that a change does not concern are not told anything", async () => {
    const groups = newGroups();
    groups.catalog.set("t", 2);
    const members = ["a", "b", "c"].map((id) => new TestMember(groups, id));
    for (let round = 0; round < 3; round += 1) for (const member of members) await member.beat();
    const idle = members.find(({ partitions }) => partitions.length === 0);
    const busy = members.filter((member) => member !== idle);
    await idle?.beat({ memberEpoch: -1 });
    for (const member of busy) {
      const before = member.partitions;
      const answer = await member.beat();
      expect(answer.assignment).toBeUndefined();
      expect(member.partitions).toEqual(before);
    }
  });

  test("a member that leaves frees its partitions at once", async () => {
    const groups = newGroups();
    const [first, second] = [new TestMember(groups, "a"), new TestMember(groups, "b")];
    for (let round = 0; round < 3; round += 1) for (const member of [first, second]) await member.beat();
    expect(await first.beat({ memberEpoch: -1 })).toMatchObject({ memberEpoch: -1 });
    await second.beat();
    expect(second.partitions).toEqual([0, 1, 2, 3]);
    expect(await codeOf(first.beat({ memberEpoch: 2 }))).toBe("UNKNOWN_MEMBER_ID");
  });

  test("a member that falls silent is out after the session timeout", async () => {
    const groups = newGroups();
    await new TestMember(groups, "a").beat();
    await groups.clock.advance(45_020);
    expect(stateOf(groups)).toBe("Empty");
  });

  test("settings of a group's own hold from the next heartbeats of its members on", async () => {
    const groups = newGroups();
    const member = new TestMember(groups, "a");
    await member.beat();
    groups.configs.set(GROUP, {
      "consumer.session.timeout.ms": "60000",
      "consumer.heartbeat.interval.ms": "15000",
    });
    expect(await member.ping()).toMatchObject({ heartbeatIntervalMs: 15_000 });
    await groups.clock.advance(59_000);
    expect(stateOf(groups)).toBe("Stable");
    groups.configs.clear();
    expect(await member.ping()).toMatchObject({ heartbeatIntervalMs: 5_000 });
    await groups.clock.advance(45_020);
    expect(stateOf(groups)).toBe("Empty");
  });

  test("a member that gives nothing up is out after its rebalance timeout", async () => {
    const groups = newGroups();
    const clinging = new TestMember(groups, "a");
    await clinging.beat();
    const second = new TestMember(groups, "b");
    await second.beat();
    clinging.clings = true;
    await clinging.beat();
    for (let elapsedMs = 0; elapsedMs < 30_000; elapsedMs += 10_000) {
      await groups.clock.advance(10_010);
      await second.beat();
    }
    await second.beat();
    expect(second.partitions).toEqual([0, 1, 2, 3]);
    expect(await codeOf(clinging.beat())).toBe("UNKNOWN_MEMBER_ID");
  });

  test("a lost answer is made up for, a stale epoch is fenced", async () => {
    const groups = newGroups();
    const member = new TestMember(groups, "a");
    await member.beat();
    groups.catalog.set("u", 1);
    await member.beat({ subscribedTopicNames: ["t", "u"] });
    expect(member.epoch).toBe(2);
    member.epoch = 1;
    expect(await member.beat()).toMatchObject({ memberEpoch: 2 });
    expect(await codeOf(member.beat({ memberEpoch: 7 }))).toBe("FENCED_MEMBER_EPOCH");
    expect(await codeOf(member.beat({ memberEpoch: 0, owned: [] }))).not.toBe("none");
  });

  test("a member that was fenced comes anew under its id, and gets what is its own", async () => {
    const groups = newGroups();
    const member = new TestMember(groups, "a");
    await member.beat();
    expect(await codeOf(member.beat({ memberEpoch: 7 }))).toBe("FENCED_MEMBER_EPOCH");
    member.epoch = 0;
    expect(await member.beat()).toMatchObject({ memberEpoch: 2 });
    expect(member.partitions).toEqual([0, 1, 2, 3]);
    // What still comes of its former self does not pass for it.
    expect(await codeOf(member.beat({ memberEpoch: 1 }))).toBe("FENCED_MEMBER_EPOCH");
  });

  test("new partitions and topics are shared out without anybody asking", async () => {
    const groups = newGroups();
    const member = new TestMember(groups, "a");
    await member.beat();
    groups.catalog.set("t", 6);
    await member.ping();
    expect(member.partitions).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("a regular expression follows the topics that there are", async () => {
    const groups = newGroups();
    groups.catalog.set("other", 3);
    const member = new TestMember(groups, "a");
    member.topics = undefined;
    member.regex = "t.*";
    await member.beat();
    expect(Object.keys(member.owned)).toEqual([topicIdOf("t")]);
    groups.catalog.set("t2", 1);
    await member.ping();
    expect(Object.keys(member.owned).toSorted()).toEqual([topicIdOf("t"), topicIdOf("t2")].toSorted());
    const bad = new TestMember(groups, "b");
    bad.regex = "(";
    expect(await codeOf(bad.beat())).toBe("INVALID_REGULAR_EXPRESSION");
  });

  test("a static member that comes back has what it had, whatever its id is now", async () => {
    const groups = newGroups();
    const [first, second] = [new TestMember(groups, "a", "one"), new TestMember(groups, "b", "two")];
    for (let round = 0; round < 3; round += 1) for (const member of [first, second]) await member.beat();
    const intruder = new TestMember(groups, "c", "one");
    await expect(intruder.beat()).rejects.toMatchObject({
      code: "UNRELEASED_INSTANCE_ID",
      metadata: { sessionTimeoutMs: "45000" },
    });
    await first.beat({ memberEpoch: -2 });
    const back = new TestMember(groups, "c", "one");
    await back.beat();
    expect(back.partitions).toEqual(first.partitions);
    expect((await second.beat()).assignment).toBeUndefined();
    expect(await codeOf(first.beat({ memberEpoch: 3 }))).toBe("FENCED_INSTANCE_ID");
  });

  test("of two with one id the newer has the place, and the older is told that it is another's", async () => {
    const groups = newGroups();
    const [older, newer] = [new TestMember(groups, "a"), new TestMember(groups, "a")];
    await older.beat();
    await newer.beat();
    expect(newer.partitions).toEqual([0, 1, 2, 3]);
    const told = { code: "FENCED_MEMBER_EPOCH", metadata: { takenOver: "true" } };
    await expect(older.ping()).rejects.toMatchObject(told);
    const others = new TestMember(groups, "b");
    for (let round = 0; round < 3; round += 1) for (const member of [newer, others]) await member.beat();
    await expect(older.beat()).rejects.toMatchObject(told);
    // One whose answers were lost is fenced too, but by itself: it may join anew.
    const late = newer.beat({ memberEpoch: newer.epoch + 5 });
    await expect(late).rejects.toMatchObject({ code: "FENCED_MEMBER_EPOCH", metadata: {} });
    await newer.beat({ memberEpoch: -1 });
    expect(await codeOf(older.ping())).toBe("UNKNOWN_MEMBER_ID");
  });

  test("what contradicts itself is refused", async () => {
    const groups = newGroups();
    const member = new TestMember(groups, "a");
    expect(await codeOf(member.beat({ rebalanceTimeoutMs: -1 }))).toBe("INVALID_REQUEST");
    expect(await codeOf(member.beat({ subscribedTopicNames: undefined }))).toBe("INVALID_REQUEST");
    expect(await codeOf(member.beat({ owned: undefined }))).toBe("INVALID_REQUEST");
    expect(await codeOf(member.beat({ memberEpoch: -3 }))).toBe("INVALID_REQUEST");
    expect(await codeOf(member.beat({ serverAssignor: "fair" }))).toBe("UNSUPPORTED_ASSIGNOR");
    expect(await codeOf(member.beat({ memberEpoch: 4 }))).toBe("UNKNOWN_MEMBER_ID");
  });

  test("a new owner knows members, epochs and assignments, and disturbs nobody", async () => {
    const groups = newGroups();
    const [first, second] = [new TestMember(groups, "a", "one"), new TestMember(groups, "b")];
    for (let round = 0; round < 3; round += 1) for (const member of [first, second]) await member.beat();
    const before = groups.table.get(GROUP).membership.describe();
    groups.takeOver();
    expect(groups.table.get(GROUP).membership.describe()).toEqual(before);
    for (const member of [first, second]) {
      const epoch = member.epoch;
      expect(await member.beat()).toMatchObject({ memberEpoch: epoch, assignment: undefined });
    }
  });

  test("nobody is told of what is not durable", async () => {
    const groups = newGroups();
    groups.journal.hold();
    let isAnswered = false;
    const joined = new TestMember(groups, "a").beat().then(() => {
      isAnswered = true;
    });
    await groups.clock.advance(1);
    expect(isAnswered).toBe(false);
    groups.journal.release();
    await joined;
  });

  test("offsets are committed and read in the member's epoch only", async () => {
    const groups = newGroups();
    const member = new TestMember(groups, "a");
    await member.beat();
    const offsets = [
      { topic: "t", topicId: topicIdOf("t"), partition: 0, offset: 5, leaderEpoch: -1, metadata: "" },
    ];
    const commit = (memberId: string, generationOrEpoch: number) =>
      codeOf(
        commitOffsets(groups.table, {
          groupId: GROUP,
          memberId,
          generationOrEpoch,
          offsets,
          retentionMs: -1,
        }),
      );
    expect(await commit("a", 1)).toBe("none");
    expect(await commit("a", 2)).toBe("STALE_MEMBER_EPOCH");
    expect(await commit("", -1)).toBe("UNKNOWN_MEMBER_ID");
    const fetch = (memberEpoch: number) =>
      fetchOffsets(groups.table, { groupId: GROUP, memberId: "a", memberEpoch, all: true, partitions: [] });
    expect(fetch(1)).toHaveLength(1);
    expect(() => fetch(9)).toThrow(expect.objectContaining({ code: "STALE_MEMBER_EPOCH" }));
  });

  test("a group without members changes its protocol, one with members does not", async () => {
    const groups = newGroups();
    const classic = await groups.stableMember();
    expect(await codeOf(new TestMember(groups, "a").beat())).toBe("GROUP_ID_NOT_FOUND");
    groups.leave({ memberId: classic.memberId });
    const member = new TestMember(groups, "a");
    await member.beat();
    groups.takeOver();
    expect(groups.table.get(GROUP).membership.type).toBe("consumer");
    expect(await codeOf(groups.join())).toBe("INCONSISTENT_GROUP_PROTOCOL");
    await member.beat({ memberEpoch: -1 });
    expect(await groups.stableMember()).toMatchObject({ generation: 1 });
    groups.takeOver();
    expect(groups.table.get(GROUP).membership.type).toBe("classic");
  });
});
