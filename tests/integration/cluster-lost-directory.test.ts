import { rm, stat } from "node:fs/promises";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";

const PARTITIONS = 3;
const TOPIC = "t";

describe.runIf(haveEtcd())("a storage node whose data is deleted while it runs", () => {
  let cluster: OttlaCluster;
  let load: IdempotentLoad;
  let transport: GrpcTransport;

  beforeAll(async () => {
    const shape = { coordinators: 1, storageNodes: 3, groupCoordinators: 0, gateways: 1 };
    cluster = await OttlaCluster.start(shape);
    const { grpcPort } = cluster.node("gateway", 1);
    const address = `127.0.0.1:${grpcPort}`;
    transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
    await createClient(AdminService, transport).createTopic({ name: TOPIC, partitions: PARTITIONS });
    load = new IdempotentLoad({ topic: TOPIC, partitions: PARTITIONS, grpcPorts: [grpcPort] });
    load.start();
    await load.untilAllMoved();
  });

  afterAll(async () => {
    await load?.close();
    await transport?.close();
    await cluster?.stop();
  });

  test("it stops with a sentence, leaves nothing behind, and comes back as another disk", async () => {
    const node = cluster.node("partition-storage", 3);
    const ended = node.ended();
    await rm(node.dataDirectory, { recursive: true, maxRetries: 5 });
    expect(await ended).toBe(74);
    expect(node.output).toContain("is lost while the node runs: it is gone");
    await expect(stat(node.dataDirectory)).rejects.toMatchObject({ code: "ENOENT" });
    await load.untilAllMoved();
    await node.launch();
    await load.untilAllMoved();
    expect(load.takeErrors(cluster.node("gateway", 1).grpcPort)).toEqual([]);
  });

  test("all that was acknowledged is there, once and in order", async () => {
    await load.stop();
    const log = createClient(LogService, transport);
    expect(await load.faults({ log })).toEqual([]);
  });
});
