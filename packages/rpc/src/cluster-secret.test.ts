import { OttlaError } from "@ottla/errors";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { systemClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import {
  ANONYMOUS,
  type ClusterIdentity,
  clusterMetadata,
  principalOf,
  requireClusterSecret,
  storedSecretProof,
} from "./cluster-secret.ts";
import { createClient } from "./create-client.ts";
import { GrpcServer } from "./grpc-server.ts";
import { GrpcTransport } from "./grpc-transport.ts";
import { collect, failureOf, logRegistry } from "./transport-harness.ts";

const identity = { clusterId: "cluster-a", secret: "a secret of all nodes" };

async function serve(served: ClusterIdentity = identity) {
  const principals: string[] = [];
  const server = new GrpcServer({
    registries: [],
    clock: systemClock,
    port: 0,
    authorize: requireClusterSecret(served),
  });
  server.add(
    logRegistry({
      append: async (_request, context) => {
        principals.push(principalOf(context));
        return {};
      },
      produce: async (stream) => {
        for await (const { correlationId } of stream.received) stream.send({ correlationId });
      },
    }),
  );
  const port = await server.start();
  const transports: GrpcTransport[] = [];
  const clientWith = (metadata: Record<string, string>) => {
    const transport = new GrpcTransport({ address: `127.0.0.1:${port}`, clock: systemClock, metadata });
    transports.push(transport);
    return createClient(LogService, transport);
  };
  const close = async (): Promise<void> => {
    await Promise.all(transports.map((transport) => transport.close()));
    await server.stop(1000);
  };
  return { clientWith, principals, close };
}

describe("a server that requires the cluster's secret", () => {
  test("serves who has it, and learns for whom the call is made", async () => {
    const served = await serve();
    const client = served.clientWith(clusterMetadata(identity));
    await client.append({});
    await client.append({}, { metadata: clusterMetadata(identity, "User:alice") });
    expect(served.principals).toEqual([ANONYMOUS, "User:alice"]);
    const stream = client.produce();
    stream.send({ correlationId: 7n });
    stream.end();
    expect(await collect(stream.received)).toMatchObject([{ correlationId: 7n }]);
    await served.close();
  });

  test("refuses calls without it, with a wrong one, and with one made for another cluster", async () => {
    const served = await serve();
    const stolen = {
      ...clusterMetadata({ ...identity, clusterId: "cluster-b" }),
      "ottla-cluster-id": "cluster-a",
    };
    const wrong = clusterMetadata({ ...identity, secret: "another secret" });
    for (const metadata of [{}, wrong, stolen, { "ottla-cluster-proof": "x" }]) {
      const client = served.clientWith(metadata);
      expect(await failureOf(client.append({}))).toMatchObject({ code: "UNAUTHENTICATED" });
      const stream = client.produce();
      stream.send({ correlationId: 1n });
      expect(await failureOf(collect(stream.received))).toMatchObject({ code: "UNAUTHENTICATED" });
    }
    expect(served.principals).toEqual([]);
    await served.close();
  });

  test("takes the next secret too while it is being changed, and shows its own", async () => {
    const next = { ...identity, secret: "the next secret of all" };
    const served = await serve({ ...identity, otherSecrets: [next.secret] });
    await served.clientWith(clusterMetadata(identity)).append({});
    await served.clientWith(clusterMetadata(next)).append({});
    const wrong = served.clientWith(clusterMetadata({ ...identity, secret: "another secret" }));
    expect(await failureOf(wrong.append({}))).toMatchObject({ code: "UNAUTHENTICATED" });
    expect(clusterMetadata({ ...identity, otherSecrets: [next.secret] })).toEqual(clusterMetadata(identity));
    await served.close();
  });

  test("serves nobody who knows no more than what the metadata store keeps", async () => {
    const proof = storedSecretProof(identity);
    expect(proof).not.toBe(storedSecretProof({ ...identity, clusterId: "cluster-b" }));
    const served = await serve();
    const client = served.clientWith({ ...clusterMetadata(identity), "ottla-cluster-proof": proof });
    expect(await failureOf(client.append({}))).toMatchObject({ code: "UNAUTHENTICATED" });
    await served.close();
  });

  test("names both clusters to a node of another one", async () => {
    const served = await serve();
    const client = served.clientWith(clusterMetadata({ ...identity, clusterId: "cluster-b" }));
    const error = await failureOf(client.append({}));
    expect(error).toBeInstanceOf(OttlaError);
    expect(error).toMatchObject({ code: "CLUSTER_AUTHORIZATION_FAILED" });
    expect(String(error)).toMatch(/cluster-b.*cluster-a/);
    await served.close();
  });
});
