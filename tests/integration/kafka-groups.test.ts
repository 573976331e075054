import {
  deleteGroups,
  describeGroups,
  heartbeat,
  joinGroup,
  leaveGroup,
  listGroups,
  offsetCommit,
  offsetDelete,
  offsetFetch,
  produce,
  syncGroup,
} from "@ottla/kafka-protocol";
import { describe, expect, test } from "vitest";
import type { KafkaTestClient } from "../support/kafka-client.ts";
import { batchOf, connectKafka, createTopic, startKafkaNode } from "./kafka-support.ts";

const CODES = {
  none: 0,
  unknownTopic: 3,
  invalidTopic: 17,
  illegalGeneration: 22,
  inconsistentProtocol: 23,
  invalidGroupId: 24,
  unknownMember: 25,
  invalidSessionTimeout: 26,
  rebalanceInProgress: 27,
  nonEmptyGroup: 68,
  groupIdNotFound: 69,
  memberIdRequired: 79,
  fencedInstanceId: 82,
  unknownTopicId: 100,
} as const;

const EMPTY_SUBSCRIPTION = Buffer.from([0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

interface Join {
  readonly groupId?: string;
  readonly memberId?: string;
  readonly groupInstanceId?: string;
  readonly sessionTimeoutMs?: number;
  readonly protocols?: { name: string; metadata: Buffer }[];
}

function joinWith(kafka: KafkaTestClient, version: number, join: Join = {}) {
  return kafka.call(joinGroup, version, {
    groupId: "g",
    memberId: "",
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: EMPTY_SUBSCRIPTION }],
    ...join,
  });
}

/** One member that has its assignment. */
async function stableMember(kafka: KafkaTestClient, join: Join = {}) {
  const first = await joinWith(kafka, 9, join);
  const joined =
    first.errorCode === CODES.none ? first : await joinWith(kafka, 9, { ...join, memberId: first.memberId });
  const { memberId, generationId } = joined;
  await kafka.call(syncGroup, 5, {
    groupId: join.groupId ?? "g",
    generationId,
    memberId,
    groupInstanceId: join.groupInstanceId ?? null,
    assignments: [{ memberId, assignment: Buffer.from("all") }],
  });
  return { memberId, generationId };
}

function commitOne(kafka: KafkaTestClient, version: number, offset: number, more: object = {}) {
  return kafka.call(offsetCommit, version, {
    groupId: "g",
    memberId: "",
    topics: [
      {
        name: "t",
        topicId: undefined,
        partitions: [{ partitionIndex: 0, committedOffset: offset, committedMetadata: "note" }],
      },
    ],
    ...more,
  });
}

