import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "./clock.ts";
import { listenError } from "./listen-error.ts";
import { type Logger, nullLogger } from "./logging.ts";
import type { MetricsRegistry } from "./metrics.ts";
import { metricsPage } from "./metrics-page.ts";
import type { Readiness } from "./readiness.ts";

export interface HttpRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** It comes from this host: from a loopback address, or from the very one that it was sent to. */
  readonly isLocal: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpRoute {
  /** An exact path, or a prefix when it ends with "/". Longer paths win. */
  readonly path: string;
  readonly handle: (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;
}

export interface HttpServerOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly clock: Clock;
  readonly readiness: Readiness;
  readonly metrics: MetricsRegistry;
  readonly logger?: Logger;
  readonly maxConnections?: number;
  /** Beside /healthz, /readyz and /metrics. All routes answer GET and HEAD. */
  readonly routes?: readonly HttpRoute[];
}

export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** Takes no new connection, lets answers in work end for up to `graceMs`, then closes all. */
  close(graceMs?: number): Promise<void>;
}

/** An import statement would bring all of node:http, with an HTTP client and a WebSocket of 4 MB. */
const { createServer } = process.getBuiltinModule("node:http");

const MAX_HEADER_BYTES = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
const DEFAULT_MAX_CONNECTIONS = 256;
const DEFAULT_CLOSE_GRACE_MS = 1_000;
const PLAIN_TEXT = "text/plain; charset=utf-8";
const JSON_TEXT = "application/json; charset=utf-8";

function plain(status: number, line: string, headers?: Readonly<Record<string, string>>): HttpAnswer {
  return {
    status,
    contentType: PLAIN_TEXT,
    body: `${line}\n`,
    ...(headers === undefined ? {} : { headers }),
  };
}

function builtInRoutes(options: HttpServerOptions): HttpRoute[] {
  let page: Promise<Uint8Array> | undefined;
  return [
    // That an answer comes at all shows that the event loop turns: nothing else belongs into liveness.
    { path: "/healthz", handle: () => plain(200, "ok") },
    {
      path: "/readyz",
      handle: async () => {
        const report = await options.readiness.report();
        const body = `${JSON.stringify(report)}\n`;
        return { status: report.ready ? 200 : 503, contentType: JSON_TEXT, body };
      },
    },
    {
      path: "/metrics",
      handle: async () => {
        // Who asks while a page is being made gets the same one: its cost does not grow with the scrapers.
        page ??= metricsPage(options.metrics, options.clock).finally(() => {
          page = undefined;
        });
        return { status: 200, contentType: options.metrics.contentType, body: await page };
      },
    },
  ];
}

function matches(route: HttpRoute, path: string): boolean {
  return route.path === path || (route.path.endsWith("/") && path.startsWith(route.path));
}

async function answer(request: IncomingMessage, routes: readonly HttpRoute[]): Promise<HttpAnswer> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return plain(405, "only GET and HEAD are served", { allow: "GET, HEAD" });
  }
  const target = request.url ?? "/";
  const question = target.indexOf("?");
  const path = question < 0 ? target : target.slice(0, question);
  const query = new URLSearchParams(question < 0 ? "" : target.slice(question + 1));
  const route = routes.find((candidate) => matches(candidate, path));
  return route === undefined
    ? plain(404, "not found")
    : route.handle({ path, query, headers: request.headers, isLocal: isLocal(request) });
}

function isLocal({ socket: { remoteAddress, localAddress } }: IncomingMessage): boolean {
  if (remoteAddress === undefined) return false;
  const address = remoteAddress.replace(/^::ffff:/, "");
  return address.startsWith("127.") || address === "::1" || remoteAddress === localAddress;
}

function send(request: IncomingMessage, response: ServerResponse, content: HttpAnswer): void {
  const body = typeof content.body === "string" ? Buffer.from(content.body) : content.body;
  response.writeHead(content.status, {
    "content-type": content.contentType,
    "content-length": body.byteLength,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...content.headers,
    // No request has a body that we read, so a connection that carries one cannot be used again.
    ...(request.method === "GET" || request.method === "HEAD" ? {} : { connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function listen(server: Server, options: HttpServerOptions): Promise<AddressInfo> {
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void =>
      reject(listenError(error, { host, port, portFlag: "--http-port" }));
    server.once("error", onError);
    server.listen({ host, port }, () => {
      server.off("error", onError);
      resolve(server.address() as AddressInfo);
    });
  });
}

function close(server: Server, clock: Clock, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(graceMs, () => server.closeAllConnections());
    server.close(() => {
      timer.cancel();
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** Serves /healthz (alive), /readyz (503 with reasons until ready), /metrics, and further routes. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const logger = options.logger ?? nullLogger;
  const routes = [...builtInRoutes(options), ...(options.routes ?? [])].sort(
    (left, right) => right.path.length - left.path.length,
  );
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    (request, response) => {
      answer(request, routes)
        .catch((error: unknown) => {
          logger.error({ err: error, path: request.url }, "an HTTP request failed");
          return plain(500, "internal error: see the log of the server");
        })
        .then((content) => send(request, response, content))
        .catch((error: unknown) => {
          logger.error({ err: error, path: request.url }, "an HTTP answer could not be sent");
          response.destroy();
        });
    },
  );
  server.maxConnections = options.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
  const address = await listen(server, options);
  server.on("error", (error) => logger.error({ err: error }, "the HTTP server failed"));
  let closed: Promise<void> | undefined;
  return {
    host: address.address,
    port: address.port,
    close: (graceMs = DEFAULT_CLOSE_GRACE_MS) => {
      closed ??= close(server, options.clock, graceMs);
      return closed;
    },
  };
}
