import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { createClient, type GrpcTransport } from "@ottla/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import type { IdempotentLoad } from "../support/idempotent-load.ts";
import { LOADED_PARTITIONS, LOADED_TOPIC, LoadedCluster } from "../support/loaded-cluster.ts";
import type { OttlaCluster } from "../support/ottla-cluster.ts";

/** For an answer that waits at most 2 s for a node that hangs. */
const ANSWER_TIMEOUT_MS = 4_000;

describe.runIf(haveEtcd())("descriptions while a storage node is down", () => {
  let loaded: LoadedCluster;
  let cluster: OttlaCluster;
  let load: IdempotentLoad;
  let transport: GrpcTransport;

  beforeAll(async () => {
    loaded = await LoadedCluster.start();
    ({ cluster, load, transport } = loaded);
  });

  afterAll(async () => {
    await loaded?.stop();
  });

  /** Asks until the cluster knows that node 1 is gone. Rejects when one of the answers is an error. */
  async function describeUntilOffline() {
    const admin = createClient(AdminService, transport);
    const within = { timeoutMs: ANSWER_TIMEOUT_MS };
    const answers = [];
    for (;;) {
      const [{ nodes }, { topics }] = await Promise.all([
        admin.describeCluster({ includeStorage: true }, within),
        admin.describeTopics({ names: [LOADED_TOPIC], includeOffsets: true }, within),
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
      expect(partitions.length).toBe(LOADED_PARTITIONS);
    }
    if (how === "killed") await node.launch();
    await load.untilAllMoved();
  });

  test("while etcd is away they say that nobody has confirmed them, and then no more", async () => {
    const admin = createClient(AdminService, transport);
    const areUnconfirmed = async () => {
      const [described, { topics }] = await Promise.all([
        admin.describeCluster({}),
        admin.describeTopics({ names: [LOADED_TOPIC] }),
      ]);
      return [described.unconfirmed, topics[0]?.unconfirmed];
    };
    for (const member of cluster.etcd.members) member.freeze();
    expect(await areUnconfirmed()).toEqual([true, true]);
    for (const member of cluster.etcd.members) member.resume();
    await expect.poll(areUnconfirmed, { timeout: 20_000 }).toEqual([false, false]);
  });
});
