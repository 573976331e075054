import { toOttlaError } from "@ottla/errors";
import { describe, expect, test } from "vitest";
import { GROUP, protocols, TestGroups } from "../test-groups.ts";
import { heartbeat } from "./heartbeat.ts";

async function refusalOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "none";
  } catch (thrown) {
    return toOttlaError(thrown).code;
  }
}

function beat(groups: TestGroups, memberId: string, generation: number, instanceId?: string): void {
  heartbeat(groups.classic.group, { groupId: GROUP, memberId, generation, instanceId });
}

describe("a classic group", () => {
  test("a first member leads generation 1, and gets what it assigned to itself", async () => {
    const groups = new TestGroups();
    const member = await groups.join();
    expect(member).toMatchObject({ generation: 1, leaderId: member.memberId, protocolName: "range" });
    expect(member.members.map(({ metadata }) => Buffer.from(metadata).toString())).toEqual(["about range"]);
    const synced = await groups.sync(member, { [member.memberId]: "all" });
    expect(Buffer.from(synced.assignment).toString()).toBe("all");
    expect(groups.classic.group.state).toBe("Stable");
  });

  test("a second member makes the first join again, and each gets its share", async () => {
    const groups = new TestGroups();
    const first = await groups.stableMember();
    const joining = groups.join();
    expect(await refusalOf(() => beat(groups, first.memberId, 1))).toBe("REBALANCE_IN_PROGRESS");
    const [leader, follower] = await Promise.all([groups.join({ memberId: first.memberId }), joining]);
    expect(leader).toMatchObject({ generation: 2, leaderId: first.memberId });
    expect(leader.members).toHaveLength(2);
    expect(follower.members).toEqual([]);
    const waiting = groups.sync(follower);
    await groups.sync(leader, { [leader.memberId]: "left", [follower.memberId]: "right" });
    expect(Buffer.from((await waiting).assignment).toString()).toBe("right");
  });

  test("nobody gets an assignment before it is durable", async () => {
    const groups = new TestGroups();
    const member = await groups.join();
    groups.journal.hold();
    let isAnswered = false;
    const synced = groups.sync(member, { [member.memberId]: "all" }).then(() => {
      isAnswered = true;
    });
    await groups.clock.advance(1);
    expect(isAnswered).toBe(false);
    groups.journal.release();
    await synced;
  });

  test("assignments that a leader brings again, while the first are stored, change nothing", async () => {
    const groups = new TestGroups();
    const member = await groups.join();
    groups.journal.hold();
    const lost = refusalOf(() => groups.sync(member, { [member.memberId]: "first" }));
    const again = groups.sync(member, { [member.memberId]: "second" });
    groups.journal.release();
    expect(await lost).toBe("REBALANCE_IN_PROGRESS");
    expect(Buffer.from((await again).assignment).toString()).toBe("first");
    groups.takeOver();
    const kept = await groups.sync(member);
    expect(Buffer.from(kept.assignment).toString()).toBe("first");
  });

  test("a new member gets its id first, and one that never comes back is not waited for", async () => {
    const groups = new TestGroups();
    const refused = await groups.join({ requiresKnownMemberId: true }).catch(toOttlaError);
    expect(refused).toMatchObject({ code: "MEMBER_ID_REQUIRED" });
    const memberId = "metadata" in refused ? (refused.metadata["member_id"] ?? "") : "";
    expect(await refusalOf(() => groups.join({ requiresKnownMemberId: true }))).toBe("MEMBER_ID_REQUIRED");
    const joining = groups.join({ memberId, requiresKnownMemberId: true });
    await groups.clock.advance(10_020);
    expect(await joining).toMatchObject({ memberId, generation: 1 });
  });

  test("an empty group waits for more members, again while more come", async () => {
    const groups = new TestGroups({ initialRebalanceDelayMs: 3_000 });
    const first = groups.join();
    await groups.clock.advance(2_000);
    const second = groups.join();
    await groups.clock.advance(2_000);
    const third = groups.join();
    await groups.clock.advance(6_020);
    const joined = await Promise.all([first, second, third]);
    expect(joined.map(({ generation }) => generation)).toEqual([1, 1, 1]);
    expect(joined[0]?.members).toHaveLength(3);
  });

  test("a member that falls silent is out, and the others share its partitions", async () => {
    const groups = new TestGroups();
    const silent = await groups.stableMember();
    const joining = groups.join();
    await Promise.all([groups.join({ memberId: silent.memberId }), joining]);
    const other = await joining;
    await groups.clock.advance(9_000);
    beat(groups, other.memberId, 2);
    await groups.clock.advance(1_020);
    expect(groups.classic.group.has(silent.memberId)).toBe(false);
    expect(await groups.join({ memberId: other.memberId })).toMatchObject({
      generation: 3,
      leaderId: other.memberId,
    });
    expect(await refusalOf(() => beat(groups, silent.memberId, 2))).toBe("UNKNOWN_MEMBER_ID");
  });

  test("who does not join again within the rebalance timeout is out", async () => {
    const groups = new TestGroups();
    const late = await groups.stableMember({ sessionTimeoutMs: 100_000, rebalanceTimeoutMs: 20_000 });
    const joining = groups.join({ rebalanceTimeoutMs: 20_000 });
    await groups.clock.advance(20_020);
    expect(await joining).toMatchObject({ generation: 2 });
    expect(await refusalOf(() => groups.join({ memberId: late.memberId }))).toBe("UNKNOWN_MEMBER_ID");
  });

  test("who joins and never asks for its assignment is out", async () => {
    const groups = new TestGroups();
    const member = await groups.stableMember({ sessionTimeoutMs: 100_000, rebalanceTimeoutMs: 20_000 });
    const mute = groups.join({ sessionTimeoutMs: 100_000, rebalanceTimeoutMs: 20_000 });
    const leader = await groups.join({
      memberId: member.memberId,
      sessionTimeoutMs: 100_000,
      rebalanceTimeoutMs: 20_000,
    });
    await groups.sync(leader, {});
    await groups.clock.advance(20_020);
    expect(groups.classic.group.has((await mute).memberId)).toBe(false);
    expect(await refusalOf(() => beat(groups, leader.memberId, 2))).toBe("REBALANCE_IN_PROGRESS");
  });

  test("a static member comes back without a rebalance, and its old self is fenced", async () => {
    const groups = new TestGroups();
    const before = await groups.stableMember({ instanceId: "a" });
    const after = await groups.join({ instanceId: "a" });
    expect(after).toMatchObject({ generation: 1, leaderId: after.memberId, skipAssignment: true });
    expect(after.memberId).not.toBe(before.memberId);
    const synced = await groups.sync(after, {}, { instanceId: "a" });
    expect(Buffer.from(synced.assignment).toString()).toBe("all");
    expect(await refusalOf(() => beat(groups, before.memberId, 1, "a"))).toBe("FENCED_INSTANCE_ID");
  });

  test("an old client that comes back as static leader does not take itself for the leader", async () => {
    const groups = new TestGroups();
    const before = await groups.stableMember({ instanceId: "a", supportsSkippingAssignment: false });
    const after = await groups.join({ instanceId: "a", supportsSkippingAssignment: false });
    expect(after).toMatchObject({ leaderId: before.memberId, members: [], skipAssignment: false });
  });

  test("the last member's leaving empties the group, which is stored", async () => {
    const groups = new TestGroups();
    const member = await groups.stableMember();
    expect(groups.leave({ memberId: member.memberId })).toEqual([
      { memberId: member.memberId, error: undefined },
    ]);
    expect(groups.classic.group).toMatchObject({ state: "Empty", generation: 2, size: 0 });
    groups.takeOver();
    expect(groups.classic.group).toMatchObject({ state: "Empty", generation: 2, size: 0 });
  });

  test("members choose the assignor that most like best of those that all have", async () => {
    const groups = new TestGroups();
    const first = await groups.stableMember({ protocols: protocols("sticky", "range", "odd") });
    const others = [
      groups.join({ protocols: protocols("range", "sticky") }),
      groups.join({ protocols: protocols("range", "sticky") }),
    ];
    const again = groups.join({ memberId: first.memberId, protocols: protocols("sticky", "range", "odd") });
    expect((await again).protocolName).toBe("range");
    await Promise.all(others);
    expect(await refusalOf(() => groups.join({ protocols: protocols("odd") }))).toBe(
      "INCONSISTENT_GROUP_PROTOCOL",
    );
    expect(await refusalOf(() => groups.join({ protocolType: "connect" }))).toBe(
      "INCONSISTENT_GROUP_PROTOCOL",
    );
  });

  test("a lost answer to a join is given again, and a stale generation is refused", async () => {
    const groups = new TestGroups();
    const member = await groups.stableMember();
    const joining = groups.join();
    const leader = await groups.join({ memberId: member.memberId });
    const follower = await joining;
    expect(await groups.join({ memberId: follower.memberId })).toEqual(follower);
    expect(await refusalOf(() => groups.sync({ ...leader, generation: 1 }))).toBe("ILLEGAL_GENERATION");
    expect(groups.classic.group.generation).toBe(2);
  });

  test("a group is full at its limit, and its own members may still join again", async () => {
    const groups = new TestGroups({ maxSize: 1 });
    const member = await groups.stableMember();
    expect(await refusalOf(() => groups.join())).toBe("GROUP_MAX_SIZE_REACHED");
    expect(await groups.join({ memberId: member.memberId })).toMatchObject({ generation: 2 });
    expect(await refusalOf(() => groups.join({ sessionTimeoutMs: 10 }))).toBe("INVALID_SESSION_TIMEOUT");
  });

  test("members say no more than a group can store, each alone and all together", async () => {
    const saying = (mebibytes: number) => [{ name: "range", metadata: new Uint8Array(mebibytes << 20) }];
    const groups = new TestGroups();
    expect(await refusalOf(() => groups.join({ protocols: saying(17) }))).toBe("INVALID_REQUEST");
    const { memberId } = await groups.join({ protocols: saying(9) });
    expect(await refusalOf(() => groups.join({ protocols: saying(9) }))).toBe("GROUP_MAX_SIZE_REACHED");
    // What it says anew stands for what it said.
    expect(await groups.join({ memberId, protocols: saying(10) })).toMatchObject({ generation: 2 });
  });

  test("a new owner knows members, generation and assignments, and gives them a session's time", async () => {
    const groups = new TestGroups();
    const member = await groups.stableMember({ instanceId: "a" });
    groups.takeOver();
    beat(groups, member.memberId, 1, "a");
    const synced = await groups.sync(member, {}, { instanceId: "a" });
    expect(Buffer.from(synced.assignment).toString()).toBe("all");
    await groups.clock.advance(10_020);
    expect(groups.classic.group.state).toBe("Empty");
  });
});
