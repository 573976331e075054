import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";

const PARTITIONS = 6;
const TOPIC = "t";

/** Idempotent producers whose records have three replicas, while leaders end in every way. */
describe.runIf(haveEtcd())("a failover", () => {
  let cluster: OttlaCluster;
  let load: IdempotentLoad;
  let transport: GrpcTransport;

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
  });

  afterAll(async () => {
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
    await load.untilAllMoved();
    expect(takeTrouble("crash")).toEqual([]);
    expect(await leaders()).not.toContain(nodeId);
    await cluster.node("partition-storage", nodeId).launch();
    await untilAllInSync();
  });

  test("at an orderly stop of leaders is a pause and no error", async () => {
    const nodeId = await aLeader();
    takeTrouble("before");
    await cluster.node("partition-storage", nodeId).end("SIGTERM");
    await load.untilAllMoved();
    expect(takeTrouble("stop")).toEqual([]);
    await cluster.node("partition-storage", nodeId).launch();
    await untilAllInSync();
  });

  test("of leaders that freeze past their lease is a pause and no error", async () => {
    const nodeId = await aLeader();
    takeTrouble("before");
    cluster.node("partition-storage", nodeId).freeze();
    await load.untilAllMoved();
    expect(takeTrouble("freeze")).toEqual([]);
    cluster.node("partition-storage", nodeId).resume();
    await untilAllInSync();
  });

  test("loses nothing, stores nothing twice, and keeps the order", async () => {
    await load.stop();
    expect(await load.faults({ log: createClient(LogService, transport) })).toEqual([]);
  });
});
