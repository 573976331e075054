import { toOttlaError } from "@ottla/errors";
import { consumerProtocolAssignment, consumerProtocolSubscription } from "@ottla/kafka-protocol";
import { GroupCoordinatorService } from "@ottla/proto/ottla/internal/v1/groups";
import { createClient, InProcessTransport, ServiceRegistry } from "@ottla/rpc";
import { SeededRandom } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { groupCoordinatorService } from "../group-coordinator-service.ts";
import { GROUP, TestGroups, topicIdOf } from "../test-groups.ts";

const TOPIC = "t";
const PARTITIONS = 4;
const SESSION_MS = 10_000;

class Groups {
  readonly inner = new TestGroups();
  readonly service = createClient(GroupCoordinatorService, this.#transport());

  constructor() {
    this.inner.catalog.set(TOPIC, PARTITIONS);
  }

  #transport(): InProcessTransport {
    const { clock, limits } = this.inner;
    const registry = new ServiceRegistry().add(
      GroupCoordinatorService,
      groupCoordinatorService({
        partitions: { tableOf: () => this.inner.table, tables: () => [this.inner.table] },
        limits,
        random: new SeededRandom(7),
      }),
    );
    return new InProcessTransport({ registry, clock, copy: true });
  }

  get type(): string | undefined {
    return this.inner.table.find(GROUP)?.membership.type;
  }

  get state(): string | undefined {
    return this.inner.table.find(GROUP)?.membership.state;
  }
}

interface Member {
  readonly partitions: readonly number[];
  /** Does what its client does in one heartbeat interval. */
  round(): Promise<void>;
  leave(): Promise<void>;
}

/** A client of the classic protocol: it joins, assigns when it leads, and joins again when it is told to. */
class ClassicClient implements Member {
  readonly #groups: Groups;
  readonly #isCooperative: boolean;
  readonly instanceId: string | undefined;
  memberId = "";
  generation = -1;
  partitions: readonly number[] = [];
  joins = 0;

  constructor(groups: Groups, isCooperative: boolean, instanceId?: string) {
    this.#groups = groups;
    this.#isCooperative = isCooperative;
    this.instanceId = instanceId;
  }

  async join(): Promise<void> {
    this.joins += 1;
    const { instanceId } = this;
    const ownedPartitions = this.#isCooperative ? [{ topic: TOPIC, partitions: [...this.partitions] }] : [];
    const metadata = consumerProtocolSubscription.encode(3, { topics: [TOPIC], ownedPartitions });
    const joined = await this.#groups.service.joinGroup({
      groupId: GROUP,
      memberId: this.memberId,
      ...(instanceId !== undefined && { instanceId }),
      client: { clientId: "classic", clientHost: "/127.0.0.1" },
      sessionTimeoutMs: SESSION_MS,
      rebalanceTimeoutMs: 30_000,
      protocolType: "consumer",
      protocols: [{ name: this.#isCooperative ? "cooperative-sticky" : "range", metadata }],
    });
    this.memberId = joined.memberId ?? "";
    this.generation = joined.generation ?? -1;
    // As a leader it gives everything to itself: tests have one classic member at a time that leads.
    const assignment = consumerProtocolAssignment.encode(1, {
      assignedPartitions: [{ topic: TOPIC, partitions: [0, 1, 2, 3] }],
    });
    const leads = joined.leaderId === this.memberId;
    const synced = await this.#groups.service.syncGroup({
      groupId: GROUP,
      memberId: this.memberId,
      ...(instanceId !== undefined && { instanceId }),
      generation: this.generation,
      assignments: leads ? [{ memberId: this.memberId, assignment }] : [],
    });
    const before = this.partitions;
    this.partitions = assignedBy(synced.assignment);
    const hasLost = before.some((partition) => !this.partitions.includes(partition));
    if (this.#isCooperative && hasLost) await this.join();
  }

  async round(): Promise<void> {
    const code = await codeOf(this.beat());
    if (code === "none") return;
    if (code !== "REBALANCE_IN_PROGRESS") throw new Error(code);
    if (!this.#isCooperative) this.partitions = [];
    await this.join();
  }

  async beat(): Promise<void> {
    const { memberId, generation, instanceId } = this;
    const id = instanceId === undefined ? {} : { instanceId };
    await this.#groups.service.heartbeat({ groupId: GROUP, memberId, generation, ...id });
  }

  async leave(): Promise<void> {
    await this.#groups.service.leaveGroup({ groupId: GROUP, members: [{ memberId: this.memberId }] });
  }

  async commit(): Promise<string> {
    const offsets = [{ topic: TOPIC, topicId: topicIdOf(TOPIC), partition: 0, offset: 1n, leaderEpoch: -1 }];
    const { memberId, generation } = this;
    return codeOf(
      this.#groups.service.commitOffsets({
        groupId: GROUP,
        memberId,
        generationOrEpoch: generation,
        offsets,
        retentionMs: -1n,
      }),
    );
  }
}

