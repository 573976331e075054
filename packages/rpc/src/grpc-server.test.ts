import { Server, ServerCredentials } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@ottla/proto/grpc/health/v1/health";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createMetricsRegistry, systemClock, VirtualClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { createClient } from "./create-client.ts";
import { GrpcServer } from "./grpc-server.ts";
import { GrpcTransport } from "./grpc-transport.ts";
import { reachHttp2Server, type ServerReachOptions } from "./http2-server.ts";
import { ServiceRegistry } from "./service-registry.ts";
import { aborted, collect, event, failureOf, logRegistry, serveOverGrpc } from "./transport-harness.ts";

const loopback = (port: number) => new GrpcTransport({ address: `127.0.0.1:${port}`, clock: systemClock });

describe("the gRPC server", () => {
  test("says which port is in use and which flag changes it", async () => {
    const first = new GrpcServer({ registries: [], clock: systemClock, port: 0 });
    const port = await first.start();
    const second = new GrpcServer({ registries: [], clock: systemClock, port });
    await expect(second.start()).rejects.toMatchObject({
      message: `port ${port} of 127.0.0.1 is in use: set --grpc-port`,
    });
    await second.stop(0);
    await first.stop(0);
  });

  test("serves the services of several registries", async () => {
    const log = logRegistry({ initProducer: async () => ({ producerId: 4n }) });
    const server = new GrpcServer({ registries: [new ServiceRegistry(), log], clock: systemClock, port: 0 });
    const transport = loopback(await server.start());
    expect((await createClient(LogService, transport).initProducer({})).producerId).toBe(4n);
    expect((await createClient(Health, transport).check({ service: LogService.typeName })).status).toBe(
      Status.SERVING,
    );
    await transport.close();
    await server.stop(0);
  });

  test("closes connections above its limit", async () => {
    const server = new GrpcServer({
      registries: [logRegistry({})],
      clock: systemClock,
      port: 0,
      maxConnections: 2,
    });
    const port = await server.start();
    const transports = [loopback(port), loopback(port), loopback(port)];
    const [first, second, third] = transports.map((transport) => createClient(LogService, transport));
    await first?.fetch({});
    await second?.fetch({});
    await expect(third?.fetch({}, { timeoutMs: 2000 })).rejects.toMatchObject({ retriable: true });
    await first?.fetch({});
    for (const transport of transports) await transport.close();
    await server.stop(0);
  });

  test("lets calls above the limit of one connection wait", async () => {
    const goOn = event();
    let running = 0;
    let most = 0;
    const server = new GrpcServer({
      registries: [
        logRegistry({
          fetch: async () => {
            running += 1;
            most = Math.max(most, running);
            if (running === 3) goOn.fire();
            await goOn.happened;
            running -= 1;
            return {};
          },
        }),
      ],
      clock: systemClock,
      port: 0,
      maxStreamsPerConnection: 3,
    });
    const transport = loopback(await server.start());
    const client = createClient(LogService, transport);
    // The first call brings the server's settings to the client.
    await client.append({});
    await Promise.all(Array.from({ length: 12 }, () => client.fetch({})));
    expect(most).toBe(3);
    await transport.close();
    await server.stop(0);
  });

  test("keeps a connection whose caller cancels thousands of calls", async () => {
    const served = await serveOverGrpc({ fetch: () => new Promise(() => undefined) });
    await served.client.append({});
    for (let round = 0; round < 15; round += 1) {
      const controller = new AbortController();
      const { signal } = controller;
      const calls = Array.from({ length: 200 }, () => failureOf(served.client.fetch({}, { signal })));
      // An answer to a later call says that these have reached the server.
      await served.client.append({});
      controller.abort();
      expect(new Set((await Promise.all(calls)).map((error) => (error as OttlaError).code))).toEqual(
        new Set(["CANCELLED"]),
      );
    }
    await served.client.append({});
    await served.close();
  });

  test("refuses what it cannot decode, and does not fall over it", async () => {
    const served = await serveOverGrpc({});
    const { fetch } = LogService.method;
    // The same path, but with a message in which a field has another type.
    const method = { ...fetch, input: fetch.output };
    const request = { batches: new Uint8Array(20).fill(0xff) };
    await expect(served.transport.unary(method, request, {})).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      message: "the request is no ottla.v1.FetchRequest: its bytes cannot be decoded",
    });
    await served.client.fetch({});
    await served.close();
  });

  test("counts calls by method and code, times unary ones and knows how many streams are open", async () => {
    const metrics = createMetricsRegistry();
    const opened = event();
    const served = await serveOverGrpc(
      {
        fetch: async ({ topic }) => {
          if (topic === "missing") throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", "no such topic");
          return {};
        },
        read: async (_request, _stream, context) => {
          opened.fire();
          await aborted(context.signal);
        },
      },
      { metrics },
    );
    await served.client.fetch({});
    await served.client.fetch({});
    await expect(served.client.fetch({ topic: "missing" })).rejects.toThrow("no such topic");
    const stream = served.client.read({});
    await opened.happened;
    const text = await metrics.metrics();
    const fetch = 'method="ottla.v1.LogService/Fetch"';
    expect(text).toContain(`ottla_rpc_requests_total{${fetch},code="OK"} 2`);
    expect(text).toContain(`ottla_rpc_requests_total{${fetch},code="UNKNOWN_TOPIC_OR_PARTITION"} 1`);
    expect(text).toContain(`ottla_rpc_request_duration_seconds_count{${fetch}} 3`);
    expect(text).toContain('ottla_rpc_open_streams{method="ottla.v1.LogService/Read"} 1');
    stream.cancel();
    await served.close();
    expect(await metrics.metrics()).toContain('ottla_rpc_open_streams{method="ottla.v1.LogService/Read"} 0');
  });
});

