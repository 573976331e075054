import { toOttlaError } from "@ottla/errors";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { LEASE_TTL_MS, OttlaCluster, type Role } from "../support/ottla-cluster.ts";

const PARTITIONS = 3;
/** How long others take at the most to notice a crash: the lease, and what etcd and the nodes need then. */
const FAILOVER_MS = LEASE_TTL_MS + 1_500;
const TOPIC = "t";

describe.runIf(haveEtcd())("under the load of idempotent producers", () => {
  let cluster: OttlaCluster;
  let load: IdempotentLoad;
  const transports: GrpcTransport[] = [];

  beforeAll(async () => {
    cluster = await OttlaCluster.start({
      coordinators: 2,
      storageNodes: 3,
      groupCoordinators: 1,
      gateways: 2,
    });
    await gateway(1).admin.createTopic({ name: TOPIC, partitions: PARTITIONS });
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

  /** Errors that clients of the second gateway, which is never ended, have seen. */
  function unexpectedErrors(): string[] {
    return load.takeErrors(cluster.node("gateway", 2).grpcPort);
  }

  const roles: readonly Role[] = ["gateway", "coordinator", "group-coordinator", "partition-storage"];

  test.each(roles)("a %s that is stopped and started again is a pause and no error", async (role) => {
    const node = cluster.node(role, 1);
    load.takeErrors(0);
    expect(await node.end("SIGTERM")).toBe(0);
    await node.launch();
    await load.untilAllMoved();
    expect(unexpectedErrors()).toEqual([]);
  });

  test.each(roles)("a %s that is killed and started again loses nothing", async (role) => {
    const node = cluster.node(role, 1);
    load.takeErrors(0);
    await node.end("SIGKILL");
    await node.launch();
    await load.untilAllMoved();
    expect(unexpectedErrors()).toEqual([]);
  });

  test("another coordinator takes over: at once after a stop, within the lease after a crash", async () => {
    const client = gateway(2);
    const controller = async () => {
      const { controllerId } = await client.admin.describeCluster({});
      return controllerId;
    };
    let created = 0;
    // A call that was under way has an outcome that nobody knows: that much is left to the caller.
    const createTopic = async (name: string): Promise<void> => {
      for (;;) {
        const error = await client.admin.createTopic({ name }).then(
          () => undefined,
          (thrown: unknown) => toOttlaError(thrown),
        );
        if (error === undefined || error.code === "TOPIC_ALREADY_EXISTS") return;
        if (!error.retriable) throw error;
      }
    };
    const failOver = async (signal: "SIGTERM" | "SIGKILL"): Promise<number> => {
      const node = cluster.node("coordinator", await controller());
      const startedMs = systemClock.monotonic();
      const ended = node.end(signal);
      await createTopic(`after-${(created += 1)}`);
      const durationMs = systemClock.monotonic() - startedMs;
      await ended;
      expect(await controller()).not.toBe(node.nodeId);
      await node.launch();
      return durationMs;
    };
    // At once, rather than when the lease is over.
    expect(await failOver("SIGTERM")).toBeLessThan(LEASE_TTL_MS);
    expect(await failOver("SIGKILL")).toBeLessThan(FAILOVER_MS);
    expect(unexpectedErrors()).toEqual([]);
  });

  test("while etcd is away records come and go, gateways stay ready, and the metrics say so", async () => {
    const node = cluster.node("gateway", 1);
    const storeState = () => node.metric("ottla_metadata_store_state");
    await expect.poll(storeState, { timeout: 5_000 }).toBe(1);
    load.takeLongestStallMs();
    await cluster.etcd.first.kill();
    await expect.poll(storeState, { timeout: 10_000 }).toBe(0);
    // Past the leases: liveness cannot be told any more, and nothing depends on it.
    const storage = cluster.node("partition-storage", 2);
    const leaseWasLost = () => storage.output.includes("the node's lease was lost");
    await expect.poll(leaseWasLost, { timeout: 2 * LEASE_TTL_MS }).toBe(true);
    await load.untilAllMoved();
    expect(await node.isReady()).toBe(true);
    // A producer can start too: the gateway has ids in stock.
    expect((await gateway(2).log.initProducer({})).producerId).toBeGreaterThan(0n);
    // A failover would have taken a lease's time.
    expect(load.takeLongestStallMs()).toBeLessThan(LEASE_TTL_MS);
    await cluster.etcd.first.launch();
    await expect.poll(storeState, { timeout: 10_000 }).toBe(1);
    await gateway(1).admin.createTopic({ name: "after-etcd" });
    await load.untilAllMoved();
    expect(unexpectedErrors()).toEqual([]);
  });

  test("all that was acknowledged is there, once and in order", async () => {
    await load.stop();
    expect(load.acknowledgedCount).toBeGreaterThan(1_000);
    expect(await load.faults(gateway(1))).toEqual([]);
  });
});
