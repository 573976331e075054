import { type OttlaError } from "@ottla/errors";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createMetricsRegistry, NodeNetwork, systemClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { createClient } from "./create-client.ts";
import { GrpcServer } from "./grpc-server.ts";
import { GrpcTransport } from "./grpc-transport.ts";
import { collect, logRegistry, serveOverGrpc } from "./transport-harness.ts";

const registries = [logRegistry({ initProducer: async () => ({ producerId: 9n }) })];

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = new GrpcServer({ registries: [], clock: systemClock, port: 0 });
  const port = await server.start();
  await server.stop(0);
  return port;
}

describe("the gRPC transport", () => {
  test("says which address it cannot reach, at once", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const transport = new GrpcTransport({ address, clock: systemClock });
    const client = createClient(LogService, transport);
    const refused = { code: "UNAVAILABLE", message: `cannot reach ${address}`, metadata: { address } };
    await expect(client.fetch({})).rejects.toMatchObject(refused);
    await expect(collect(client.read({}).received)).rejects.toMatchObject(refused);
    await transport.close();
  });

  test("says so for a name that does not exist", async () => {
    const transport = new GrpcTransport({ address: "nobody.invalid:50051", clock: systemClock });
    const client = createClient(LogService, transport);
    await expect(client.fetch({})).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: "cannot reach nobody.invalid:50051",
    });
    await transport.close();
  });

  test("waits for a server that starts later when told to, and otherwise does not", async () => {
    const port = await freePort();
    const transport = new GrpcTransport({
      address: `127.0.0.1:${port}`,
      clock: systemClock,
      minReconnectDelayMs: 20,
      maxReconnectDelayMs: 40,
      waitForReady: true,
    });
    const client = createClient(LogService, transport);
    const waiting = client.initProducer({});
    await expect(client.fetch({}, { waitForReady: false })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    const server = new GrpcServer({ registries, clock: systemClock, port });
    await server.start();
    expect((await waiting).producerId).toBe(9n);
    await transport.close();
    await server.stop(0);
  });

  test("connects again after the server came back", async () => {
    const first = new GrpcServer({ registries, clock: systemClock, port: 0 });
    const port = await first.start();
    const transport = new GrpcTransport({
      address: `127.0.0.1:${port}`,
      clock: systemClock,
      minReconnectDelayMs: 20,
    });
    const client = createClient(LogService, transport);
    await client.initProducer({});
    await first.stop(0);
    await expect(client.initProducer({})).rejects.toMatchObject({ retriable: true });
    const second = new GrpcServer({ registries, clock: systemClock, port });
    await second.start();
    expect((await client.initProducer({}, { waitForReady: true })).producerId).toBe(9n);
    await transport.close();
    await second.stop(0);
  });

  test("fails when the peer closes the connection before it speaks HTTP/2", async () => {
    const listener = await new NodeNetwork().listen({ host: "127.0.0.1", port: 0 }, (connection) =>
      connection.destroy(),
    );
    const transport = new GrpcTransport({ address: `127.0.0.1:${listener.port}`, clock: systemClock });
    const error = await createClient(LogService, transport)
      .fetch({})
      .catch((thrown: unknown) => thrown as OttlaError);
    expect(error).toMatchObject({ retriable: true });
    await transport.close();
    await listener.close();
  });

  test("refuses metadata that HTTP/2 cannot carry", async () => {
    const served = await serveOverGrpc({});
    await expect(served.client.fetch({}, { metadata: { name: "größe\n" } })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      metadata: { field: "metadata name" },
    });
    await served.close();
  });

  test("bounds what it receives by the caller's own limit", async () => {
    const served = await serveOverGrpc({ fetch: async () => ({ batches: new Uint8Array(5000) }) });
    const address = `127.0.0.1:${served.server?.port}`;
    const small = new GrpcTransport({ address, clock: systemClock, maxMessageBytes: 1000 });
    await expect(createClient(LogService, small).fetch({})).rejects.toMatchObject({
      code: "MESSAGE_TOO_LARGE",
      message: expect.stringContaining("larger than max"),
    });
    await small.close();
    await served.close();
  });

  test("learns from the server, with details, that a request is above the server's limit", async () => {
    const served = await serveOverGrpc(
      {
        produce: async (stream) => {
          for await (const { correlationId } of stream.received) stream.send({ correlationId });
        },
      },
      { maxMessageBytes: 1000 },
    );
    const large = new GrpcTransport({ address: `127.0.0.1:${served.server?.port}`, clock: systemClock });
    const client = createClient(LogService, large);
    const payload = { case: "batch", value: new Uint8Array(5_000_000) } as const;
    const refusal = {
      code: "MESSAGE_TOO_LARGE",
      message: expect.stringMatching(/the request has 50\d+ bytes: the limit for one message is 1000 bytes/u),
      metadata: expect.objectContaining({ limitBytes: "1000" }),
    };
    await expect(client.append({ payload })).rejects.toMatchObject(refusal);
    const stream = client.produce();
    stream.send({ correlationId: 1n });
    stream.send({ correlationId: 2n, payload });
    const answered: bigint[] = [];
    const reading = (async () => {
      for await (const { correlationId } of stream.received) answered.push(correlationId);
    })();
    await expect(reading).rejects.toMatchObject(refusal);
    expect(answered.every((correlationId) => correlationId === 1n)).toBe(true);
    await client.append({});
    await large.close();
    await served.close();
  });

  test("counts the calls it makes when it is given a registry", async () => {
    const metrics = createMetricsRegistry();
    const served = await serveOverGrpc({});
    const address = `127.0.0.1:${served.server?.port}`;
    const counting = new GrpcTransport({ address, clock: systemClock, metrics });
    await createClient(LogService, counting).fetch({});
    await collect(createClient(LogService, counting).read({}).received);
    const text = await metrics.metrics();
    expect(text).toContain('ottla_rpc_client_requests_total{method="ottla.v1.LogService/Fetch",code="OK"} 1');
    expect(text).toContain('ottla_rpc_client_requests_total{method="ottla.v1.LogService/Read",code="OK"} 1');
    expect(text).toContain('ottla_rpc_client_open_streams{method="ottla.v1.LogService/Read"} 0');
    await counting.close();
    await served.close();
  });

  test("receives large answers through a raised window", async () => {
    const bytes = Uint8Array.from({ length: 5_000_000 }, (_, index) => index % 251);
    const served = await serveOverGrpc({
      read: async (_request, stream) => {
        for (let index = 0; index < 10; index += 1) {
          if (!stream.send({ batches: bytes })) await stream.drained();
        }
      },
    });
    const address = `127.0.0.1:${served.server?.port}`;
    const wide = new GrpcTransport({ address, clock: systemClock, windowBytes: 8 * 1024 * 1024 });
    let count = 0;
    for await (const { batches } of createClient(LogService, wide).read({}).received) {
      expect(Buffer.compare(batches, bytes)).toBe(0);
      count += 1;
    }
    expect(count).toBe(10);
    await wide.close();
    await served.close();
  });
});
