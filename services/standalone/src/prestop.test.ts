import { createMetricsRegistry, httpGet, Readiness, startHttpServer, systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { PreStop } from "./prestop.ts";

test("a node hands on what it leads once for all who ask, and only for preStop", async () => {
  const preStop = new PreStop();
  const server = await startHttpServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    readiness: new Readiness({ clock: systemClock }),
    metrics: createMetricsRegistry(),
    routes: [preStop.route],
  });
  const { port } = server;
  const asked = { host: "127.0.0.1", port, path: "/prestop", timeoutMs: 10_000 };
  const headers = { "ottla-prestop": "1" };
  expect(await httpGet({ ...asked, headers })).toEqual({ status: 200, body: '{"moved":0,"left":0}\n' });
  let times = 0;
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<{ moved: number; left: number }>();
  preStop.set(() => {
    times += 1;
    begun.resolve();
    return end.promise;
  });
  expect(await httpGet(asked)).toMatchObject({ status: 403 });
  const answers = [httpGet({ ...asked, headers }), httpGet({ ...asked, headers })];
  await begun.promise;
  end.resolve({ moved: 3, left: 1 });
  for (const { body } of await Promise.all(answers)) expect(body).toBe('{"moved":3,"left":1}\n');
  expect(times).toBeLessThanOrEqual(2);
  await server.close();
});
