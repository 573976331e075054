import { rm, stat } from "node:fs/promises";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, type GrpcTransport } from "@ottla/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import type { IdempotentLoad } from "../support/idempotent-load.ts";
import { LoadedCluster } from "../support/loaded-cluster.ts";
import type { OttlaCluster } from "../support/ottla-cluster.ts";

describe.runIf(haveEtcd())("a storage node whose data is deleted while it runs", () => {
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
