import { OttlaError } from "@ottla/errors";
import { afterEach, expect, test } from "vitest";
import type { Connection, Listener } from "./network.ts";
import { NodeNetwork } from "./node-network.ts";

const network = new NodeNetwork();
const listeners: Listener[] = [];
const HOST = "127.0.0.1";

afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.close()));
});

/** Everything that arrives until the peer ends. */
function collect(connection: Connection): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    connection.start({
      onData: (chunk) => chunks.push(Buffer.from(chunk)),
      onDrain: () => undefined,
      onEnd: () => resolve(Buffer.concat(chunks)),
      onClose: (error) => (error === undefined ? resolve(Buffer.concat(chunks)) : reject(error)),
    });
  });
}

async function pair(): Promise<{ client: Connection; server: Connection; listener: Listener }> {
  const accepted = Promise.withResolvers<Connection>();
  const listener = await network.listen({ host: HOST, port: 0 }, accepted.resolve);
  listeners.push(listener);
  const client = await network.connect({ host: HOST, port: listener.port });
  return { client, server: await accepted.promise, listener };
}

test("pieces arrive in order, and a half-closed side still gets its answer", async () => {
  const { client, server } = await pair();
  const question = collect(server);
  const answer = collect(client);
  client.write([Buffer.from("one "), Buffer.from("two ")]);
  client.write([Buffer.from("three")]);
  client.end();
  expect((await question).toString()).toBe("one two three");
  server.write([Buffer.from("answer")]);
  server.end();
  expect((await answer).toString()).toBe("answer");
});

test("a reader that pauses lets the writer's queue grow past its mark, and drains it later", async () => {
  const { client, server } = await pair();
  const drained = Promise.withResolvers<void>();
  client.start({
    onData: () => undefined,
    onDrain: drained.resolve,
    onEnd: () => undefined,
    onClose: () => undefined,
  });
  let written = 0;
  const piece = Buffer.alloc(1 << 20);
  while (client.queuedBytes === 0) {
    client.write([piece]);
    written += piece.byteLength;
  }
  expect(client.write([piece])).toBe(false);
  written += piece.byteLength;
  const all = collect(server);
  await drained.promise;
  client.end();
  expect((await all).byteLength).toBe(written);
  server.end();
});

test("a port that is taken is refused by number, and one that nobody serves cannot be reached", async () => {
  const { listener, client, server } = await pair();
  await expect(network.listen({ host: HOST, port: listener.port }, () => undefined)).rejects.toThrow(
    new OttlaError("UNAVAILABLE", `port ${listener.port} of ${HOST} is in use`),
  );
  client.destroy();
  server.destroy();
  await listener.close();
  await expect(network.connect({ host: HOST, port: listener.port })).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
});
