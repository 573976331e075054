import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";

const PARTITIONS = 3;
const TOPIC = "t";
/** For an answer that waits at most 2 s for a node that hangs. */
const ANSWER_TIMEOUT_MS = 4_000;

describe.runIf(haveEtcd())("descriptions while a storage node is down", () => {
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

  /** Asks until the cluster knows that node 1 is gone. Rejects when one of the answers is an error. */
  async function describeUntilOffline() {
    const admin = createClient(AdminService, transport);
    const within = { timeoutMs: ANSWER_TIMEOUT_MS };
    const answers = [];
    for (;;) {
      const [{ nodes }, { topics }] = await Promise.all([
        admin.describeCluster({ includeStorage: true }, within),
        admin.describeTopics({ names: [TOPIC], includeOffsets: true }, within),
      ]);
      const storage = nodes.filter(({ role }) => role === "partition-storage");
      answers.push({ storage, partitions: topics[0]?.partitions ?? [] });
      if (storage.some(({ nodeId, offline }) => nodeId === 1 && offline)) return answers;
    }
  }

  test.each(["killed", "frozen"])("one that is %s is shown without what it would have told", async (how) => {
    const node = cluster.node("partition-storage", 1);
    if (how === "killed") await node.end("SIGKILL");
    else node.freeze();
    for (const { storage, partitions } of await describeUntilOffline()) {
      expect(new Set(storage.map(({ nodeId }) => nodeId))).toEqual(new Set([1, 2, 3]));
      const silent = storage.filter((described) => described.storage === undefined);
      expect(silent.filter(({ nodeId }) => nodeId !== 1)).toEqual([]);
      expect(partitions.length).toBe(PARTITIONS);
    }
    if (how === "killed") await node.launch();
    await load.untilAllMoved();
  });
});
