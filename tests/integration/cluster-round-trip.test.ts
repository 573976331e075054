import { fetch as kafkaFetch } from "@ottla/kafka-protocol";
import { StorageService } from "@ottla/proto/ottla/internal/v1/storage";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { clusterMetadata, createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { CLUSTER_SECRET, OttlaCluster, OttlaNode } from "../support/ottla-cluster.ts";
import { batchOf, connectKafka, createTopic, fetchRequest, produceBatch, valuesOf } from "./kafka-support.ts";
import { appendTexts, readAll, text } from "./serve-support.ts";

const PARTITIONS = 6;

describe.runIf(haveEtcd())("processes of all roles over etcd", () => {
  let cluster: OttlaCluster;
  const transports: GrpcTransport[] = [];

  beforeAll(async () => {
    cluster = await OttlaCluster.start({
      coordinators: 1,
      storageNodes: 3,
      groupCoordinators: 1,
      gateways: 2,
    });
  });

  afterAll(async () => {
    await Promise.all(transports.map((transport) => transport.close()));
    await cluster?.stop();
  });

  function transportTo(port: number, metadata: Record<string, string> = {}): GrpcTransport {
    const transport = new GrpcTransport({ address: `127.0.0.1:${port}`, clock: systemClock, metadata });
    transports.push(transport);
    return transport;
  }

  function gateway(nodeId: number) {
    const transport = transportTo(cluster.node("gateway", nodeId).grpcPort);
    return { log: createClient(LogService, transport), admin: createClient(AdminService, transport) };
  }

  test("what one gateway takes, every gateway and both protocols serve, from all storage nodes", async () => {
    const [one, two] = [gateway(1), gateway(2)];
    const { topic } = await one.admin.createTopic({ name: "t", partitions: PARTITIONS });
    expect(new Set(topic?.partitions.map(({ leader }) => leader))).toEqual(new Set([1, 2, 3]));
    const kafkaOne = await connectKafka(cluster.node("gateway", 1).kafkaPort);
    const kafkaTwo = await connectKafka(cluster.node("gateway", 2).kafkaPort);
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      // The second gateway may not have seen the topic yet: it looks before it says so.
      await appendTexts(two, "t", [`grpc-${partition}`], partition);
      const produced = await produceBatch(kafkaOne, "t", batchOf([`kafka-${partition}`]), { partition });
      expect(produced).toMatchObject({ errorCode: 0, baseOffset: 1 });
    }
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const wanted = [`grpc-${partition}`, `kafka-${partition}`];
      for (const client of [one, two]) {
        const records = await readAll(client, "t", partition);
        expect(records.map(({ value }) => text(value))).toEqual(wanted);
      }
      for (const kafka of [kafkaOne, kafkaTwo]) {
        const request = fetchRequest(12, [{ topic: "t", partition, offset: 0 }], { maxWaitMs: 1000 });
        expect(valuesOf(await kafka.call(kafkaFetch, 12, request))).toEqual(wanted);
      }
    }
    await createTopic(kafkaTwo, "from-kafka", 3);
    await appendTexts(one, "from-kafka", ["x"], 2);
    expect((await readAll(two, "from-kafka", 2)).length).toBe(1);
  });

  test("a read of many partitions over several nodes ends where it should", async () => {
    const { log, admin } = gateway(1);
    await admin.createTopic({ name: "many", partitions: 7 });
    await Promise.all(
      Array.from({ length: 7 }, (_, partition) => appendTexts({ log }, "many", ["x"], partition)),
    );
    const start = { case: "earliest" as const, value: true };
    const positions = Array.from({ length: 7 }, (_, partition) => ({ topic: "many", partition, start }));
    const seen = new Set<number>();
    // Its limit divided by seven is no whole number.
    for await (const { partition, records } of log.read({ positions, maxBytes: 1_000_000 }).received) {
      if (records.length > 0) seen.add(partition);
      if (seen.size === 7) break;
    }
    expect(seen.size).toBe(7);
  });

  test("the cluster's description shows every node with its address, leaders and replicas", async () => {
    const { clusterId, controllerId, nodes } = await gateway(2).admin.describeCluster({});
    expect(clusterId).not.toBe("");
    expect(controllerId).toBe(1);
    const expected = cluster.nodes.map(({ role, nodeId, grpcPort, internalPort }) => ({
      role,
      nodeId,
      address: `127.0.0.1:${role === "gateway" ? grpcPort : internalPort}`,
    }));
    expect(nodes.length).toBe(expected.length);
    expect(nodes).toEqual(expect.arrayContaining(expected.map((node) => expect.objectContaining(node))));
    const storage = nodes.filter(({ role }) => role === "partition-storage");
    for (const node of storage) expect(node.leaderCount).toBeGreaterThan(1);
    // Three storage nodes: each has a replica of every partition.
    const partitions = storage.reduce((sum, { leaderCount }) => sum + leaderCount, 0);
    for (const node of storage) expect(node.replicaCount).toBe(partitions);
  });

  test("internal calls need the secret and the cluster's id; clients' doors do not serve them", async () => {
    const { clusterId } = await gateway(1).admin.describeCluster({});
    const { internalPort } = cluster.node("partition-storage", 1);
    const describeAt = (port: number, metadata: Record<string, string>) =>
      createClient(StorageService, transportTo(port, metadata)).describePartitions({});
    const right = clusterMetadata({ clusterId, secret: CLUSTER_SECRET });
    expect((await describeAt(internalPort, right)).partitions.length).toBeGreaterThan(0);
    await expect(describeAt(internalPort, {})).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const wrong = clusterMetadata({ clusterId, secret: "another secret of 16 characters" });
    await expect(describeAt(internalPort, wrong)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const elsewhere = clusterMetadata({ clusterId: "elsewhere", secret: CLUSTER_SECRET });
    await expect(describeAt(internalPort, elsewhere)).rejects.toMatchObject({
      code: "CLUSTER_AUTHORIZATION_FAILED",
    });
    const { grpcPort } = cluster.node("gateway", 1);
    await expect(describeAt(grpcPort, right)).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
    const publicService = createClient(LogService, transportTo(internalPort, right));
    await expect(publicService.initProducer({})).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
  });

  test("a node that belongs to another cluster does not start", async () => {
    const node = await OttlaNode.make({
      role: "partition-storage",
      nodeId: 9,
      directory: cluster.directory,
      endpoints: cluster.etcd.endpoints,
      flags: ["--cluster-id=elsewhere"],
    });
    await expect(node.launch()).rejects.toThrow("this node to cluster elsewhere");
  });

  test("a node that waits for etcd says so, and stops when it is told to", async () => {
    const node = await OttlaNode.make({
      role: "gateway",
      nodeId: 9,
      directory: cluster.directory,
      endpoints: ["127.0.0.1:1"],
    });
    node.spawn();
    const report = async (): Promise<string> =>
      (await fetch(`http://127.0.0.1:${node.httpPort}/readyz`)).text();
    await expect
      .poll(() => report().catch(() => ""), { timeout: 15_000 })
      .toContain("the node waits for etcd");
    expect(await node.end("SIGTERM")).toBe(0);
  });
});
