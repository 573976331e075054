import { once } from "node:events";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { CLUSTER_SECRET, OttlaCluster, OttlaNode, type Role } from "../support/ottla-cluster.ts";
import { appendTexts, readAll, text } from "./serve-support.ts";

const ROLES: readonly Role[] = ["coordinator", "partition-storage", "group-coordinator", "gateway"];
const NEXT_SECRET = "the next secret of the nodes under test";

describe.runIf(haveEtcd())("the cluster's secret", () => {
  let cluster: OttlaCluster;

  beforeAll(async () => {
    cluster = await OttlaCluster.start({
      coordinators: 1,
      storageNodes: 1,
      groupCoordinators: 0,
      gateways: 1,
    });
  });

  afterAll(() => cluster?.stop());

  /** What it says and its exit code: it ends by itself. */
  async function startWith(role: Role, secret: string): Promise<{ code: number | null; output: string }> {
    const node = await OttlaNode.make({
      role,
      nodeId: 7,
      directory: cluster.directory,
      endpoints: cluster.etcd.endpoints,
      environment: { OTTLA_CLUSTER_SECRET: secret },
    });
    const [code] = (await once(node.spawn(), "close")) as [number | null];
    return { code, output: node.output };
  }

  async function withGateway<T>(use: (clients: Clients) => Promise<T>): Promise<T> {
    const address = `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
    const transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
    const clients = {
      log: createClient(LogService, transport),
      admin: createClient(AdminService, transport),
    };
    try {
      return await use(clients);
    } finally {
      await transport.close();
    }
  }

  test.each(ROLES)("a %s with another one does not start, and nobody learns of it", async (role) => {
    const { code, output } = await startWith(role, "a secret of somebody else");
    expect(code).toBe(78);
    expect(output).toContain("cluster.secret is not the secret of this cluster's nodes");
    expect(output).not.toContain("a secret of somebody else");
    const nodes = await withGateway(async ({ admin }) => (await admin.describeCluster({})).nodes);
    expect(nodes.map(({ nodeId }) => nodeId)).toEqual(nodes.map(() => 1));
  });

  test("it is changed by rolling restarts, while records come and go", async () => {
    await withGateway(({ admin }) => admin.createTopic({ name: "t" }));
    const wanted: string[] = [];
    for (const [round, secrets] of [
      [CLUSTER_SECRET, NEXT_SECRET],
      [NEXT_SECRET, CLUSTER_SECRET],
      [NEXT_SECRET],
    ].entries()) {
      for (const node of cluster.nodes) {
        node.environment["OTTLA_CLUSTER_SECRET"] = secrets.join("\n");
        expect(await node.end("SIGTERM")).toBe(0);
        await node.launch();
        const value = `${round}-${node.role}`;
        wanted.push(value);
        await withGateway((clients) => appendTexts(clients, "t", [value]));
      }
    }
    const records = await withGateway((clients) => readAll(clients, "t", 0));
    expect(records.map(({ value }) => text(value))).toEqual(wanted);
    expect((await startWith("gateway", CLUSTER_SECRET)).code).toBe(78);
  });
});

interface Clients {
  readonly log: ReturnType<typeof createClient<typeof LogService>>;
  readonly admin: ReturnType<typeof createClient<typeof AdminService>>;
}
