import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { type HttpServer, type HttpServerOptions, startHttpServer } from "./http-server.ts";
import { listenError } from "./listen-error.ts";
import { createLogger } from "./logging.ts";
import { Counter, createMetricsRegistry } from "./metrics.ts";
import { Readiness } from "./readiness.ts";
import { systemClock } from "./system-clock.ts";
import { VirtualClock } from "./virtual-clock.ts";

const servers: HttpServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

async function start(options: Partial<HttpServerOptions> = {}) {
  const readiness = options.readiness ?? new Readiness({ clock: systemClock });
  const metrics = createMetricsRegistry();
  const base = { host: "127.0.0.1", port: 0, clock: systemClock, readiness, metrics };
  const server = await startHttpServer({ ...base, ...options });
  servers.push(server);
  return { server, readiness, metrics, address: `http://127.0.0.1:${server.port}` };
}

/** Everything a raw connection answers until it is closed. */
function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.setEncoding("latin1");
    socket.on("data", (data: string) => (answer += data));
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}

describe("startHttpServer", () => {
  test("/healthz answers while the event loop turns, ready or not", async () => {
    const { address, readiness } = await start();
    readiness.add("metadata", () => "not connected");
    const response = await fetch(`${address}/healthz`);
    expect([response.status, await response.text()]).toEqual([200, "ok\n"]);
  });

  test("/readyz names what is missing, and is 200 once nothing is", async () => {
    const { address, readiness } = await start();
    let reason: string | undefined = "recovering 3 of 7 logs";
    readiness.add("storage", () => reason);
    readiness.add("metadata", async () => undefined);
    const waiting = await fetch(`${address}/readyz`);
    expect(waiting.status).toBe(503);
    expect(await waiting.json()).toEqual({
      ready: false,
      checks: [
        { name: "storage", ready: false, reason: "recovering 3 of 7 logs" },
        { name: "metadata", ready: true },
      ],
    });
    reason = undefined;
    const ready = await fetch(`${address}/readyz`);
    expect([ready.status, ready.headers.get("content-type")]).toEqual([
      200,
      "application/json; charset=utf-8",
    ]);
    expect(await ready.json()).toMatchObject({ ready: true });
  });

  test("/metrics is what Prometheus reads", async () => {
    const { address, metrics } = await start();
    new Counter({ name: "ottla_gateway_requests_total", help: "h", registers: [metrics] }).inc(2);
    const response = await fetch(`${address}/metrics`);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await response.text()).toContain("ottla_gateway_requests_total 2");
  });

  test("HEAD has the headers and no body; other methods and paths are refused", async () => {
    const { address } = await start();
    const head = await fetch(`${address}/healthz`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "3", ""]);
    const post = await fetch(`${address}/healthz`, { method: "POST", body: "x".repeat(100_000) });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect((await fetch(`${address}/nothing`)).status).toBe(404);
    expect((await fetch(`${address}/healthz/more`)).status).toBe(404);
    expect((await fetch(`${address}/healthz?verbose`)).status).toBe(200);
  });

  test("further routes: exact paths, prefixes, and a failing one that fails alone", async () => {
    const lines: string[] = [];
    const text = (body: string) => ({ status: 200, contentType: "text/plain", body });
    const { address } = await start({
      logger: createLogger({ format: "json", destination: { write: (line) => void lines.push(line) } }),
      routes: [
        { path: "/", handle: () => text("root") },
        { path: "/console/", handle: ({ path, query }) => text(`${path} ${query.get("q")}`) },
        {
          path: "/broken",
          handle: () => {
            throw new Error("a bug");
          },
        },
      ],
    });
    expect(await (await fetch(`${address}/console/topics/t?q=1`)).text()).toBe("/console/topics/t 1");
    expect(await (await fetch(`${address}/else`)).text()).toBe("root");
    expect(await (await fetch(`${address}/healthz`)).text()).toBe("ok\n");
    const broken = await fetch(`${address}/broken`);
    expect([broken.status, await broken.text()]).toEqual([
      500,
      "internal error: see the log of the server\n",
    ]);
    expect(lines.join("")).toContain("a bug");
  });

  test("headers beyond the limit are refused with 431", async () => {
    const { server } = await start();
    const request = `GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(20_000)}\r\n\r\n`;
    expect(await exchange(server.port, request)).toMatch(/^HTTP\/1\.1 431 /);
    expect(await exchange(server.port, "nonsense\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("connections beyond the limit are closed", async () => {
    const { server } = await start({ maxConnections: 1 });
    const first: Socket = connect(server.port, "127.0.0.1");
    const answered = new Promise((resolve) => first.once("data", resolve));
    first.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    await answered;
    expect(await exchange(server.port, "")).toBe("");
    first.destroy();
  });

  test("a port in use is refused with the flag that helps", async () => {
    const { server } = await start();
    await expect(start({ port: server.port })).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      message: `port ${server.port} of 127.0.0.1 is in use: set --http-port`,
    });
    await expect(start({ host: "192.0.2.1" })).rejects.toThrow(
      "192.0.2.1 is no address of this machine: set --listen",
    );
  });

  test("closing waits for answers in work, but no longer than the grace", async () => {
    const clock = new VirtualClock();
    const begun = Promise.withResolvers<void>();
    const { server, address } = await start({
      clock,
      routes: [
        {
          path: "/slow",
          handle: () => {
            begun.resolve();
            return new Promise(() => undefined);
          },
        },
      ],
    });
    const response = fetch(`${address}/slow`);
    const failed = response.then(
      () => false,
      () => true,
    );
    await begun.promise;
    let closed = false;
    const closing = server.close(100).then(() => (closed = true));
    await clock.advance(99);
    expect(closed).toBe(false);
    await clock.advance(1);
    await closing;
    expect(await failed).toBe(true);
    await server.close();
  });
});

describe("Readiness", () => {
  test("a check that throws or does not answer counts as not ready", async () => {
    const clock = new VirtualClock();
    const readiness = new Readiness({ clock, checkTimeoutMs: 200 });
    readiness.add("hung", () => new Promise(() => undefined));
    readiness.add("broken", () => {
      throw new Error("no lease");
    });
    const report = readiness.report();
    await clock.advance(200);
    expect(await report).toEqual({
      ready: false,
      checks: [
        { name: "hung", ready: false, reason: "no answer within 200 ms" },
        { name: "broken", ready: false, reason: "no lease" },
      ],
    });
    readiness.remove("hung");
    readiness.remove("broken");
    expect(await readiness.report()).toEqual({ ready: true, checks: [] });
    expect(clock.pendingTimers).toBe(0);
    readiness.add("again", () => undefined);
    expect(() => readiness.add("again", () => undefined)).toThrow("added twice");
  });
});

test.each([
  ["EACCES", "port 80 of h needs more privileges: set --grpc-port to 1024 or more"],
  ["ENOTFOUND", "the name h cannot be resolved: set --listen"],
  ["EOTHER", "cannot listen on port 80 of h: message"],
])("listening fails with %s in words", (code, message) => {
  const error = listenError(Object.assign(new Error("message"), { code }), {
    host: "h",
    port: 80,
    portFlag: "--grpc-port",
  });
  expect(error.message).toBe(message);
});
