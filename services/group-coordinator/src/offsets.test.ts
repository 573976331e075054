import { toOttlaError } from "@ottla/errors";
import { consumerProtocolSubscription } from "@ottla/kafka-protocol";
import { describe, expect, test } from "vitest";
import { type CommitRequest, commitOffsets, type OffsetToCommit } from "./commit-offsets.ts";
import { deleteGroup, deleteOffsets } from "./delete-groups.ts";
import { expireOffsets } from "./expire-offsets.ts";
import { fetchOffsets } from "./fetch-offsets.ts";
import { GROUP, TestGroups, topicIdOf } from "./test-groups.ts";

const DAY_MS = 86_400_000;
const TOPIC_ID = "0b0b0b0b-0000-4000-8000-000000000001";
const NEVER = new AbortController().signal;

function offset(partition: number, value: number, more: Partial<OffsetToCommit> = {}): OffsetToCommit {
  const place = { topic: "t", topicId: TOPIC_ID, partition };
  return { ...place, offset: value, leaderEpoch: 3, metadata: "", ...more };
}

function commit(groups: TestGroups, offsets: OffsetToCommit[], more: Partial<CommitRequest> = {}) {
  return commitOffsets(groups.table, {
    groupId: GROUP,
    memberId: "",
    generationOrEpoch: -1,
    offsets,
    retentionMs: -1,
    ...more,
  });
}

function committed(groups: TestGroups): Record<string, number> {
  const all = fetchOffsets(groups.table, { groupId: GROUP, memberEpoch: -1, all: true, partitions: [] });
  return Object.fromEntries(
    all.map(({ topic, partition, offset: value }) => [`${topic}-${partition}`, Number(value)]),
  );
}

function subscription(...topics: string[]) {
  const metadata = consumerProtocolSubscription.encode(1, { topics, ownedPartitions: [] });
  return [{ name: "range", metadata }];
}

