import { ERRORS } from "@ottla/errors";
import { fetch } from "@ottla/kafka-protocol";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { decodeBatches } from "@ottla/records";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { KafkaTestClient } from "../support/kafka-client.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";
import { fetchRequest } from "./kafka-support.ts";

const PARTITIONS = 6;
const TOPIC = "t";

/** What a Kafka consumer takes for a change of leaders; it looks again and goes on. */
const CHANGE_OF_LEADERS: readonly number[] = [
  ERRORS.NOT_LEADER_OR_FOLLOWER.kafka,
  ERRORS.LEADER_NOT_AVAILABLE.kafka,
  ERRORS.OFFSET_NOT_AVAILABLE.kafka,
];

/** Reads all partitions in one incremental session of one connection, until told to stop. */
class SessionReader {
  readonly #kafka: KafkaTestClient;
  readonly #offsets = new Map(Array.from({ length: PARTITIONS }, (_, partition) => [partition, 0]));
  readonly #changed = new Set(this.#offsets.keys());
  /** What was amiss, but for changes of leaders. */
  readonly faults: string[] = [];
  #over = false;
  readonly #running: Promise<void>;

  constructor(kafka: KafkaTestClient) {
    this.#kafka = kafka;
    this.#running = this.#run();
  }

  get recordCount(): number {
    return [...this.#offsets.values()].reduce((sum, offset) => sum + offset, 0);
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    let sessionId = 0;
    for (let sessionEpoch = 0; !this.#over; sessionEpoch += 1) {
      const wanted = [...this.#changed].map((partition) => ({
        topic: TOPIC,
        partition,
        offset: this.#offsets.get(partition) ?? 0,
      }));
      this.#changed.clear();
      const request = fetchRequest(12, wanted, { sessionId, sessionEpoch, maxWaitMs: 500 });
      const answer = await this.#kafka.call(fetch, 12, request);
      sessionId = answer.sessionId;
      if (answer.errorCode !== 0) this.faults.push(`the session ended with ${answer.errorCode}`);
      for (const { partitions } of answer.responses) {
        for (const { partitionIndex, errorCode, records } of partitions) {
          if (errorCode === 0) this.#take(partitionIndex, records ?? new Uint8Array(0));
          else if (!CHANGE_OF_LEADERS.includes(errorCode)) this.faults.push(`error ${errorCode}`);
        }
      }
    }
  }

  #take(partition: number, records: Uint8Array): void {
    const from = this.#offsets.get(partition) ?? 0;
    let expected = from;
    for (const { offset } of decodeBatches(records)) {
      if (offset < from) continue;
      if (offset !== expected) this.faults.push(`${partition}: offset ${offset} after ${expected - 1}`);
      expected = offset + 1;
    }
    if (expected === from) return;
    this.#offsets.set(partition, expected);
    this.#changed.add(partition);
  }
}

/** Idempotent producers whose records have three replicas, while leaders end in every way. */
describe.runIf(haveEtcd())("a failover", () => {
  let cluster: OttlaCluster;
  let load: IdempotentLoad;
  let transport: GrpcTransport;
  let kafka: KafkaTestClient;
  let reader: SessionReader;

  beforeAll(async () => {
    cluster = await OttlaCluster.start({
      coordinators: 1,
      storageNodes: 3,
      groupCoordinators: 0,
      gateways: 1,
    });
    const { grpcPort } = cluster.node("gateway", 1);
    transport = new GrpcTransport({
      address: `127.0.0.1:${grpcPort}`,
      clock: systemClock,
      waitForReady: true,
    });
    await admin().createTopic({
      name: TOPIC,
      partitions: PARTITIONS,
      replicationFactor: 3,
      configs: { "min.insync.replicas": "2" },
    });
    load = new IdempotentLoad({ topic: TOPIC, partitions: PARTITIONS, grpcPorts: [grpcPort] });
    load.start();
    await load.untilAllMoved();
    kafka = await KafkaTestClient.connect(cluster.node("gateway", 1).kafkaPort);
    reader = new SessionReader(kafka);
  });

  afterAll(async () => {
    kafka?.close();
    await Promise.all([load?.close(), transport?.close()]);
    await cluster?.stop();
  });

  function admin() {
    return createClient(AdminService, transport);
  }

  async function partitions() {
    const { topics } = await admin().describeTopics({ names: [TOPIC] });
    return topics[0]?.partitions ?? [];
  }

  async function leaders(): Promise<number[]> {
    return (await partitions()).map(({ leader }) => leader);
  }

  /** A node that leads something, of those that run. */
  async function aLeader(): Promise<number> {
    return Math.max(...(await leaders()));
  }

  /** The first acknowledgement may be of before the fault, and only on its way still. */
  async function untilAllMovedOn(): Promise<void> {
    await load.untilAllMoved();
    await load.untilAllMoved();
  }

  async function untilAllInSync(): Promise<void> {
    await expect
      .poll(async () => (await partitions()).every(({ inSyncReplicas }) => inSyncReplicas.length === 3), {
        timeout: 30_000,
      })
      .toBe(true);
  }

  /** What clients saw since the last call; the first is for people who read the output. */
  function takeTrouble(what: string): string[] {
    process.stderr.write(`${what}: longest stall ${Math.round(load.takeLongestStallMs())} ms\n`);
    return load.takeErrors(cluster.node("gateway", 1).grpcPort);
  }

  test("after a crash of leaders is a pause and no error", async () => {
    const nodeId = await aLeader();
    takeTrouble("before");
    await cluster.node("partition-storage", nodeId).end("SIGKILL");
    await untilAllMovedOn();
    expect(takeTrouble("crash")).toEqual([]);
    expect(await leaders()).not.toContain(nodeId);
    await cluster.node("partition-storage", nodeId).launch();
    await untilAllInSync();
  });

  test("at an orderly stop of leaders is a pause and no error", async () => {
    const nodeId = await aLeader();
    takeTrouble("before");
    await cluster.node("partition-storage", nodeId).end("SIGTERM");
    await untilAllMovedOn();
    expect(takeTrouble("stop")).toEqual([]);
    await cluster.node("partition-storage", nodeId).launch();
    await untilAllInSync();
  });

  test("of leaders that freeze past their lease is a pause and no error", async () => {
    const nodeId = await aLeader();
    takeTrouble("before");
    cluster.node("partition-storage", nodeId).freeze();
    await untilAllMovedOn();
    expect(takeTrouble("freeze")).toEqual([]);
    cluster.node("partition-storage", nodeId).resume();
    await untilAllInSync();
  });

  test("loses nothing, stores nothing twice, and keeps the order", async () => {
    await load.stop();
    expect(await load.faults({ log: createClient(LogService, transport) })).toEqual([]);
    await expect
      .poll(() => reader.recordCount, { timeout: 10_000 })
      .toBeGreaterThan(load.acknowledgedCount - 1);
    await reader.stop();
    expect(reader.faults).toEqual([]);
  });
});