describe("classic groups over Kafka's protocol", () => {
  test("every version of every group API is answered by its own schema", async () => {
    const { kafka } = await startKafkaNode();
    await createTopic(kafka, "t");
    for (let version = 0; version <= 9; version += 1) {
      const answer = await joinWith(kafka, version, { groupId: `join-${version}` });
      expect(answer.errorCode).toBe(version < 4 ? CODES.none : CODES.memberIdRequired);
      expect(answer.memberId).not.toBe("");
    }
    for (let version = 0; version <= 5; version += 1) {
      const groupId = `sync-${version}`;
      const { memberId, generationId } = await joinWith(kafka, 0, { groupId });
      const assignments = [{ memberId, assignment: Buffer.from("all") }];
      const synced = await kafka.call(syncGroup, version, { groupId, generationId, memberId, assignments });
      expect(Buffer.from(synced.assignment).toString()).toBe("all");
      const alive = { groupId, generationId, memberId };
      expect((await kafka.call(heartbeat, Math.min(version, 4), alive)).errorCode).toBe(CODES.none);
      const left = await kafka.call(leaveGroup, version, { groupId, memberId, members: [{ memberId }] });
      expect([left.errorCode, ...left.members.map(({ errorCode }) => errorCode)]).toEqual(
        version < 3 ? [CODES.none] : [CODES.none, CODES.none],
      );
      expect((await kafka.call(heartbeat, 4, alive)).errorCode).toBe(CODES.unknownMember);
    }
    for (let version = 0; version <= 6; version += 1) {
      const { groups } = await kafka.call(describeGroups, version, { groups: ["join-0", "none"] });
      expect(groups.map(({ groupState }) => groupState)).toEqual(["CompletingRebalance", "Dead"]);
      expect(groups[1]?.errorCode).toBe(version < 6 ? CODES.none : CODES.groupIdNotFound);
    }
    for (let version = 0; version <= 5; version += 1) {
      const { groups } = await kafka.call(listGroups, version, { statesFilter: ["empty"], typesFilter: [] });
      expect(groups.some(({ groupId }) => groupId === "sync-0")).toBe(true);
      expect(groups.some(({ groupId }) => groupId === "join-0")).toBe(version < 4);
    }
  });

  test("offsets are committed and fetched in every version, by name and by id", async () => {
    const { kafka } = await startKafkaNode();
    const topicId = await createTopic(kafka, "t");
    for (let version = 2; version <= 10; version += 1) {
      const partitions = [
        { partitionIndex: 0, committedOffset: version, committedMetadata: "note" },
        { partitionIndex: 9, committedOffset: 1, committedMetadata: null },
      ];
      const { topics } = await kafka.call(offsetCommit, version, {
        groupId: "g",
        memberId: "",
        topics: [{ name: "t", topicId, partitions }],
      });
      expect(topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([
        CODES.none,
        CODES.unknownTopic,
      ]);
    }
    for (let version = 1; version <= 7; version += 1) {
      const { topics } = await kafka.call(offsetFetch, version, {
        groupId: "g",
        topics: [{ name: "t", partitionIndexes: [0, 1] }],
        groups: [],
      });
      expect(topics[0]?.partitions).toMatchObject([
        { committedOffset: 10, metadata: "note", errorCode: CODES.none },
        { committedOffset: -1, metadata: "", errorCode: CODES.none },
      ]);
    }
    for (let version = 8; version <= 10; version += 1) {
      const { groups } = await kafka.call(offsetFetch, version, {
        groupId: "",
        topics: null,
        groups: [
          { groupId: "g", topics: [{ name: "t", topicId, partitionIndexes: [0] }] },
          { groupId: "g", topics: null },
          { groupId: "other", topics: null },
        ],
      });
      expect(
        groups.map(({ errorCode, topics }) => [errorCode, topics[0]?.partitions[0]?.committedOffset]),
      ).toEqual([
        [CODES.none, 10],
        [CODES.none, 10],
        [CODES.none, undefined],
      ]);
    }
    const strange = "0b0b0b0b-0000-4000-8000-000000000001";
    const unknown = await kafka.call(offsetCommit, 10, {
      groupId: "g",
      memberId: "",
      topics: [
        { topicId: strange, partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: "" }] },
      ],
    });
    expect(unknown.topics[0]?.partitions[0]?.errorCode).toBe(CODES.unknownTopicId);
  });

  test("two members share a group; one that leaves makes the other join again", async () => {
    const { kafka, port } = await startKafkaNode();
    const other = await connectKafka(port);
    const first = await stableMember(kafka);
    const { memberId: secondId } = await joinWith(other, 9);
    const joining = joinWith(other, 9, { memberId: secondId });
    const alive = { groupId: "g", generationId: first.generationId, memberId: first.memberId };
    expect(await untilNot(CODES.none, async () => (await kafka.call(heartbeat, 4, alive)).errorCode)).toBe(
      CODES.rebalanceInProgress,
    );
    const [leader, follower] = await Promise.all([joinWith(kafka, 9, { memberId: first.memberId }), joining]);
    expect(leader.members.map(({ memberId }) => memberId).toSorted()).toEqual(
      [first.memberId, secondId].toSorted(),
    );
    expect(follower).toMatchObject({
      generationId: leader.generationId,
      leader: first.memberId,
      members: [],
    });
    await other.call(leaveGroup, 5, { groupId: "g", memberId: "", members: [{ memberId: secondId }] });
    const stillAlive = { ...alive, generationId: leader.generationId };
    expect((await kafka.call(heartbeat, 4, stillAlive)).errorCode).toBe(CODES.rebalanceInProgress);
  });

  test("what a member may not do is refused with the code that clients act on", async () => {
    const { kafka } = await startKafkaNode();
    await createTopic(kafka, "t");
    expect((await joinWith(kafka, 9, { groupId: "" })).errorCode).toBe(CODES.invalidGroupId);
    const nameless = { groupId: "", generationId: 1, memberId: "m" };
    expect((await kafka.call(heartbeat, 4, nameless)).errorCode).toBe(CODES.invalidGroupId);
    expect((await kafka.call(syncGroup, 5, { ...nameless, assignments: [] })).errorCode).toBe(
      CODES.invalidGroupId,
    );
    const leaving = { ...nameless, members: [{ memberId: "m" }] };
    expect((await kafka.call(leaveGroup, 5, leaving)).errorCode).toBe(CODES.invalidGroupId);
    expect((await joinWith(kafka, 9, { sessionTimeoutMs: 1 })).errorCode).toBe(CODES.invalidSessionTimeout);
    expect((await joinWith(kafka, 9, { memberId: "unheard-of" })).errorCode).toBe(CODES.unknownMember);
    const { memberId, generationId } = await stableMember(kafka, { groupInstanceId: "i" });
    const as = { memberId, generationIdOrMemberEpoch: generationId, groupInstanceId: "i" };
    const codeOf = async (more: object): Promise<number | undefined> =>
      (await commitOne(kafka, 9, 5, { ...as, ...more })).topics[0]?.partitions[0]?.errorCode;
    expect(await codeOf({})).toBe(CODES.none);
    expect(await codeOf({ generationIdOrMemberEpoch: 9 })).toBe(CODES.illegalGeneration);
    expect(await codeOf({ memberId: "other" })).toBe(CODES.fencedInstanceId);
    const deleted = await kafka.call(deleteGroups, 2, { groupsNames: ["g", "none"] });
    expect(deleted.results.map(({ errorCode }) => errorCode)).toEqual([
      CODES.nonEmptyGroup,
      CODES.groupIdNotFound,
    ]);
  });

  test("a group without members is deleted with its offsets, and offsets alone are too", async () => {
    const { kafka } = await startKafkaNode();
    await createTopic(kafka, "t");
    await commitOne(kafka, 9, 5);
    const { topics } = await kafka.call(offsetDelete, 0, {
      groupId: "g",
      topics: [{ name: "t", partitions: [{ partitionIndex: 0 }, { partitionIndex: 7 }] }],
    });
    expect(topics[0]?.partitions.map(({ errorCode }) => errorCode)).toEqual([CODES.none, CODES.unknownTopic]);
    await commitOne(kafka, 9, 6);
    const { results } = await kafka.call(deleteGroups, 2, { groupsNames: ["g"] });
    expect(results).toEqual([{ groupId: "g", errorCode: CODES.none }]);
    const { groups } = await kafka.call(listGroups, 5, { statesFilter: [], typesFilter: [] });
    expect(groups).toEqual([]);
  });

  test("clients may not write to the topic that keeps the groups", async () => {
    const { kafka } = await startKafkaNode();
    await createTopic(kafka, "t");
    await commitOne(kafka, 9, 5);
    const { responses } = await kafka.call(produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 1_000,
      topicData: [{ name: "__consumer_offsets", partitionData: [{ index: 0, records: batchOf(["x"]) }] }],
    });
    expect(responses[0]?.partitionResponses[0]?.errorCode).toBe(CODES.invalidTopic);
  });
});

/** Asks again until the answer is another. */
async function untilNot(code: number, ask: () => Promise<number>): Promise<number> {
  for (;;) {
    const answer = await ask();
    if (answer !== code) return answer;
  }
}

test("a member that the node has no room for is told to come back, at once", async () => {
  const { kafka, node } = await startKafkaNode({ groups: { maxMemberBytes: 1024 * 1024 } });
  const joinLarge = (kibibytes: number) =>
    joinWith(kafka, 3, { protocols: [{ name: "range", metadata: Buffer.alloc(kibibytes * 1024) }] });
  expect(await joinLarge(900)).toMatchObject({ errorCode: 15 });
  expect(await joinLarge(800)).toMatchObject({ errorCode: CODES.none });
  const metrics = await (await fetch(`${node.httpUrl}/metrics`)).text();
  // The gateway does not ask again in its place.
  expect(metrics).toMatch(/^ottla_group_coordinator_refused_members_total 1$/m);
  expect(Number(/^ottla_group_coordinator_member_bytes (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(819_200);
});
