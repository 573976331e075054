import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Ottla } from "@ottla/client";
import { FEATURE_LEVELS } from "@ottla/metadata";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { IdempotentLoad } from "../support/idempotent-load.ts";
import { OttlaCluster, type OttlaNode } from "../support/ottla-cluster.ts";
import { ottlaCommand } from "../support/ottla-server.ts";
import { GroupTraffic } from "./group-traffic.ts";
import { havePreviousVersion, oldCommand } from "./previous.ts";

const OLD_LEVEL = 1;
const NEW_LEVEL = FEATURE_LEVELS.at(-1)?.level ?? 1;
const TOPIC = "t";
const PARTITIONS = 3;
const run = promisify(execFile);

describe.runIf(haveEtcd() && havePreviousVersion())("a cluster of the previous version", () => {
  let cluster: OttlaCluster;
  let load: IdempotentLoad;
  let traffic: GroupTraffic;
  let ottla: Ottla;

  beforeAll(async () => {
    const shape = { coordinators: 2, storageNodes: 3, groupCoordinators: 2, gateways: 2 };
    cluster = await OttlaCluster.start(shape, [], oldCommand);
    ottla = new Ottla({ address: `127.0.0.1:${cluster.node("gateway", 1).grpcPort}` });
    // Its records are acknowledged before they are on disk: only a clean-shutdown mark that the other version
    // understands keeps a replica of it in its place (R9).
    const relaxed = { "flush.messages": 1_000_000 };
    await ottla.admin().createTopic({ name: TOPIC, partitions: PARTITIONS, configs: relaxed });
    const grpcPorts = [1, 2].map((nodeId) => cluster.node("gateway", nodeId).grpcPort);
    traffic = await GroupTraffic.start(grpcPorts);
    load = new IdempotentLoad({ topic: TOPIC, partitions: PARTITIONS, grpcPorts });
    load.start();
    await load.untilAllMoved();
    await traffic.moreComes();
  });

  afterAll(async () => {
    await Promise.all([load?.close(), traffic?.close(), ottla?.close()]);
    await cluster?.stop();
  });

  /** As it is documented: what stores first, the doors last, one node at a time. */
  const inOrder = (): readonly OttlaNode[] =>
    (["partition-storage", "coordinator", "group-coordinator", "gateway"] as const).flatMap((role) =>
      cluster.nodes.filter((node) => node.role === role),
    );

  async function replace(node: OttlaNode, command: string): Promise<void> {
    load.takeErrors(0);
    expect(await node.end("SIGTERM")).toBe(0);
    node.command = command;
    await node.launch();
    await load.untilAllMoved();
    // Clients of a gateway that is stopped look for another, or wait; nobody else sees anything.
    const others = cluster.nodes.filter((other) => other.role === "gateway" && other !== node);
    expect(others.flatMap(({ grpcPort }) => load.takeErrors(grpcPort))).toEqual([]);
  }

  async function replaceAll(command: string): Promise<void> {
    for (const node of inOrder()) await replace(node, command);
    await traffic.moreComes();
    await noReplicaIsMissing();
  }

  async function noReplicaIsMissing(): Promise<void> {
    const health = async () => (await ottla.admin().describeCluster()).partitions;
    const whole = { withoutLeader: 0, underReplicated: 0, underMinInSync: 0 };
    await expect.poll(health, { timeout: 20_000 }).toMatchObject(whole);
  }

  const directoryVersions = async (): Promise<(string | undefined)[]> => {
    const nodes = cluster.nodes.filter(({ role }) => role === "partition-storage");
    const texts = nodes.map(({ dataDirectory }) => readFile(join(dataDirectory, "meta.properties"), "utf8"));
    return (await Promise.all(texts)).map((text) => /^version=(\d+)$/m.exec(text)?.[1]);
  };

  const command = async (...parameters: string[]): Promise<string> => {
    const address = `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
    return run(ottlaCommand, [...parameters, "--address", address]).then(
      ({ stdout }) => stdout,
      (failed: { stdout: string; stderr: string }) => failed.stdout + failed.stderr,
    );
  };

  test("takes the new version node by node, under load, and stays at its level", async () => {
    for (const node of inOrder()) {
      await replace(node, ottlaCommand);
      if (node.role === "gateway") break;
    }
    const planned = await command("cluster", "upgrade");
    expect(planned).toMatch(/upgrade first: gateway 2: feature level 1/);
    expect(await command("cluster", "upgrade", "--execute")).toContain("FEATURE_UPDATE_FAILED");
    await replace(cluster.node("gateway", 2), ottlaCommand);
    await traffic.moreComes();
    await noReplicaIsMissing();
    expect(await ottla.admin().describeCluster()).toMatchObject({ featureLevel: OLD_LEVEL });
    expect(await directoryVersions()).toEqual(["1", "1", "1"]);
    await expect(ottla.admin().cordonNode(1)).rejects.toMatchObject({ code: "UNSUPPORTED_VERSION" });
  });

  test("goes back to the old version node by node, and loses nothing", async () => {
    await replaceAll(oldCommand);
    expect(await directoryVersions()).toEqual(["1", "1", "1"]);
  });

  test("goes forward again and is raised to the new level, which the command line announces", async () => {
    await replaceAll(ottlaCommand);
    const planned = await command("cluster", "upgrade");
    expect(planned).toContain(`feature level ${OLD_LEVEL}: it can be raised to ${NEW_LEVEL}`);
    expect(await command("cluster", "upgrade", "--execute")).toContain(`raised from ${OLD_LEVEL}`);
    await load.untilAllMoved();
    await traffic.moreComes();
    expect(await command("cluster", "describe")).toContain(`feature level ${NEW_LEVEL}`);
    await expect.poll(directoryVersions, { timeout: 10_000 }).toEqual(["2", "2", "2"]);
    await ottla.admin().cordonNode(1);
    await ottla.admin().resumeNode(1);
  });

  test("refuses the old version from then on, with a sentence, and leaves files as they were", async () => {
    for (const role of ["partition-storage", "coordinator", "group-coordinator", "gateway"] as const) {
      const node = cluster.node(role, 2);
      expect(await node.end("SIGTERM")).toBe(0);
      node.command = oldCommand;
      const [code] = (await once(node.spawn(), "close")) as [number];
      expect(code).not.toBe(0);
      expect(node.output.split("\n").slice(-12).join("\n")).toContain(
        `the cluster is at feature level ${NEW_LEVEL}; this program supports feature level ${OLD_LEVEL}: ` +
          "use a newer version",
      );
      // A start that came to nothing has not made a crash of the clean stop before it (R9).
      const isMarked = existsSync(join(node.dataDirectory, "clean-shutdown"));
      expect(isMarked).toBe(role === "partition-storage");
      node.command = ottlaCommand;
      await node.launch();
    }
    await load.untilAllMoved();
    await noReplicaIsMissing();
  });

  test("has all that was acknowledged, once and in order, and groups missed nothing", async () => {
    await traffic.moreComes();
    await load.stop();
    expect(load.acknowledgedCount).toBeGreaterThan(1_000);
    const address = `127.0.0.1:${cluster.node("gateway", 2).grpcPort}`;
    const transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
    expect(await load.faults({ log: createClient(LogService, transport) })).toEqual([]);
    await transport.close();
    expect(await traffic.committed()).toBe(traffic.producedCount);
  });
});
