import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { LEASE_TTL_MS, OttlaCluster, OttlaNode, type Role } from "../support/ottla-cluster.ts";

const ROLES: readonly Role[] = ["coordinator", "partition-storage", "group-coordinator", "gateway"];

describe.runIf(haveEtcd())("two processes of one node id", () => {
  let cluster: OttlaCluster;
  const others: OttlaNode[] = [];

  beforeAll(async () => {
    cluster = await OttlaCluster.start({
      coordinators: 1,
      storageNodes: 1,
      groupCoordinators: 1,
      gateways: 1,
    });
  });

  afterAll(async () => {
    await Promise.all(others.map((node) => node.end("SIGKILL")));
    await cluster?.stop();
  });

  /** Another process with the id 1, and with its directory below `elsewhere`. */
  async function another(role: Role, elsewhere: string): Promise<OttlaNode> {
    const directory = join(cluster.directory, elsewhere);
    await mkdir(directory, { recursive: true });
    const { endpoints } = cluster.etcd;
    const node = await OttlaNode.make({ role, nodeId: 1, directory, endpoints });
    others.push(node);
    return node;
  }

  function copyTo({ dataDirectory }: OttlaNode): Promise<void> {
    const from = cluster.node("partition-storage", 1).dataDirectory;
    return cp(from, dataDirectory, { recursive: true, force: true });
  }

  test.each(ROLES)(
    "the second %s says who holds its id, is not ready, and takes over when it goes",
    async (role) => {
      const first = cluster.node(role, 1);
      const second = await another(role, "second");
      second.spawn();
      const address = `127.0.0.1:${role === "gateway" ? first.grpcPort : first.internalPort}`;
      const reason = new RegExp(`node id 1 is held by ${address} since .*; waiting until its lease is over`);
      await expect.poll(() => second.readyPage().catch(() => ""), { timeout: 10_000 }).toMatch(reason);
      expect(await second.isReady()).toBe(false);
      expect(second.output).toMatch(reason);
      expect(await first.isReady()).toBe(true);
      await first.end("SIGTERM");
      await expect.poll(() => second.isReady(), { timeout: 2 * LEASE_TTL_MS }).toBe(true);
      await second.end("SIGTERM");
      await first.launch();
    },
  );

  test("a copy of a data directory is refused beside the node that runs with it, and after it", async () => {
    const original = cluster.node("partition-storage", 1);
    await original.end("SIGTERM");
    const copy = await another("partition-storage", "copy");
    await copyTo(copy);
    await original.launch();
    const refusedWith = async (): Promise<number | null> => {
      copy.spawn();
      return copy.ended();
    };
    expect(await refusedWith()).toBe(73);
    expect(await refusedWith()).toBe(73);
    expect(await original.isReady()).toBe(true);
    await original.end("SIGTERM");
    expect(await refusedWith()).toBe(73);
    expect(copy.output).toContain("it is a copy or a backup that lacks what was acknowledged since");
    await original.launch();
  });
});
