import { join } from "node:path";
import { Ottla } from "@ottla/client";
import { toOttlaError } from "@ottla/errors";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";

const PARTITIONS = 3;
const ENOUGH_MS = 20_000;

/** The whole story of an operator who has to restore etcd, told once, on one cluster under load. */
describe.runIf(haveEtcd())("a cluster whose etcd was restored from a snapshot", () => {
  let cluster: OttlaCluster;
  let ottla: Ottla;
  let load: IdempotentLoad;
  let transport: GrpcTransport;
  let snapshot: string;
  /** The highest leader epoch that each partition of the loaded topic was seen in. */
  const epochs = new Map<number, number>();
  let orders = 0;

  beforeAll(async () => {
    cluster = await OttlaCluster.start(
      { coordinators: 2, storageNodes: 3, groupCoordinators: 1, gateways: 1 },
      ["--default-replication-factor=3", "--topic-default=min.insync.replicas=2"],
    );
    snapshot = join(cluster.directory, "etcd.snapshot");
    const address = `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
    transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
    ottla = new Ottla({ address });
    await ottla.admin().createTopic({ name: "loaded", partitions: PARTITIONS });
    await ottla.admin().createTopic({ name: "orders", partitions: 1 });
    await ottla.admin().createTopic({ name: "deleted-later", partitions: 1 });
    load = new IdempotentLoad({
      topic: "loaded",
      partitions: PARTITIONS,
      grpcPorts: [cluster.node("gateway", 1).grpcPort],
    });
    load.start();
    await load.untilAllMoved();
    await orderAndRead();
  });

  afterAll(async () => {
    await Promise.all([load?.close(), transport?.close(), ottla?.close()]);
    await cluster?.stop();
  });

  async function leaderEpochs(): Promise<number[]> {
    const [topic] = await ottla.admin().describeTopics(["loaded"]);
    return (topic?.partitions ?? []).map(({ leaderEpoch }) => leaderEpoch);
  }

  async function noteEpochs(): Promise<void> {
    for (const [partition, epoch] of (await leaderEpochs()).entries()) {
      epochs.set(partition, Math.max(epoch, epochs.get(partition) ?? -1));
    }
  }

  /** More orders come, and the group reads on from where it was: each order once, in order. */
  async function orderAndRead(): Promise<void> {
    const producer = ottla.producer({ lingerMs: 0 });
    const first = orders;
    for (const end = orders + 5; orders < end; orders += 1) {
      await producer.send({ topic: "orders", value: String(orders) });
    }
    await producer.close();
    const values: number[] = [];
    const consumer = ottla.consumer({ group: "billing", topics: ["orders"] });
    const all = Promise.withResolvers<void>();
    const running = consumer.run(({ value }) => {
      values.push(Number(Buffer.from(value ?? []).toString()));
      if (values.length === orders - first) all.resolve();
    });
    await Promise.race([all.promise, running]);
    await consumer.close();
    await running;
    expect(values).toEqual(Array.from({ length: orders - first }, (_, index) => first + index));
  }

  /** All that moves the metadata on after the snapshot: elections, topics that come and go. */
  async function moveOn(): Promise<void> {
    const node = cluster.node("partition-storage", 1);
    await node.end("SIGTERM");
    await load.untilAllMoved();
    await node.launch();
    await load.untilAllMoved();
    await ottla.admin().electLeaders();
    await load.untilAllMoved();
    await noteEpochs();
  }

  async function recovered(): Promise<void> {
    const need = async (): Promise<string | undefined> =>
      (await ottla.admin().describeCluster()).recoveryNeed;
    await expect.poll(need, { timeout: ENOUGH_MS }).toBeUndefined();
    await load.untilAllMoved();
    for (const [partition, epoch] of (await leaderEpochs()).entries()) {
      expect(epoch).toBeGreaterThan(epochs.get(partition) ?? -1);
    }
    await noteEpochs();
    await orderAndRead();
  }

  async function untilNodesWait(nodeIds: string): Promise<void> {
    const need = async (): Promise<string | undefined> =>
      (await ottla.admin().describeCluster()).recoveryNeed;
    await expect.poll(need, { timeout: ENOUGH_MS }).toContain("went back");
    const plan = () =>
      ottla
        .admin()
        .recoverCluster()
        .then((found) => found.nodeIds.join(), String);
    await expect.poll(plan, { timeout: ENOUGH_MS }).toBe(nodeIds);
  }

  test("nothing is served from it before it is recovered, and everybody says why", async () => {
    cluster.etcd.first.saveSnapshot(snapshot);
    await moveOn();
    await ottla.admin().createTopic({ name: "younger", partitions: 1 });
    const producer = ottla.producer();
    await producer.send({ topic: "younger", value: "put aside" });
    await producer.close();
    await ottla.admin().deleteTopic("deleted-later");
    await orderAndRead();
    await Promise.all(cluster.nodes.map((node) => node.end("SIGKILL")));
    await cluster.etcd.first.restoreSnapshot(snapshot);
    for (const node of cluster.nodes) node.spawn();
    await untilNodesWait("1,2,3");
    const storage = cluster.node("partition-storage", 2);
    expect(storage.output).toContain("the metadata store went back from revision");
    expect(await storage.isReady()).toBe(false);
    await expect.poll(() => storage.metric("ottla_metadata_recovery_state")).toBe(1);
    const refused = await ottla
      .admin()
      .createTopic({ name: "no" })
      .catch((thrown: unknown) => toOttlaError(thrown));
    expect(refused).toMatchObject({ code: "METADATA_UNAVAILABLE" });
  });

  test("a recovery names what is put aside and what comes back empty, and then all goes on", async () => {
    const plan = await ottla.admin().recoverCluster({ execute: true });
    expect(plan.unknown).toMatchObject([{ partition: 0, nodeIds: [1, 2, 3], logEndOffset: 1n }]);
    expect(plan.notable).toMatchObject([{ topic: "deleted-later", partition: 0 }]);
    await recovered();
    await Promise.all(cluster.nodes.map((node) => expect.poll(() => node.isReady()).toBe(true)));
  });

  test("nodes that run notice it too, by the generation of the recovery that it lacks", async () => {
    await moveOn();
    await cluster.etcd.first.restoreSnapshot(snapshot);
    await untilNodesWait("1,2,3");
    expect((await ottla.admin().recoverCluster({ execute: true })).unknown).toEqual([]);
    await recovered();
  });

  test("a node that is missing is named, and comes back to a recovery without it", async () => {
    cluster.etcd.first.saveSnapshot(snapshot);
    await moveOn();
    const lost = cluster.node("partition-storage", 3);
    await lost.end("SIGKILL");
    await cluster.etcd.first.restoreSnapshot(snapshot);
    const plan = () =>
      ottla
        .admin()
        .recoverCluster()
        .then(
          () => "",
          (thrown: unknown) => toOttlaError(thrown).message,
        );
    await expect.poll(plan, { timeout: ENOUGH_MS }).toContain("storage node 3 is not there");
    await ottla.admin().recoverCluster({ execute: true, withoutNodes: [3] });
    await recovered();
    await lost.launch();
    expect(lost.output).not.toContain("FENCED");
    await load.untilAllMoved();
  });

  test("all that was acknowledged before and after the snapshots is there, once and in order", async () => {
    await load.stop();
    expect(load.acknowledgedCount).toBeGreaterThan(500);
    expect(await load.faults({ log: createClient(LogService, transport) })).toEqual([]);
  });
});
