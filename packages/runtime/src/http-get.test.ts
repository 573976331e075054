import { expect, test } from "vitest";
import { httpGet } from "./http-get.ts";
import { startHttpServer } from "./http-server.ts";
import { createMetricsRegistry } from "./metrics.ts";
import { Readiness } from "./readiness.ts";
import { systemClock } from "./system-clock.ts";

test("a small text is fetched, by its headers; who does not answer is named", async () => {
  const server = await startHttpServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    readiness: new Readiness({ clock: systemClock }),
    metrics: createMetricsRegistry(),
    routes: [
      {
        path: "/echo",
        handle: ({ headers, isLocal }) => ({
          status: 203,
          contentType: "text/plain",
          body: `${String(headers["word"])} ${isLocal}`,
        }),
      },
    ],
  });
  const { port } = server;
  const asked = { host: "127.0.0.1", port, path: "/echo", headers: { word: "hi" }, timeoutMs: 10_000 };
  expect(await httpGet(asked)).toEqual({ status: 203, body: "hi true" });
  await server.close();
  await expect(httpGet(asked)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining(`cannot reach http://127.0.0.1:${port}: `),
  });
});
