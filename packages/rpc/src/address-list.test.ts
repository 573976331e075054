import { LogService } from "@ottla/proto/ottla/v1/log";
import { systemClock } from "@ottla/runtime";
import { afterEach, expect, test } from "vitest";
import { createClient } from "./create-client.ts";
import { GrpcServer } from "./grpc-server.ts";
import { GrpcTransport } from "./grpc-transport.ts";
import { failureOf, logRegistry } from "./transport-harness.ts";

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
});

/** Answers with its number. */
async function serve(producerId: bigint, port = 0) {
  const registry = logRegistry({ initProducer: async () => ({ producerId, producerEpoch: 0 }) });
  const server = new GrpcServer({ registries: [registry], clock: systemClock, port });
  const close = (): Promise<void> => server.stop(0);
  open.push({ close });
  return { port: await server.start(), close };
}

function clientOf(address: string) {
  const transport = new GrpcTransport({ address, clock: systemClock });
  open.push(transport);
  const log = createClient(LogService, transport);
  return { log, whoAnswers: async () => Number((await log.initProducer({}, {})).producerId) };
}

test("of several host names the first is taken, the next when it is lost, and then it again", async () => {
  const [first, second] = [await serve(1n), await serve(2n)];
  const { log, whoAnswers } = clientOf(`localhost:${first.port},localhost:${second.port}`);
  expect(await whoAnswers()).toBe(1);
  expect(await whoAnswers()).toBe(1);
  await first.close();
  expect(await whoAnswers()).toBe(2);
  await serve(3n, first.port);
  await second.close();
  // The one that was lost is tried again after a moment.
  expect(Number((await log.initProducer({}, { waitForReady: true })).producerId)).toBe(3);
});

test("a name that does not exist and an address that nobody answers do not keep from the rest", async () => {
  const [gone, living] = [await serve(1n), await serve(2n)];
  await gone.close();
  const { whoAnswers } = clientOf(`nowhere.invalid:1,127.0.0.1:${gone.port},127.0.0.1:${living.port}`);
  expect(await whoAnswers()).toBe(2);
});

test("when none answers the failure names them all, and the next call tries again", async () => {
  const gone = await serve(1n);
  await gone.close();
  const address = `nowhere.invalid:1,localhost:${gone.port}`;
  const { log, whoAnswers } = clientOf(address);
  expect(await failureOf(log.initProducer({}, {}))).toMatchObject({
    code: "UNAVAILABLE",
    message: `cannot reach ${address}`,
  });
  await serve(4n, gone.port);
  const response = await log.initProducer({}, { waitForReady: true });
  expect(Number(response.producerId)).toBe(4);
  expect(await whoAnswers()).toBe(4);
});