describe("a stop of the gRPC server", () => {
  test("lets unary calls finish, ends streams after their answers, and refuses new connections", async () => {
    const inFlight = event();
    const goOn = event();
    const served = await serveOverGrpc({
      fetch: async () => {
        inFlight.fire();
        await goOn.happened;
        return { nextOffset: 5n };
      },
      produce: async (stream, context) => {
        for await (const { correlationId } of stream.received) stream.send({ correlationId });
        // The stop has ended `received`: what was read is answered, and more would be.
        expect(context.signal.aborted).toBe(true);
        stream.send({ correlationId: 99n });
      },
    });
    const unary = served.client.fetch({});
    await inFlight.happened;
    const stream = served.client.produce();
    stream.send({ correlationId: 1n });
    const answers = stream.received[Symbol.asyncIterator]();
    expect((await answers.next()).value?.correlationId).toBe(1n);

    const stopped = served.server?.stop(60_000);
    expect((await answers.next()).value?.correlationId).toBe(99n);
    await expect(answers.next()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: "the server is shutting down",
    });
    const late = loopback(served.server?.port ?? 0);
    await expect(createClient(LogService, late).append({})).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await late.close();
    goOn.fire();
    expect((await unary).nextOffset).toBe(5n);
    await stopped;
    await served.transport.close();
  });

  test("ends with OK a stream whose caller had ended its side and got all answers", async () => {
    const ended = event();
    const goOn = event();
    const served = await serveOverGrpc({
      produce: async (stream) => {
        for await (const _ of stream.received);
        ended.fire();
        await goOn.happened;
        stream.send({ correlationId: 1n });
      },
    });
    const stream = served.client.produce();
    stream.end();
    await ended.happened;
    const stopped = served.server?.stop(60_000);
    goOn.fire();
    expect(await collect(stream.received)).toHaveLength(1);
    await stopped;
    await served.transport.close();
  });

  test("cuts off after its grace what does not end", async () => {
    const clock = new VirtualClock();
    const started = event();
    const reason = event<unknown>();
    const served = await serveOverGrpc(
      {
        fetch: (_request, context) => {
          void aborted(context.signal).then(reason.fire);
          started.fire();
          return new Promise(() => undefined);
        },
        read: () => new Promise(() => undefined),
      },
      {},
      clock,
    );
    const unary = failureOf(served.client.fetch({}));
    const stream = failureOf(collect(served.client.read({}).received));
    await started.happened;
    const stopped = served.server?.stop(5000);
    await clock.advance(5000);
    await stopped;
    expect(await unary).toMatchObject({ retriable: true });
    expect(await stream).toMatchObject({ retriable: true });
    expect(await reason.happened).toMatchObject({ code: "UNAVAILABLE" });
    await served.transport.close();
  });

  test("says NOT_SERVING to those who watch", async () => {
    const served = await serveOverGrpc({});
    const health = createClient(Health, served.transport);
    const watched = health.watch({ service: LogService.typeName }).received[Symbol.asyncIterator]();
    expect((await watched.next()).value?.status).toBe(Status.SERVING);
    const stopped = served.server?.stop(60_000);
    expect((await watched.next()).value?.status).toBe(Status.NOT_SERVING);
    await expect(watched.next()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await stopped;
    await served.transport.close();
  });
});

describe("the HTTP/2 window of the gRPC server", () => {
  test("is raised for connections and streams", async () => {
    const windowBytes = 8 * 1024 * 1024;
    const server = new Server();
    const connected = event<Parameters<NonNullable<ServerReachOptions["onSession"]>>[0]>();
    reachHttp2Server(server, { windowBytes, maxConnections: 1, onSession: connected.fire });
    const bound = event<number>();
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_error, port) => bound.fire(port));
    const transport = loopback(await bound.happened);
    await expect(createClient(LogService, transport).fetch({})).rejects.toMatchObject({
      code: "UNIMPLEMENTED",
    });
    const session = await connected.happened;
    expect(session.state.effectiveLocalWindowSize).toBe(windowBytes);
    expect(session.localSettings.initialWindowSize).toBe(windowBytes);
    await transport.close();
    server.forceShutdown();
  });

  test("stays as it is, without harm, where grpc-js cannot be reached", () => {
    const reach = { windowBytes: 1, maxConnections: 1 };
    expect(reachHttp2Server({}, reach)).toBe(false);
    expect(reachHttp2Server({ createHttp2Server: () => 3 }, reach)).toBe(false);
    const odd = { createHttp2Server: () => 3, commonServerOptions: {} };
    expect(reachHttp2Server(odd, reach)).toBe(true);
    expect(odd.createHttp2Server()).toBe(3);
    expect(reachHttp2Server(new Server(), reach)).toBe(true);
  });
});
