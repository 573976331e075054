import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { OttlaCluster, OttlaNode } from "../support/ottla-cluster.ts";

const TOPIC = "t";
const PARTITIONS = 2;

/** The gateway's way to the only storage node leads over a proxy; the node's own way to etcd does not. */
describe.runIf(haveEtcd())("connections to a storage node whose other end says nothing any more", () => {
  let cluster: OttlaCluster;
  let storage: OttlaNode;
  let proxy: FaultProxy;
  let transport: GrpcTransport;
  let load: IdempotentLoad;

  beforeAll(async () => {
    cluster = await OttlaCluster.start({
      coordinators: 1,
      storageNodes: 0,
      groupCoordinators: 0,
      gateways: 1,
    });
    const { directory, etcd } = cluster;
    const flags: string[] = [];
    storage = await OttlaNode.make({
      role: "partition-storage",
      nodeId: 1,
      directory,
      endpoints: etcd.endpoints,
      flags,
    });
    proxy = await FaultProxy.start(storage.internalPort);
    flags.push(`--internal-advertised-address=${new URL(proxy.endpoint).host}`);
    await storage.launch();
    const { grpcPort } = cluster.node("gateway", 1);
    transport = new GrpcTransport({
      address: `127.0.0.1:${grpcPort}`,
      clock: systemClock,
      waitForReady: true,
    });
    await createClient(AdminService, transport).createTopic({ name: TOPIC, partitions: PARTITIONS });
    load = new IdempotentLoad({ topic: TOPIC, partitions: PARTITIONS, grpcPorts: [grpcPort] });
    load.start();
    await load.untilAllMoved();
  });

  afterAll(async () => {
    await Promise.all([load?.close(), transport?.close()]);
    await storage?.end("SIGKILL");
    await proxy?.stop();
    await cluster?.stop();
  });

  /** Errors that clients saw since the last call; the stall is for people who read the output. */
  function takeErrors(): string[] {
    process.stderr.write(`longest stall ${Math.round(load.takeLongestStallMs())} ms\n`);
    return load.takeErrors(cluster.node("gateway", 1).grpcPort);
  }

  test("are given up for new ones: a pause and no error", async () => {
    takeErrors();
    proxy.silence();
    // The first acknowledgement may be of before, and only on its way still.
    await load.untilAllMoved();
    await load.untilAllMoved();
    expect(takeErrors()).toEqual([]);
  });

  test("are tried again and again while the way is lost: a longer pause, and no error", async () => {
    proxy.faults.dropAnswers = true;
    await expect
      .poll(() => cluster.node("gateway", 1).metric("ottla_gateway_routing_retries"), { timeout: 20_000 })
      .toBeGreaterThan(3);
    proxy.faults.dropAnswers = false;
    await load.untilAllMoved();
    expect(takeErrors()).toEqual([]);
  });

  test("lose nothing, store nothing twice, and keep the order", async () => {
    await load.stop();
    expect(await load.faults({ log: createClient(LogService, transport) })).toEqual([]);
  });
});
