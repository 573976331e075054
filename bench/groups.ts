/**
 * Consumer groups on one node, over Kafka's protocol: commits in a second; a rebalance of 100 members and
 * 1,000 partitions by both protocols; a scrape of 2,000 groups with 12,000 offsets.
 * Run: `sh scripts/node.sh bench/groups.ts`.
 */
import { readFile } from "node:fs/promises";
import {
  consumerGroupHeartbeat,
  consumerProtocolSubscription,
  createTopics,
  joinGroup,
  metadata,
  offsetCommit,
  syncGroup,
} from "@ottla/kafka-protocol";
import { systemClock } from "@ottla/runtime";
import { KafkaTestClient } from "@ottla/tests/support/kafka-client";
import { OttlaServer } from "@ottla/tests/support/ottla-server";

const COMMIT_CLIENTS = 64;
const COMMIT_MS = 5_000;
const MEMBERS = 100;
const PARTITIONS = 1_000;
const HEARTBEAT_MS = 1_000;
const SCRAPE_GROUPS = 2_000;
const SCRAPE_PARTITIONS = 6;
const COMMIT_VERSION = 9;

const server = await OttlaServer.start({
  flags: ["--groups-consumer-heartbeat-interval-ms", `${HEARTBEAT_MS}ms`],
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function connect(): Promise<KafkaTestClient> {
  return KafkaTestClient.connect(server.kafkaPort);
}

async function createTopic(client: KafkaTestClient, name: string, numPartitions: number): Promise<string> {
  const topic = { name, numPartitions, replicationFactor: 1, assignments: [], configs: [] };
  const { topics } = await client.call(createTopics, 7, { topics: [topic] });
  return topics[0]?.topicId ?? "";
}

function commitRequest(groupId: string, topic: string, partitions: number, offset: number) {
  return {
    groupId,
    memberId: "",
    topics: [
      {
        name: topic,
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
          partitionIndex,
          committedOffset: offset,
          committedMetadata: "",
        })),
      },
    ],
  };
}

/** Of all threads: on a shared machine it says more than the rate does. */
async function serverCpuMs(): Promise<number> {
  const stat = await readFile(`/proc/${server.processId}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function measureCommits(): Promise<void> {
  const admin = await connect();
  await createTopic(admin, "commits", 1);
  const clients = await Promise.all(Array.from({ length: COMMIT_CLIENTS }, connect));
  let count = 0;
  const cpuBeforeMs = await serverCpuMs();
  const startedMs = systemClock.monotonic();
  const isOver = (): boolean => systemClock.monotonic() - startedMs > COMMIT_MS;
  await Promise.all(
    clients.map(async (client, index) => {
      for (let offset = 0; !isOver(); offset += 1) {
        await client.call(
          offsetCommit,
          COMMIT_VERSION,
          commitRequest(`commits-${index}`, "commits", 1, offset),
        );
        count += 1;
      }
    }),
  );
  const perSecond = Math.round((count / (systemClock.monotonic() - startedMs)) * 1_000);
  const cpuMicroseconds = Math.round((((await serverCpuMs()) - cpuBeforeMs) / count) * 1_000);
  say(
    `commits, ${COMMIT_CLIENTS} clients, one under way each: ${perSecond}/s, ` +
      `${cpuMicroseconds} µs of the server's processor time for each`,
  );
  for (const client of [...clients, admin]) client.close();
}

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

async function measureConsumerRebalance(): Promise<void> {
  const admin = await connect();
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
    members.push(new Member(await connect(), `member-${members.length}`));
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
      `${rounds} heartbeat intervals; ${disturbed - 1} others gave partitions up, the rest were not disturbed`,
  );
}

async function measureClassicRebalance(): Promise<void> {
  const topics = ["rebalanced"];
  const subscription = consumerProtocolSubscription.encode(1, { topics, ownedPartitions: [] });
  const join = {
    groupId: "classic",
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 60_000,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: subscription }],
  };
  const clients = await Promise.all(Array.from({ length: MEMBERS }, connect));
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

async function measureScrape(): Promise<void> {
  const client = await connect();
  await createTopic(client, "scraped", SCRAPE_PARTITIONS);
  for (let group = 0; group < SCRAPE_GROUPS; group += 1) {
    await client.call(
      offsetCommit,
      COMMIT_VERSION,
      commitRequest(`scraped-${group}`, "scraped", SCRAPE_PARTITIONS, 0),
    );
  }
  const scrape = async (): Promise<number> => {
    const startedMs = systemClock.monotonic();
    await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
    return systemClock.monotonic() - startedMs;
  };
  await scrape();
  let longestMs = 0;
  const scraped = { isOver: false };
  const pinging = (async () => {
    while (!scraped.isOver) {
      const startedMs = systemClock.monotonic();
      await client.call(metadata, 12, { topics: [], allowAutoTopicCreation: false });
      longestMs = Math.max(longestMs, systemClock.monotonic() - startedMs);
    }
  })();
  const tookMs = await scrape();
  scraped.isOver = true;
  await pinging;
  say(
    `scrape of ${SCRAPE_GROUPS} groups, ${SCRAPE_GROUPS * SCRAPE_PARTITIONS} offsets: ${Math.round(tookMs)} ms; ` +
      `another request waited ${Math.round(longestMs)} ms at the most meanwhile`,
  );
}

try {
  await measureCommits();
  await measureConsumerRebalance();
  await measureClassicRebalance();
  await measureScrape();
} finally {
  await server.stop();
}
process.exit(0);
