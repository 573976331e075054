import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { OttlaCluster, type OttlaNode } from "../support/ottla-cluster.ts";

const PARTITIONS = 6;
const TOPIC = "replicated";
const LAG_TIME_MAX_MS = 2_000;
const IN_TIME = { timeout: 30_000 };
const NODE_IDS = [1, 2, 3] as const;

describe.runIf(haveEtcd())("three replicas under the load of idempotent producers", () => {
  let cluster: OttlaCluster;
  let load: IdempotentLoad;
  const transports: GrpcTransport[] = [];

  beforeAll(async () => {
    cluster = await OttlaCluster.start(
      { coordinators: 2, storageNodes: 3, groupCoordinators: 1, gateways: 2 },
      [`--storage-replica-lag-time-max-ms=${LAG_TIME_MAX_MS}`],
    );
    await gateway(1).admin.createTopic({
      name: TOPIC,
      partitions: PARTITIONS,
      replicationFactor: 3,
      configs: { "min.insync.replicas": "2" },
    });
    load = new IdempotentLoad({
      topic: TOPIC,
      partitions: PARTITIONS,
      grpcPorts: [cluster.node("gateway", 1).grpcPort, cluster.node("gateway", 2).grpcPort],
    });
    load.start();
    await load.untilAllMoved();
  });

  afterAll(async () => {
    await Promise.all([load?.close(), ...transports.map((transport) => transport.close())]);
    await cluster?.stop();
  });

  function gateway(nodeId: number) {
    const address = `127.0.0.1:${cluster.node("gateway", nodeId).grpcPort}`;
    const transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
    transports.push(transport);
    return { log: createClient(LogService, transport), admin: createClient(AdminService, transport) };
  }

  function storage(nodeId: number): OttlaNode {
    return cluster.node("partition-storage", nodeId);
  }

  async function partitions() {
    const { topics } = await gateway(2).admin.describeTopics({ names: [TOPIC] });
    return topics[0]?.partitions ?? [];
  }

  async function smallestIsr(): Promise<number> {
    return Math.min(...(await partitions()).map(({ inSyncReplicas }) => inSyncReplicas.length));
  }

  function errors(): string[] {
    return [1, 2].flatMap((nodeId) => load.takeErrors(cluster.node("gateway", nodeId).grpcPort));
  }

  test("nodes that are stopped one by one are pauses, and ready when they are back in sync", async () => {
    for (const nodeId of NODE_IDS) {
      errors();
      expect(await storage(nodeId).end("SIGTERM")).toBe(0);
      expect((await partitions()).filter(({ leader }) => leader === nodeId)).toEqual([]);
      await load.untilAllMoved();
      expect(errors()).toEqual([]);
      await storage(nodeId).launch();
      expect((await partitions()).filter(({ inSyncReplicas }) => !inSyncReplicas.includes(nodeId))).toEqual(
        [],
      );
    }
  });

  test("a leader that is killed is replaced, and comes back as a follower that has everything", async () => {
    for (const nodeId of NODE_IDS) {
      await storage(nodeId).end("SIGKILL");
      await load.untilAllMoved();
      await storage(nodeId).launch();
      await expect.poll(smallestIsr, IN_TIME).toBe(NODE_IDS.length);
    }
  });

  test("a follower that is frozen past its lease leaves the ISR, and joins it again", async () => {
    storage(3).freeze();
    const outOfSync = async () =>
      (await partitions()).filter(({ inSyncReplicas }) => !inSyncReplicas.includes(3)).length;
    await expect.poll(outOfSync, { timeout: 20_000 }).toBe(PARTITIONS);
    await load.untilAllMoved();
    storage(3).resume();
    await expect.poll(smallestIsr, IN_TIME).toBe(NODE_IDS.length);
  });

  test("with two of three gone nothing is acknowledged; all goes on when they are back", async () => {
    await Promise.all([storage(1).end("SIGKILL"), storage(2).end("SIGKILL")]);
    await expect
      .poll(
        async () => Math.max(...(await partitions()).map(({ inSyncReplicas }) => inSyncReplicas.length)),
        { timeout: 20_000 },
      )
      .toBe(1);
    const records = { case: "records" as const, value: { records: [{ value: Buffer.from("refused") }] } };
    const append = gateway(2).log.append({ topic: TOPIC, payload: records }, { timeoutMs: 2_000 });
    await expect(append).rejects.toMatchObject({ retriable: true });
    await Promise.all([storage(1).launch(), storage(2).launch()]);
    await load.untilAllMoved();
    await expect.poll(smallestIsr, IN_TIME).toBe(NODE_IDS.length);
  });

  test("when all nodes are killed at once, all that was acknowledged comes back", async () => {
    await Promise.all(NODE_IDS.map((nodeId) => storage(nodeId).end("SIGKILL")));
    await Promise.all(NODE_IDS.map((nodeId) => storage(nodeId).launch()));
    await load.untilAllMoved();
    await expect.poll(smallestIsr, IN_TIME).toBe(NODE_IDS.length);
  });

  test("all that was acknowledged is there, once and in order", async () => {
    await load.stop();
    expect(load.acknowledgedCount).toBeGreaterThan(1_000);
    expect(await load.faults(gateway(1))).toEqual([]);
  });
});
