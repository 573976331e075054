import {
  consumerGroupHeartbeat,
  consumerProtocolSubscription,
  joinGroup,
  syncGroup,
} from "@ottla/kafka-protocol";
import { systemClock } from "@ottla/runtime";
import type { KafkaTestClient } from "@ottla/tests/support/kafka-client";
import { type BenchNode, createTopic, say } from "./bench-node.ts";

const MEMBERS = 100;
const PARTITIONS = 1_000;
export const HEARTBEAT_MS = 1_000;
const COORDINATOR_LOAD_IN_PROGRESS = 14;

/** A member of the consumer protocol that does what it is told. */
class Member {
  epoch = 0;
  owned: { topicId: string; partitions: number[] }[] = [];
  changes = 0;
  readonly #client: KafkaTestClient;
  readonly #memberId: string;

  constructor(client: KafkaTestClient, memberId: string) {
    this.#client = client;
    this.#memberId = memberId;
  }

  async beat(): Promise<void> {
    const joins = this.epoch === 0;
    const answer = await this.#client.call(consumerGroupHeartbeat, 1, {
      groupId: "consumers",
      memberId: this.#memberId,
      memberEpoch: this.epoch,
      rebalanceTimeoutMs: joins ? 60_000 : -1,
      subscribedTopicNames: joins ? ["rebalanced"] : null,
      topicPartitions: joins ? [] : this.owned,
    });
    // Partitions of the groups' topic are being loaded behind the thousand of the benchmark's own.
    if (answer.errorCode === COORDINATOR_LOAD_IN_PROGRESS) return;
    if (answer.errorCode !== 0) throw new Error(`heartbeat: ${answer.errorCode} ${answer.errorMessage}`);
    this.epoch = answer.memberEpoch;
    if (answer.assignment === null) return;
    this.owned = answer.assignment.topicPartitions;
    this.changes += 1;
  }

  get count(): number {
    return this.owned.reduce((sum, { partitions }) => sum + partitions.length, 0);
  }
}

export async function measureConsumerRebalance(node: BenchNode): Promise<void> {
  const admin = await node.connect();
  await createTopic(admin, "rebalanced", PARTITIONS);
  const members: Member[] = [];
  const isStable = (): boolean => {
    const epoch = Math.max(...members.map((member) => member.epoch));
    const total = members.reduce((sum, { count }) => sum + count, 0);
    return total === PARTITIONS && members.every((member) => member.epoch === epoch);
  };
  const round = async (): Promise<void> => {
    for (const member of members) await member.beat();
  };
  const join = async (): Promise<void> => {
    members.push(new Member(await node.connect(), `member-${members.length}`));
  };
  while (members.length < MEMBERS - 1) await join();
  while (!isStable()) await round();
  for (const member of members) member.changes = 0;
  const before = members.map(({ count }) => count);
  await join();
  let rounds = 0;
  for (; !isStable(); rounds += 1) await round();
  const disturbed = members.filter(
    ({ changes, count }, index) => changes > 0 && count !== before[index],
  ).length;
  say(
    `consumer protocol, ${MEMBERS} members, ${PARTITIONS} partitions: one more member is stable after ` +
      `${rounds} heartbeat intervals; ${disturbed - 1} others gave partitions up, ` +
      "the rest were not disturbed",
  );
}

export async function measureClassicRebalance(node: BenchNode): Promise<void> {
  const topics = ["rebalanced"];
  const subscription = consumerProtocolSubscription.encode(1, { topics, ownedPartitions: [] });
  const join = {
    groupId: "classic",
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 60_000,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: subscription }],
  };
  const clients = await Promise.all(Array.from({ length: MEMBERS }, () => node.connect()));
  const ids = await Promise.all(
    clients.map(async (client) => (await client.call(joinGroup, 9, { ...join, memberId: "" })).memberId),
  );
  const startedMs = systemClock.monotonic();
  const assignment = Buffer.alloc((PARTITIONS / MEMBERS) * 4);
  await Promise.all(
    clients.map(async (client, index) => {
      const memberId = ids[index] ?? "";
      const joined = await client.call(joinGroup, 9, { ...join, memberId });
      const assignments = joined.members.map((member) => ({ memberId: member.memberId, assignment }));
      const { generationId } = joined;
      await client.call(syncGroup, 5, { groupId: "classic", generationId, memberId, assignments });
    }),
  );
  const tookMs = Math.round(systemClock.monotonic() - startedMs);
  say(`classic protocol, ${MEMBERS} members: all have their assignments ${tookMs} ms after they joined`);
}
