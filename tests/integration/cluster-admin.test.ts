import { spawn } from "node:child_process";
import { once } from "node:events";
import { Ottla } from "@ottla/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { OttlaCluster, OttlaNode } from "../support/ottla-cluster.ts";
import { ottlaCommand } from "../support/ottla-server.ts";

const TOPIC = "t";
const PATIENCE = { timeout: 30_000 };

describe.runIf(haveEtcd())("a cluster of four storage nodes", () => {
  let cluster: OttlaCluster;
  let ottla: Ottla;
  const others: { close(): Promise<unknown> }[] = [];

  beforeAll(async () => {
    cluster = await OttlaCluster.start({
      coordinators: 1,
      storageNodes: 3,
      groupCoordinators: 0,
      gateways: 1,
    });
    ottla = new Ottla({ address: `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`, clientId: "test" });
    await admin().pauseBalancing();
    await launch("partition-storage", 4, ["--zone=b"]);
    // One of two replicas is killed, and appends go on.
    const configs = { "min.insync.replicas": 1 };
    await admin().createTopic({ name: TOPIC, partitions: 3, replicationFactor: 2, configs });
  });

  afterAll(async () => {
    for (const other of others.toReversed()) await other.close();
    await ottla?.close();
    await cluster?.stop();
  });

  const admin = () => ottla.admin();

  async function launch(
    role: "partition-storage" | "gateway",
    nodeId: number,
    flags: readonly string[],
  ): Promise<OttlaNode> {
    const { directory, etcd } = cluster;
    const node = await OttlaNode.make({ role, nodeId, directory, endpoints: etcd.endpoints, flags });
    others.push({ close: () => node.end("SIGKILL") });
    await node.launch();
    return node;
  }

  async function partitions() {
    const [topic] = await admin().describeTopics([TOPIC], { includeOffsets: true });
    return topic?.partitions ?? [];
  }

  /** Runs `ottla`; what stands after --plan goes to its standard input. Gives all that it says. */
  async function command(...argv: string[]): Promise<string> {
    const at = argv.indexOf("--plan") + 1;
    const input = at > 0 ? argv.splice(at, 1, "-")[0] : "";
    const address = `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
    const child = spawn(ottlaCommand, argv, { env: { ...process.env, OTTLA_ADDRESS: address } });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
    }
    child.stdin.end(input);
    await once(child, "close");
    return said;
  }

  async function storageNode(nodeId: number) {
    const { nodes } = await admin().describeCluster({ includeStorage: true });
    return nodes.find((node) => node.role === "partition-storage" && node.nodeId === nodeId);
  }

  test("moves replicas where it is told, and shows how they are", async () => {
    const wanted = [0, 1, 2].map((partition) => ({ topic: TOPIC, partition, replicas: [1, 4] }));
    const results = await admin().reassignPartitions([
      ...wanted,
      { topic: TOPIC, partition: 9, replicas: [1] },
      { topic: "nope", partition: 0, replicas: [1] },
    ]);
    expect(results.map(({ error }) => error?.code)).toEqual([
      undefined,
      undefined,
      undefined,
      "UNKNOWN_TOPIC_OR_PARTITION",
      "UNKNOWN_TOPIC_OR_PARTITION",
    ]);
    await expect.poll(() => admin().listReassignments(), PATIENCE).toEqual([]);
    const described = await partitions();
    expect(described.map(({ replicas, inSyncReplicas }) => [replicas, inSyncReplicas.length])).toEqual(
      Array.from({ length: 3 }, () => [[1, 4], 2]),
    );
    expect(described[0]?.progress.map(({ nodeId, lagRecords }) => [nodeId, lagRecords])).toEqual([
      [1, 0n],
      [4, 0n],
    ]);
    const refused = await admin().reassignPartitions([
      { topic: TOPIC, partition: 0, replicas: [1, 77] },
      { topic: TOPIC, partition: 1, replicas: [1] },
      { topic: TOPIC, partition: 2, replicas: "cancel" },
    ]);
    expect(refused.map(({ error }) => error?.code)).toEqual([
      "INVALID_REPLICA_ASSIGNMENT",
      "INVALID_REPLICATION_FACTOR",
      "NO_REASSIGNMENT_IN_PROGRESS",
    ]);
  });

  test("places the replicas of a new topic where it is told, and says what cannot be", async () => {
    const create = (replicas: string) =>
      command("topic", "create", "placed", "--replica-assignment", replicas);
    expect(await create("4:1:2,1:2")).toContain("partition 1 has 2 replicas, others have 3");
    expect(await create("4:1,77:2")).toContain("partition 1 names storage node 77, which does not exist");
    expect(await create("4:1,x:2")).toContain("--replica-assignment x");
    expect(await create("4:1:2,2:4:3")).toBe("created placed with 2 partitions\n");
    const [topic] = await admin().describeTopics(["placed"]);
    expect(topic?.partitions.map(({ leader, replicas }) => [leader, replicas])).toEqual([
      [4, [4, 1, 2]],
      [2, [2, 4, 3]],
    ]);
    await admin().deleteTopic("placed");
  });

  test("gives leaders back to the preferred replicas", async () => {
    const wanted = [0, 1, 2].map((partition) => ({ topic: TOPIC, partition, replicas: [1, 4] }));
    const results = await admin().electLeaders({ partitions: wanted });
    const codes = results.map(({ error }) => error?.code);
    expect(new Set([undefined, "ELECTION_NOT_NEEDED"])).toEqual(new Set([undefined, ...codes]));
    expect((await partitions()).map(({ leader }) => leader)).toEqual([1, 1, 1]);
    expect(await admin().electLeaders()).toEqual([]);
  });

  test("a gateway in the zone of a follower reads there, and at the leader when it is gone", async () => {
    const gateway = await launch("gateway", 2, ["--zone=b", "--read-preference=nearest"]);
    const near = new Ottla({ address: `127.0.0.1:${gateway.grpcPort}`, clientId: "near" });
    others.push(near);
    const producer = ottla.producer();
    const send = async (from: number): Promise<void> => {
      const numbers = Array.from({ length: 20 }, (_, index) => String(from + index));
      await Promise.all(numbers.map((value) => producer.send({ topic: TOPIC, value })));
    };
    const readAll = async (): Promise<number[]> => {
      const consumer = near.consumer();
      await consumer.assign([0, 1, 2].map((partition) => ({ topic: TOPIC, partition, offset: "earliest" })));
      const values: number[] = [];
      for await (const batch of consumer.batches({ stopAtEnd: true })) {
        for (const { value } of batch) values.push(Number(Buffer.from(value ?? []).toString()));
      }
      await consumer.close();
      return values.toSorted((a, b) => a - b);
    };
    await send(0);
    // A follower knows a moment after the leader what is committed; until then the leader answers.
    const readsOfFollowers = async (): Promise<number> => {
      expect(await readAll()).toEqual(numbersTo(20));
      return gateway.metric("ottla_gateway_follower_reads");
    };
    await expect.poll(readsOfFollowers, PATIENCE).toBeGreaterThan(0);
    await others[0]?.close();
    await send(20);
    expect(await readAll()).toEqual(numbersTo(40));
    await producer.close();
  });

  test("shows a storage node that is gone, and what lacks it", async () => {
    await expect
      .poll(storageNode.bind(undefined, 4), PATIENCE)
      .toMatchObject({ offline: true, leaderCount: 0, replicaCount: 3, storage: undefined });
    await expect
      .poll(async () => (await admin().describeCluster()).partitions, PATIENCE)
      .toMatchObject({ total: 3, underReplicated: 3, withoutLeader: 0 });
    expect((await partitions()).map(({ offlineReplicas }) => offlineReplicas)).toEqual([[4], [4], [4]]);
    const underReplicated = "kafka_topic_partition_under_replicated_partition";
    expect(await cluster.node("gateway", 1).metric(underReplicated)).toBe(1);
    expect(await storageNode(1)).toMatchObject({ offline: false, leaderCount: 3, underReplicatedCount: 3 });
  });

  test("is told all that by the command line too", async () => {
    const described = await command("cluster", "describe");
    expect(described).toMatch(/3 partitions: 3 under-replicated/);
    expect(described).toMatch(/partition-storage +4 .* offline/);
    expect(await command("topic", "describe", TOPIC)).toMatch(/ 1,4! +1 /);
    expect(await command("topic", "elect-leaders", TOPIC)).toMatch(/t +0 +1 +not needed/);
    const plan = JSON.stringify({ partitions: [{ topic: TOPIC, partition: 0, replicas: [1, 4, 2] }] });
    expect(await command("topic", "reassign", "--plan", plan)).toContain("INVALID_REPLICATION_FACTOR");
    const more = await command("topic", "reassign", "--plan", plan, "--change-replication-factor");
    expect(more).toMatch(/t +0 +begun/);
    // The node that is gone is no reason to wait: it was a replica before.
    await expect.poll(() => command("topic", "reassign", "--list"), PATIENCE).not.toMatch(/t +0/);
    const back = ["topic", "reassign", TOPIC, "-p", "0", "--replicas", "1,4", "--change-replication-factor"];
    expect(await command(...back)).toMatch(/t +0 +begun/);
    await expect.poll(() => command("topic", "reassign", "--list"), PATIENCE).not.toMatch(/t +0/);
    expect(await command("cluster", "drain", "77")).toContain("there is no storage node 77");
  });

  test("empties a storage node, and lets it take replicas again", async () => {
    await expect(admin().drainNode(99)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    expect(await admin().drainNode(1)).toBe(3);
    // A drain is one of the moves that were paused.
    expect((await admin().describeCluster()).balancingPaused).toBe(true);
    await admin().resumeBalancing();
    await expect.poll(async () => (await storageNode(1))?.drain, PATIENCE).toBe("drained");
    expect(await storageNode(1)).toMatchObject({ replicaCount: 0, leaderCount: 0 });
    await admin().resumeNode(1);
    expect((await storageNode(1))?.drain).toBe("none");
    expect(await command("cluster", "cordon", "1")).toContain("takes no more replicas");
    expect(await command("cluster", "describe")).toMatch(/partition-storage +1 .* cordoned/);
    expect(await command("cluster", "resume", "1")).toContain("takes replicas again");
    expect((await storageNode(1))?.drain).toBe("none");
    expect((await admin().describeCluster()).balancingPaused).toBe(false);
  });
});

function numbersTo(end: number): number[] {
  return Array.from({ length: end }, (_, number) => number);
}
