import { LogService } from "@ottla/proto/ottla/v1/log";
import { type Connection, NodeNetwork, systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { createClient } from "./create-client.ts";
import { GrpcTransport } from "./grpc-transport.ts";
import { aborted, collect, event, failureOf, serveOverGrpc } from "./transport-harness.ts";

/**
 * Passes bytes on to a port until it is told to drop all its connections. A silent one takes connections and
 * lets nothing through, until it is told to speak to those that come then.
 */
async function startRelay(port: number, options: { readonly isSilentAtFirst?: boolean } = {}) {
  const network = new NodeNetwork();
  const connections: Connection[] = [];
  let isSilent = options.isSilentAtFirst ?? false;
  const join = (from: Connection, to: Connection) => {
    connections.push(from);
    from.start({
      onData: (chunk) => to.write([chunk]),
      onDrain: () => undefined,
      onEnd: () => to.end(),
      onClose: () => to.destroy(),
    });
  };
  const listener = await network.listen({ host: "127.0.0.1", port: 0 }, (near) => {
    if (isSilent) {
      near.start({
        onData: () => undefined,
        onDrain: () => undefined,
        onEnd: () => undefined,
        onClose: () => undefined,
      });
      connections.push(near);
      return;
    }
    void network.connect({ host: "127.0.0.1", port }).then((far) => {
      join(near, far);
      join(far, near);
    });
  });
  const drop = () => {
    for (const connection of connections.splice(0)) connection.destroy();
  };
  const speak = () => {
    isSilent = false;
  };
  return { port: listener.port, drop, speak, close: () => listener.close() };
}

test("a connection that breaks fails its calls on both sides, and the next call connects again", async () => {
  const [unaryStarted, streamStarted] = [event(), event()];
  const [unaryReason, streamReason, readFailure] = [event<unknown>(), event<unknown>(), event<unknown>()];
  const served = await serveOverGrpc({
    fetch: (_request, context) => {
      void aborted(context.signal).then(unaryReason.fire);
      unaryStarted.fire();
      return new Promise(() => undefined);
    },
    produce: async (stream, context) => {
      void aborted(context.signal).then(streamReason.fire);
      void failureOf(collect(stream.received)).then(readFailure.fire);
      streamStarted.fire();
      await aborted(context.signal);
    },
    initProducer: async () => ({ producerId: 3n }),
  });
  const relay = await startRelay(served.server?.port ?? 0);
  const transport = new GrpcTransport({
    address: `127.0.0.1:${relay.port}`,
    clock: systemClock,
    minReconnectDelayMs: 20,
  });
  const client = createClient(LogService, transport);
  const unary = failureOf(client.fetch({}));
  const stream = client.produce();
  stream.send({ correlationId: 1n });
  await Promise.all([unaryStarted.happened, streamStarted.happened]);

  relay.drop();
  const broken = { code: "NETWORK_EXCEPTION", message: `the connection to ${transport.address} broke` };
  expect(await unary).toMatchObject(broken);
  expect(await failureOf(collect(stream.received))).toMatchObject(broken);
  expect(await failureOf(stream.drained())).toMatchObject(broken);
  // No handler takes a caller that is gone for one that has finished.
  expect(await unaryReason.happened).toMatchObject({ code: "CANCELLED" });
  expect(await streamReason.happened).toMatchObject({ code: "CANCELLED" });
  expect(await readFailure.happened).toMatchObject({ code: "CANCELLED" });

  expect((await client.initProducer({}, { waitForReady: true })).producerId).toBe(3n);
  await transport.close();
  await relay.close();
  await served.close();
});

test("an attempt to connect that nobody answers is given up, and the next call makes another", async () => {
  const served = await serveOverGrpc({ initProducer: async () => ({ producerId: 3n }) });
  const relay = await startRelay(served.server?.port ?? 0, { isSilentAtFirst: true });
  const transport = new GrpcTransport({
    address: `127.0.0.1:${relay.port}`,
    clock: systemClock,
    connectTimeoutMs: 50,
    minReconnectDelayMs: 20,
  });
  const client = createClient(LogService, transport);
  expect(await failureOf(client.initProducer({}))).toMatchObject({ code: "UNAVAILABLE" });
  relay.speak();
  expect(await client.initProducer({})).toMatchObject({ producerId: 3n });
  await transport.close();
  await relay.close();
  await served.close();
});
