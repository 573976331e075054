import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";
import { JavaTools, type KafkaTool } from "./support/java-tools.ts";
import { haveClients } from "./support/programs.ts";

const TOPIC = "moved";

describe.runIf(haveClients("java") && haveEtcd())("Apache Kafka's tools for replicas", () => {
  let cluster: OttlaCluster;
  let tools: JavaTools;
  let transport: GrpcTransport;
  let directory: string;

  beforeAll(async () => {
    tools = new JavaTools();
    directory = await mkdtemp(join(tmpdir(), "ottla-plans-"));
    cluster = await OttlaCluster.start(
      { coordinators: 1, storageNodes: 3, groupCoordinators: 0, gateways: 1 },
      // Slow enough that a move of a few megabytes can be looked at and cancelled.
      ["--storage-catch-up-bytes-per-second=64KiB"],
    );
    const address = `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
    transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
    // The cluster's own moves would come between what the tools are asked to show.
    await admin().pauseBalancing({});
  });

  afterAll(async () => {
    await Promise.all([tools.close(), transport.close()]);
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  });

  function admin() {
    return createClient(AdminService, transport);
  }

  function run(tool: KafkaTool, parameters: string): Promise<string> {
    const address = `127.0.0.1:${cluster.node("gateway", 1).kafkaPort}`;
    return tools.run(tool, `--bootstrap-server ${address} ${parameters}`);
  }

  async function planOf(replicas: readonly (readonly number[])[]): Promise<string> {
    const file = join(directory, "plan.json");
    const partitions = replicas.map((nodeIds, partition) => ({ topic: TOPIC, partition, replicas: nodeIds }));
    await writeFile(file, JSON.stringify({ version: 1, partitions }));
    return file;
  }

  async function partitions() {
    const { topics } = await admin().describeTopics({ names: [TOPIC] });
    return topics[0]?.partitions ?? [];
  }

  test("kafka-topics places replicas by hand and shows them", async () => {
    await run("kafka-topics", `--create --topic ${TOPIC} --replica-assignment 1:2,2:3`);
    const described = await run("kafka-topics", `--describe --topic ${TOPIC}`);
    expect(described).toMatch(/PartitionCount: 2\s+ReplicationFactor: 2/);
    expect(described).toMatch(/Partition: 0\s.*Replicas: 1,2\s.*Isr: 1,2/);
    expect(described).toMatch(/Partition: 1\s.*Replicas: 2,3\s.*Isr: 2,3/);
  });

  test("kafka-reassign-partitions moves replicas, shows that they are there, and clears up", async () => {
    const plan = await planOf([
      [3, 2],
      [3, 1],
    ]);
    const started = await run("kafka-reassign-partitions", `--reassignment-json-file ${plan} --execute`);
    expect(started).toContain("Successfully started partition reassignments for moved-0,moved-1");
    const verify = () => run("kafka-reassign-partitions", `--reassignment-json-file ${plan} --verify`);
    await expect.poll(verify, { timeout: 30_000 }).not.toContain("still in progress");
    const verified = await verify();
    expect(verified).toContain("Reassignment of partition moved-0 is completed.");
    expect(verified).toContain("Reassignment of partition moved-1 is completed.");
    expect(verified).toContain("Clearing broker-level throttles");
    expect((await partitions()).map(({ replicas }) => replicas)).toEqual([
      [3, 2],
      [3, 1],
    ]);
    expect(await run("kafka-reassign-partitions", "--list")).toContain("No partition reassignments found.");
  });

  test("kafka-reassign-partitions lists and cancels a move that is under way", async () => {
    const address = `127.0.0.1:${cluster.node("gateway", 1).kafkaPort}`;
    const load = `--topic ${TOPIC} --num-records 8000 --record-size 1000 --throughput -1`;
    await tools.run("kafka-producer-perf-test", `${load} --producer-props bootstrap.servers=${address}`);
    const plan = await planOf([[1, 3]]);
    await run("kafka-reassign-partitions", `--reassignment-json-file ${plan} --execute`);
    const listed = await run("kafka-reassign-partitions", "--list");
    expect(listed).toMatch(/moved-0: replicas: .*adding: 1.*removing: 2/);
    const cancelled = await run("kafka-reassign-partitions", `--reassignment-json-file ${plan} --cancel`);
    expect(cancelled).toContain("Successfully cancelled");
    expect((await partitions())[0]?.replicas).toEqual([3, 2]);
  });

  test("kafka-leader-election gives leaders back to the preferred replicas", async () => {
    await cluster.node("partition-storage", 3).end("SIGTERM");
    await expect.poll(async () => (await partitions()).map(({ leader }) => leader)).toEqual([2, 1]);
    await cluster.node("partition-storage", 3).launch();
    await expect
      .poll(async () => (await partitions()).every(({ inSyncReplicas }) => inSyncReplicas.length === 2), {
        timeout: 30_000,
      })
      .toBe(true);
    const elect = "--election-type preferred";
    expect(await run("kafka-leader-election", `${elect} --topic ${TOPIC} --partition 0`)).toContain(
      "Successfully completed leader election (PREFERRED) for partitions moved-0",
    );
    expect(await run("kafka-leader-election", `${elect} --all-topic-partitions`)).toContain("moved-1");
    expect((await partitions()).map(({ leader }) => leader)).toEqual([3, 3]);
    expect(await run("kafka-leader-election", `${elect} --topic ${TOPIC} --partition 0`)).toContain(
      "Valid replica already elected for partitions moved-0",
    );
  });

  test("kafka-log-dirs shows every storage node with its replicas", async () => {
    const output = await run("kafka-log-dirs", `--describe --topic-list ${TOPIC}`);
    const json: unknown = JSON.parse(output.split("\n").find((line) => line.startsWith("{")) ?? "");
    const { brokers } = json as { brokers: { logDirs: { logDir: string; partitions: object[] }[] }[] };
    const held = brokers[0]?.logDirs.map(({ logDir, partitions: replicas }) => [logDir, replicas.length]);
    expect(held?.toSorted()).toEqual([
      ["storage-node-1", 1],
      ["storage-node-2", 1],
      ["storage-node-3", 2],
    ]);
  });
});
