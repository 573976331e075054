import { toOttlaError } from "@ottla/errors";
import { GroupCoordinatorService } from "@ottla/proto/ottla/internal/v1/groups";
import { createClient, InProcessTransport, ServiceRegistry } from "@ottla/rpc";
import { SeededRandom } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { heartbeat } from "./classic/heartbeat.ts";
import { groupCoordinatorService } from "./group-coordinator-service.ts";
import { GROUP, TestGroups } from "./test-groups.ts";

async function refusalOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "none";
  } catch (thrown) {
    return toOttlaError(thrown).code;
  }
}

const REFUSED = "COORDINATOR_NOT_AVAILABLE";

function saying(bytes: number) {
  return { protocols: [{ name: "range", metadata: new Uint8Array(bytes) }] };
}

function serviceOf(groups: TestGroups) {
  const partitions = { tableOf: () => groups.table, tables: () => [groups.table] };
  const service = groupCoordinatorService({ partitions, limits: groups.limits, random: new SeededRandom(7) });
  const registry = new ServiceRegistry().add(GroupCoordinatorService, service);
  return createClient(
    GroupCoordinatorService,
    new InProcessTransport({ registry, clock: groups.clock, copy: true }),
  );
}

function beatOf(groups: TestGroups) {
  const service = serviceOf(groups);
  return (memberId: string, memberEpoch: number, names?: readonly string[], more: object = {}) =>
    service.consumerHeartbeat({
      groupId: GROUP,
      memberId,
      memberEpoch,
      client: { clientId: "client", clientHost: "/127.0.0.1" },
      rebalanceTimeoutMs: memberEpoch === 0 ? 30_000 : -1,
      ...(names !== undefined && { subscribedTopics: { names: [...names] } }),
      ...(memberEpoch === 0 && { owned: { topics: [] } }),
      ...more,
    });
}

function topicNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `topic-${String(index).padStart(4, "0")}`);
}

describe("the budget for what members bring", () => {
  test("new members of any group are refused above four fifths, and come in when others leave", async () => {
    const groups = new TestGroups({ maxMemberBytes: 10_000 });
    const first = await groups.stableMember(saying(7_000));
    const another = { groupId: "payments", ...saying(1_500) };
    expect(await refusalOf(() => groups.join(another))).toBe(REFUSED);
    expect(groups.table.find("payments")).toBeUndefined();
    heartbeat(groups.classic.group, { groupId: GROUP, memberId: first.memberId, generation: 1 });
    groups.leave({ memberId: first.memberId });
    expect(groups.budget.heldBytes).toBe(0);
    expect(await refusalOf(() => groups.join(another))).toBe("none");
  });

  test("who is a member may say more, up to all of it, and stays one where that is refused", async () => {
    const groups = new TestGroups({ maxMemberBytes: 10_000 });
    const { memberId } = await groups.stableMember({ instanceId: "a", ...saying(7_000) });
    const join = (bytes: number) => groups.join({ memberId, instanceId: "a", ...saying(bytes) });
    expect(await refusalOf(() => join(11_000))).toBe(REFUSED);
    heartbeat(groups.classic.group, { groupId: GROUP, memberId, generation: 1 });
    expect(await join(9_000)).toMatchObject({
      generation: 2,
    });
    // Its next process takes its place.
    expect(await refusalOf(() => groups.join({ instanceId: "a", ...saying(9_100) }))).toBe("none");
  });

  test("assignments that are too large are refused, and smaller ones stored", async () => {
    const groups = new TestGroups({ maxMemberBytes: 10_000 });
    const member = await groups.join(saying(1_000));
    const { memberId } = member;
    const large = "x".repeat(9_000);
    expect(await refusalOf(() => groups.sync(member, { [memberId]: large }))).toBe(
      "COORDINATOR_NOT_AVAILABLE",
    );
    const again = await groups.join({ memberId, ...saying(1_000) });
    await groups.sync(again, { [memberId]: "all" });
    expect(groups.classic.group.state).toBe("Stable");
  });

  test("ids that were given out count until they are used or their time is over", async () => {
    const groups = new TestGroups();
    const join = () => groups.join({ requiresKnownMemberId: true });
    expect(await refusalOf(join)).toBe("MEMBER_ID_REQUIRED");
    expect(groups.budget.heldBytes).toBeGreaterThan(0);
    await groups.clock.advance(60_000);
    expect(groups.budget.heldBytes).toBe(0);
  });

  test("it counts the same for a group's next owner, and nothing for the former one", async () => {
    const groups = new TestGroups();
    for (const name of topicNames(3)) groups.catalog.set(name, 4);
    const beat = beatOf(groups);
    await beat("a", 0, topicNames(3));
    await beat("b", 0, [], { subscribedRegex: "topic-.*" });
    await beat("a", 1);
    const heldBytes = groups.budget.heldBytes;
    expect(heldBytes).toBeGreaterThan(0);
    groups.takeOver();
    expect(groups.budget.heldBytes).toBe(heldBytes);
    groups.table.close(toOttlaError(new Error("closed")));
    expect(groups.budget.heldBytes).toBe(0);
  });

  test("members of the consumer protocol are refused like others, and do not change the group", async () => {
    const groups = new TestGroups({ maxMemberBytes: 10_000 });
    const { memberId } = await groups.stableMember(saying(1_000));
    const beat = beatOf(groups);
    expect(await refusalOf(() => beat("a", 0, topicNames(250)))).toBe(REFUSED);
    expect(groups.table.get(GROUP).membership.type).toBe("classic");
    groups.leave({ memberId });
    const { memberEpoch } = await beat("a", 0, topicNames(200));
    expect(await refusalOf(() => beat("b", 0, topicNames(100)))).toBe(REFUSED);
    expect(await refusalOf(() => beat("a", memberEpoch ?? 0, topicNames(300)))).toBe(
      "COORDINATOR_NOT_AVAILABLE",
    );
    expect(await refusalOf(() => beat("a", memberEpoch ?? 0, topicNames(210)))).toBe("none");
    expect(await refusalOf(() => beat("a", (memberEpoch ?? 0) + 1))).toBe("none");
    await beat("a", -1);
    expect(groups.budget.heldBytes).toBe(0);
  });

  test("a group that changes its protocol is counted in the new one alone", async () => {
    const groups = new TestGroups();
    groups.catalog.set("topic-0000", 4);
    const beat = beatOf(groups);
    const { memberEpoch } = await beat("a", 0, topicNames(1));
    const heldBytes = groups.budget.heldBytes;
    expect(memberEpoch).toBe(1);
    await beat("a", -1);
    const { memberId } = await groups.stableMember();
    groups.leave({ memberId });
    expect(groups.budget.heldBytes).toBe(0);
    await beat("a", 0, topicNames(1));
    expect(groups.budget.heldBytes).toBe(heldBytes);
  });
});
