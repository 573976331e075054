import { Health, HealthCheckResponse_ServingStatus as Status } from "@ottla/proto/grpc/health/v1/health";
import { VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { createClient } from "./create-client.ts";
import { HealthService } from "./health.ts";
import { InProcessTransport } from "./in-process-transport.ts";

function serve(isReady: () => boolean | Promise<boolean> = () => true) {
  const clock = new VirtualClock();
  const health = new HealthService({ clock, services: ["ottla.v1.LogService"], isReady });
  const client = createClient(Health, new InProcessTransport({ registry: health.registry, clock }));
  return { clock, health, client };
}

const check = async (client: ReturnType<typeof serve>["client"], service = "") =>
  (await client.check({ service })).status;

test("follows the node's readiness at every check", async () => {
  let ready = false;
  const { client } = serve(() => Promise.resolve(ready));
  expect(await check(client)).toBe(Status.NOT_SERVING);
  ready = true;
  expect(await check(client)).toBe(Status.SERVING);
  expect(await check(client, "ottla.v1.LogService")).toBe(Status.SERVING);
});

test("marks single services, and everything once the node stops", async () => {
  const { client, health } = serve();
  health.setServing("ottla.v1.LogService", false);
  expect(await check(client, "ottla.v1.LogService")).toBe(Status.NOT_SERVING);
  expect(await check(client)).toBe(Status.SERVING);
  health.setServing("ottla.v1.LogService", true);
  expect(await check(client, "ottla.v1.LogService")).toBe(Status.SERVING);
  health.stop();
  expect(await check(client)).toBe(Status.NOT_SERVING);
});

test("does not know services that are not served", async () => {
  const { client } = serve();
  await expect(check(client, "ottla.v1.Nope")).rejects.toMatchObject({ grpcStatus: 5 });
  const watched = client.watch({ service: "ottla.v1.Nope" }).received[Symbol.asyncIterator]();
  expect((await watched.next()).value?.status).toBe(Status.SERVICE_UNKNOWN);
});

test("tells watchers of every change once", async () => {
  let ready = true;
  const { client, clock, health } = serve(() => ready);
  const stream = client.watch({});
  const watched = stream.received[Symbol.asyncIterator]();
  expect((await watched.next()).value?.status).toBe(Status.SERVING);
  const next = watched.next();
  await clock.advance(5000);
  ready = false;
  await clock.advance(1000);
  expect((await next).value?.status).toBe(Status.NOT_SERVING);
  ready = true;
  health.setServing("ottla.v1.LogService", true);
  expect((await watched.next()).value?.status).toBe(Status.SERVING);
  stream.cancel();
  await clock.runUntilIdle();
  expect(clock.pendingTimers).toBe(0);
});