describe("committed offsets", () => {
  test("are read when they are durable, and by a new owner with their metadata", async () => {
    const groups = new TestGroups();
    groups.journal.hold();
    const stored = commit(groups, [offset(0, 7, { metadata: "seven" }), offset(1, 8)]);
    expect(committed(groups)).toEqual({});
    groups.journal.release();
    expect(await stored).toEqual([undefined, undefined]);
    groups.takeOver();
    expect(committed(groups)).toEqual({ "t-0": 7, "t-1": 8 });
    const [found, none] = fetchOffsets(groups.table, {
      groupId: GROUP,
      memberEpoch: -1,
      all: false,
      partitions: [
        { topic: "t", partition: 0 },
        { topic: "t", partition: 5 },
      ],
    });
    expect(found).toMatchObject({ offset: 7n, leaderEpoch: 3, metadata: "seven", topicId: TOPIC_ID });
    expect(none).toMatchObject({ offset: -1n, leaderEpoch: -1 });
  });

  test("come from members of the present generation only, or from anybody while there are none", async () => {
    const groups = new TestGroups();
    const { memberId } = await groups.stableMember();
    const as = (more: Partial<CommitRequest>) =>
      commit(groups, [offset(0, 1)], more).then(
        () => "stored",
        (thrown: unknown) => toOttlaError(thrown).code,
      );
    expect(await as({})).toBe("UNKNOWN_MEMBER_ID");
    expect(await as({ memberId, generationOrEpoch: 0 })).toBe("ILLEGAL_GENERATION");
    expect(await as({ memberId: "other", generationOrEpoch: 1 })).toBe("UNKNOWN_MEMBER_ID");
    expect(await as({ memberId, generationOrEpoch: 1 })).toBe("stored");
    const again = await groups.join({ memberId });
    expect(await as({ memberId, generationOrEpoch: again.generation })).toBe("REBALANCE_IN_PROGRESS");
    expect(await as({ groupId: "nobody", generationOrEpoch: 4, memberId })).toBe("ILLEGAL_GENERATION");
  });

  test("whose metadata is too long are refused, the others are stored", async () => {
    const groups = new TestGroups();
    const refusals = await commit(groups, [offset(0, 1, { metadata: "x".repeat(101) }), offset(1, 2)]);
    expect(refusals.map((refusal) => refusal?.code)).toEqual(["OFFSET_METADATA_TOO_LARGE", undefined]);
    expect(committed(groups)).toEqual({ "t-1": 2 });
  });

  test("stay while the group has members, and for the retention time after the last has left", async () => {
    const groups = new TestGroups({ offsetsRetentionMs: 7 * DAY_MS });
    const { memberId } = await groups.stableMember({
      sessionTimeoutMs: 1_800_000,
      protocols: subscription("t"),
    });
    await commit(groups, [offset(0, 1)], { memberId, generationOrEpoch: 1 });
    groups.clock.jump(30 * DAY_MS);
    await expireOffsets(groups.table, NEVER);
    expect(committed(groups)).toEqual({ "t-0": 1 });
    groups.leave({ memberId });
    groups.clock.jump(6 * DAY_MS);
    await expireOffsets(groups.table, NEVER);
    expect(committed(groups)).toEqual({ "t-0": 1 });
    groups.clock.jump(2 * DAY_MS);
    await expireOffsets(groups.table, NEVER);
    expect(groups.table.find(GROUP)).toBeUndefined();
    groups.takeOver();
    expect(groups.table.size).toBe(0);
  });

  test("of topics that members use no more, and of deleted topics, go", async () => {
    const groups = new TestGroups({ offsetsRetentionMs: 7 * DAY_MS });
    const { memberId } = await groups.stableMember({
      sessionTimeoutMs: 1_800_000,
      protocols: subscription("t"),
    });
    const deletedId = "0b0b0b0b-0000-4000-8000-000000000002";
    const offsets = [
      offset(0, 1),
      offset(0, 2, { topic: "unused" }),
      offset(0, 3, { topic: "gone", topicId: deletedId }),
    ];
    await commit(groups, offsets, { memberId, generationOrEpoch: 1 });
    groups.deletedTopics.add(deletedId);
    await expireOffsets(groups.table, NEVER);
    expect(committed(groups)).toEqual({ "t-0": 1, "unused-0": 2 });
    groups.clock.jump(8 * DAY_MS);
    await expireOffsets(groups.table, NEVER);
    expect(committed(groups)).toEqual({ "t-0": 1 });
  });

  test("of a deleted topic go when another topic has its name, though its tombstone has gone", async () => {
    const groups = new TestGroups();
    groups.catalog.set("t", 1);
    await commit(groups, [offset(0, 1)]);
    // So soon it may be the catalog that is behind.
    await expireOffsets(groups.table, NEVER);
    expect(committed(groups)).toEqual({ "t-0": 1 });
    await commit(groups, [offset(1, 2, { topicId: topicIdOf("t") })]);
    groups.clock.jump(600_000);
    await expireOffsets(groups.table, NEVER);
    expect(committed(groups)).toEqual({ "t-1": 2 });
  });

  test("can be deleted where nobody consumes the topic, and with an empty group", async () => {
    const groups = new TestGroups();
    const { memberId } = await groups.stableMember({ protocols: subscription("t") });
    const offsets = [offset(0, 1), offset(0, 2, { topic: "other" })];
    await commit(groups, offsets, { memberId, generationOrEpoch: 1 });
    const refusals = await deleteOffsets(groups.table, GROUP, [
      { topic: "t", partition: 0 },
      { topic: "other", partition: 0 },
    ]);
    expect(refusals.map((refusal) => refusal?.code)).toEqual(["GROUP_SUBSCRIBED_TO_TOPIC", undefined]);
    expect(committed(groups)).toEqual({ "t-0": 1 });
    await expect(deleteGroup(groups.table, GROUP)).rejects.toMatchObject({ code: "NON_EMPTY_GROUP" });
    groups.leave({ memberId });
    await deleteGroup(groups.table, GROUP);
    groups.takeOver();
    expect(groups.table.size).toBe(0);
    await expect(deleteGroup(groups.table, GROUP)).rejects.toMatchObject({ code: "GROUP_ID_NOT_FOUND" });
  });

  test("that are on their way when their group is deleted do not come back", async () => {
    const groups = new TestGroups();
    await commit(groups, [offset(0, 1)]);
    groups.journal.hold();
    const stored = commit(groups, [offset(1, 2)]);
    const deleted = deleteGroup(groups.table, GROUP);
    groups.journal.release();
    await Promise.all([stored, deleted]);
    groups.takeOver();
    expect(groups.table.size).toBe(0);
  });
});