class ConsumerClient implements Member {
  readonly #groups: Groups;
  readonly memberId: string;
  readonly instanceId: string | undefined;
  epoch = 0;
  partitions: readonly number[] = [];

  constructor(groups: Groups, memberId: string, instanceId?: string) {
    this.#groups = groups;
    this.memberId = memberId;
    this.instanceId = instanceId;
  }

  async round(): Promise<void> {
    await this.beat(this.epoch);
  }

  async leave(): Promise<void> {
    await this.beat(-1);
  }

  async beat(memberEpoch: number): Promise<void> {
    const joins = memberEpoch === 0;
    const owned = { topics: this.partitions.length === 0 ? [] : [this.#owned()] };
    const answer = await this.#groups.service.consumerHeartbeat({
      groupId: GROUP,
      memberId: this.memberId,
      memberEpoch,
      ...(this.instanceId !== undefined && { instanceId: this.instanceId }),
      client: { clientId: "consumer", clientHost: "/127.0.0.1" },
      rebalanceTimeoutMs: joins ? 30_000 : -1,
      ...(joins && { subscribedTopics: { names: [TOPIC] } }),
      owned: joins ? { topics: [] } : owned,
    });
    this.epoch = answer.memberEpoch ?? 0;
    const assignment = answer.assignment?.topics;
    if (assignment !== undefined) this.partitions = assignment[0]?.partitions ?? [];
  }

  #owned() {
    return { topicId: topicIdOf(TOPIC), topic: "", partitions: [...this.partitions] };
  }
}

function assignedBy(assignment: Uint8Array | undefined): readonly number[] {
  if (assignment === undefined || assignment.length === 0) return [];
  return consumerProtocolAssignment.decode(assignment).assignedPartitions[0]?.partitions ?? [];
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "none",
    (thrown: unknown) => toOttlaError(thrown).code,
  );
}

/** Rounds until nothing moves; no partition ever has two owners. */
async function settle(...members: readonly Member[]): Promise<number[][]> {
  for (let count = 0; count < 6; count += 1) {
    for (const member of members) {
      await member.round();
      const all = members.flatMap(({ partitions }) => partitions);
      expect(new Set(all).size).toBe(all.length);
    }
  }
  return members.map(({ partitions }) => [...partitions].toSorted((a, b) => a - b));
}

