import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, type GrpcTransport } from "@ottla/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import type { IdempotentLoad } from "../support/idempotent-load.ts";
import { LOADED_TOPIC, LoadedCluster } from "../support/loaded-cluster.ts";
import type { OttlaCluster, OttlaNode } from "../support/ottla-cluster.ts";

describe.runIf(haveEtcd())("a partition whose directory is deleted while its node is stopped", () => {
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

  async function describeFirst() {
    const admin = createClient(AdminService, transport);
    const { topics } = await admin.describeTopics({ names: [LOADED_TOPIC] });
    const topic = topics[0];
    const first = topic?.partitions[0];
    if (topic === undefined || first === undefined) throw new Error("the topic is not there");
    return { ...first, topicId: topic.topicId };
  }

  /** All storage nodes die at once, so that each is a replica in sync still, and one without the files. */
  async function restartWithout(lost: OttlaNode, topicId: string): Promise<void> {
    const storageNodes = cluster.nodes.filter(({ role }) => role === "partition-storage");
    await Promise.all(storageNodes.map((node) => node.end("SIGKILL")));
    await rm(join(lost.dataDirectory, "topics", `${topicId}-0`), { recursive: true });
    await Promise.all(storageNodes.map((node) => node.launch()));
  }

  test("its replica does not lead with an empty log, and is filled again (R9)", async () => {
    const { leader, topicId } = await describeFirst();
    const lost = cluster.node("partition-storage", leader);
    await restartWithout(lost, topicId);
    expect(lost.output).toContain("the files of a partition went while nobody had them open");
    await load.untilAllMoved();
    await expect
      .poll(async () => (await describeFirst()).inSyncReplicas.toSorted((a, b) => a - b), { timeout: 20_000 })
      .toEqual([1, 2, 3]);
    expect(lost.output).toContain("a damaged replica is whole again");
    await load.stop();
    expect(await load.faults({ log: createClient(LogService, transport) })).toEqual([]);
  });
});
