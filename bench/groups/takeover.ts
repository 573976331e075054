import {
  consumerGroupHeartbeat,
  consumerProtocolSubscription,
  heartbeat,
  joinGroup,
  offsetCommit,
  syncGroup,
} from "@ottla/kafka-protocol";
import { systemClock } from "@ottla/runtime";
import { KafkaTestClient } from "@ottla/tests/support/kafka-client";
import { LEASE_TTL_MS, OttlaCluster, type OttlaNode } from "@ottla/tests/support/ottla-cluster";
import { percentile } from "../steady-load.ts";
import { COMMIT_VERSION, commitRequest, createTopic, say } from "./bench-node.ts";

/** Of them, two group-coordinators own about half each. */
const GROUPS = 2_000;
const PARTITIONS = 6;
const TARGET_MS = LEASE_TTL_MS + 3_000;
const TOPIC = "taken";
const RETRY_MS = 50;
const JOINING_AT_ONCE = 50;
/** COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR: a client asks again. */
const RETRIABLE = new Set([14, 15, 16]);

/** A group with one member, by turns of either protocol, which has all partitions and an offset in each. */
class GroupOfOne {
  readonly #client: KafkaTestClient;
  readonly #groupId: string;
  readonly #isClassic: boolean;
  #memberId = "";
  #epoch = 0;

  constructor(client: KafkaTestClient, index: number) {
    this.#client = client;
    this.#groupId = `taken-${index}`;
    this.#isClassic = index % 2 === 0;
  }

  async join(): Promise<void> {
    if (this.#isClassic) await this.#joinClassic();
    else {
      this.#memberId = this.#groupId;
      await this.#untilDone(() => this.#consumerHeartbeat());
    }
    await this.commit(1);
  }

  async beat(): Promise<void> {
    await this.#untilDone(() => (this.#isClassic ? this.#classicHeartbeat() : this.#consumerHeartbeat()));
  }

  async commit(offset: number): Promise<void> {
    const request = {
      ...commitRequest(this.#groupId, TOPIC, PARTITIONS, offset),
      memberId: this.#memberId,
      generationIdOrMemberEpoch: this.#epoch,
    };
    await this.#untilDone(async () => {
      const { topics } = await this.#client.call(offsetCommit, COMMIT_VERSION, request);
      return topics[0]?.partitions.find(({ errorCode }) => errorCode !== 0)?.errorCode ?? 0;
    });
  }

  async #joinClassic(): Promise<void> {
    const topics = [TOPIC];
    const metadata = consumerProtocolSubscription.encode(1, { topics, ownedPartitions: [] });
    const join = {
      groupId: this.#groupId,
      sessionTimeoutMs: 60_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: "consumer",
      protocols: [{ name: "range", metadata }],
    };
    const { memberId } = await this.#client.call(joinGroup, 9, { ...join, memberId: "" });
    const { generationId } = await this.#client.call(joinGroup, 9, { ...join, memberId });
    this.#memberId = memberId;
    this.#epoch = generationId;
    const assignments = [{ memberId, assignment: Buffer.alloc(PARTITIONS * 4) }];
    await this.#client.call(syncGroup, 5, { groupId: this.#groupId, generationId, memberId, assignments });
  }

  async #classicHeartbeat(): Promise<number> {
    const { errorCode } = await this.#client.call(heartbeat, 4, {
      groupId: this.#groupId,
      generationId: this.#epoch,
      memberId: this.#memberId,
    });
    return errorCode;
  }

  async #consumerHeartbeat(): Promise<number> {
    const joins = this.#epoch === 0;
    const { errorCode, memberEpoch } = await this.#client.call(consumerGroupHeartbeat, 1, {
      groupId: this.#groupId,
      memberId: this.#memberId,
      memberEpoch: this.#epoch,
      rebalanceTimeoutMs: joins ? 60_000 : -1,
      subscribedTopicNames: joins ? [TOPIC] : null,
      topicPartitions: joins ? [] : null,
    });
    if (errorCode === 0) this.#epoch = memberEpoch;
    return errorCode;
  }

  /** Throws for whatever would have made the member join anew. */
  async #untilDone(ask: () => Promise<number>): Promise<void> {
    for (;;) {
      const errorCode = await ask();
      if (errorCode === 0) return;
      if (!RETRIABLE.has(errorCode)) throw new Error(`${this.#groupId}: error ${errorCode}`);
      await systemClock.sleep(RETRY_MS);
    }
  }
}

/** A group-coordinator is killed; until every group of it has heard a heartbeat and taken a commit again. */
export async function measureTakeover(): Promise<void> {
  const shape = { coordinators: 1, storageNodes: 1, groupCoordinators: 2, gateways: 1 };
  const cluster = await OttlaCluster.start(shape, ["--groups-initial-rebalance-delay-ms=0"]);
  try {
    const { kafkaPort } = cluster.node("gateway", 1);
    const admin = await KafkaTestClient.connect(kafkaPort);
    await createTopic(admin, TOPIC, PARTITIONS);
    const groups: GroupOfOne[] = [];
    while (groups.length < GROUPS) {
      const clients = await Promise.all(
        Array.from({ length: JOINING_AT_ONCE }, () => KafkaTestClient.connect(kafkaPort)),
      );
      const more = clients.map((client, index) => new GroupOfOne(client, groups.length + index));
      await Promise.all(more.map((group) => group.join()));
      groups.push(...more);
    }
    const killed = cluster.node("group-coordinator", 2);
    const moved = await killed.metric("ottla_group_coordinator_groups");
    say(`takeover: ${GROUPS} groups have a member and ${PARTITIONS} offsets each, ${moved} of them move`);
    await report(groups, killed, moved);
  } finally {
    await cluster.stop();
  }
}

async function report(groups: readonly GroupOfOne[], killed: OttlaNode, moved: number): Promise<void> {
  const startedMs = systemClock.monotonic();
  await killed.end("SIGKILL");
  const tookMs = await Promise.all(
    groups.map(async (group) => {
      await group.beat();
      await group.commit(2);
      return systemClock.monotonic() - startedMs;
    }),
  );
  const ascending = tookMs.toSorted((a, b) => a - b).slice(-moved);
  say(
    `takeover of ${moved} groups: the first goes on after ${Math.round(ascending[0] ?? Number.NaN)} ms, ` +
      `half after ${Math.round(percentile(ascending, 0.5))} ms, all after ` +
      `${Math.round(ascending.at(-1) ?? Number.NaN)} ms (lease ${LEASE_TTL_MS} ms; target ${TARGET_MS} ms)`,
  );
}