describe.each([
  ["eager", false],
  ["cooperative", true],
] as const)("a group changes its protocol while it works, with %s classic members", (_, isCooperative) => {
  test("a member of the consumer protocol joins: the classic one goes on with what it keeps", async () => {
    const groups = new Groups();
    const old = new ClassicClient(groups, isCooperative);
    await old.join();
    expect(old.partitions).toEqual([0, 1, 2, 3]);
    const fresh = new ConsumerClient(groups, "fresh");
    await fresh.round();
    expect(groups.type).toBe("consumer");
    expect(fresh.partitions).toEqual([]);
    expect(await settle(old, fresh)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(groups.state).toBe("Stable");
    expect(await old.commit()).toBe("none");
  });

  test("the classic one leaves: nobody but the consumer protocol is left", async () => {
    const groups = new Groups();
    const [old, fresh] = [new ClassicClient(groups, isCooperative), new ConsumerClient(groups, "fresh")];
    await old.join();
    await fresh.round();
    await settle(old, fresh);
    await old.leave();
    expect(await settle(fresh)).toEqual([[0, 1, 2, 3]]);
    expect(groups.type).toBe("consumer");
  });

  test("the last of the consumer protocol leaves: the classic ones share out among themselves", async () => {
    const groups = new Groups();
    const [old, fresh] = [new ClassicClient(groups, isCooperative), new ConsumerClient(groups, "fresh")];
    await fresh.round();
    await old.join();
    await settle(fresh, old);
    await fresh.leave();
    expect(groups.type).toBe("classic");
    expect(groups.state).toBe("PreparingRebalance");
    expect(await settle(old)).toEqual([[0, 1, 2, 3]]);
    expect(groups.state).toBe("Stable");
  });

  test("a new owner finds the mixed group as it was, and the group that went back", async () => {
    const groups = new Groups();
    const [old, fresh] = [new ClassicClient(groups, isCooperative), new ConsumerClient(groups, "fresh")];
    await old.join();
    await fresh.round();
    await settle(old, fresh);
    groups.inner.takeOver();
    expect(await settle(old, fresh)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    await fresh.leave();
    groups.inner.takeOver();
    expect(groups.type).toBe("classic");
    await old.beat();
    expect(old.partitions).toEqual([0, 1]);
  });

  test("members that died before or during the change are out after their sessions", async () => {
    const groups = new Groups();
    const [dead, fresh] = [new ClassicClient(groups, isCooperative), new ConsumerClient(groups, "fresh")];
    await dead.join();
    await fresh.round();
    await fresh.round();
    expect(fresh.partitions).toEqual([]);
    await groups.inner.clock.advance(SESSION_MS + 1);
    expect(await settle(fresh)).toEqual([[0, 1, 2, 3]]);
    const old = new ClassicClient(groups, isCooperative);
    await old.join();
    for (let waitedMs = 0; waitedMs < 46_000; waitedMs += 5_000) {
      await groups.inner.clock.advance(5_000);
      await old.round();
    }
    expect(groups.type).toBe("classic");
    expect(await settle(old)).toEqual([[0, 1, 2, 3]]);
  });

  test("a static member that is away keeps its partitions over the change", async () => {
    const groups = new Groups();
    const away = new ClassicClient(groups, isCooperative, "static");
    await away.join();
    const fresh = new ConsumerClient(groups, "fresh");
    await fresh.round();
    await fresh.round();
    // Its process starts again, and knows nothing.
    const back = new ClassicClient(groups, isCooperative, "static");
    await back.join();
    expect(await settle(back, fresh)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(await codeOf(away.beat())).toBe("FENCED_INSTANCE_ID");
  });

  test("static members come back with the other protocol, in both directions", async () => {
    const groups = new Groups();
    const [first, second] = [
      new ClassicClient(groups, isCooperative, "first"),
      new ConsumerClient(groups, "second", "second"),
    ];
    await first.join();
    await second.round();
    await settle(first, second);
    const upgraded = new ConsumerClient(groups, "first again", "first");
    await upgraded.round();
    expect(await settle(upgraded, second)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    const downgraded = new ClassicClient(groups, isCooperative, "second");
    await second.beat(-2);
    await downgraded.join();
    expect(groups.type).toBe("consumer");
    expect(await settle(upgraded, downgraded)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    // The last one of the consumer protocol: with it the group goes back, before the new member has joined.
    const last = new ClassicClient(groups, isCooperative, "first");
    const joining = last.join();
    await groups.inner.clock.advance(1);
    expect(groups.type).toBe("classic");
    await downgraded.round();
    await joining;
    expect(groups.state).toBe("Stable");
  });
});

test("a classic member that does not join when it is told to is out in the end", async () => {
  const groups = new Groups();
  const [old, fresh] = [new ClassicClient(groups, true), new ConsumerClient(groups, "fresh")];
  await old.join();
  await fresh.round();
  expect(await codeOf(old.beat())).toBe("REBALANCE_IN_PROGRESS");
  for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 5_000) {
    expect(await codeOf(old.beat())).toBe("REBALANCE_IN_PROGRESS");
    await groups.inner.clock.advance(5_000);
    await fresh.round();
  }
  expect(await codeOf(old.beat())).toBe("UNKNOWN_MEMBER_ID");
  expect(await settle(fresh)).toEqual([[0, 1, 2, 3]]);
});

test("a group whose members share out something else than partitions stays as it is", async () => {
  const groups = new Groups();
  await groups.inner.stableMember({ protocolType: "connect" });
  expect(await codeOf(new ConsumerClient(groups, "fresh").round())).toBe("GROUP_ID_NOT_FOUND");
  expect(groups.type).toBe("classic");
});

test("a commit of a former generation is refused in the words of the classic protocol", async () => {
  const groups = new Groups();
  const [old, fresh] = [new ClassicClient(groups, true), new ConsumerClient(groups, "fresh")];
  await old.join();
  await fresh.round();
  await settle(old, fresh);
  old.generation -= 1;
  expect(await old.commit()).toBe("ILLEGAL_GENERATION");
});
