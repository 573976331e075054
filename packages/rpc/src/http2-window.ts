/**
 * grpc-js ignores `grpc-node.flow_control_window` on servers, so every upload would run
 * at HTTP/2's default window of 64 KiB: half the throughput of an 8 MiB one. There is no
 * public way to set it. This module is the one place that reaches into grpc-js for it;
 * where grpc-js has changed, nothing is raised and the server serves all the same.
 */

interface Http2Session {
  setLocalWindowSize(sizeBytes: number): void;
  readonly state: { readonly effectiveLocalWindowSize?: number };
  readonly localSettings: { readonly initialWindowSize?: number };
}

interface Http2Server {
  /** Not there until it is set. */
  maxConnections?: number;
  on(event: "session", listener: (session: Http2Session) => void): unknown;
}

export interface ServerReachOptions {
  readonly windowBytes: number;
  readonly maxConnections: number;
  /** Called for each connection after its window was set: shows a test that it had an effect. */
  readonly onSession?: (session: Http2Session) => void;
}

/**
 * Raises the session and stream windows of the HTTP/2 servers that a grpc-js server will
 * create, and limits their connections. To be called before `bindAsync`. Returns false
 * where this version of grpc-js cannot be reached.
 */
export function reachHttp2Server(grpcServer: object, options: ServerReachOptions): boolean {
  const create: unknown = Reflect.get(grpcServer, "createHttp2Server");
  const common: unknown = Reflect.get(grpcServer, "commonServerOptions");
  if (typeof create !== "function" || typeof common !== "object" || common === null) return false;

  const settings: unknown = Reflect.get(common, "settings");
  Reflect.set(common, "settings", {
    ...(typeof settings === "object" ? settings : {}),
    initialWindowSize: options.windowBytes,
  });
  return Reflect.set(grpcServer, "createHttp2Server", (...credentials: unknown[]): unknown => {
    const server: unknown = Reflect.apply(create, grpcServer, credentials);
    if (isHttp2Server(server)) {
      server.maxConnections = options.maxConnections;
      server.on("session", (session) => raiseSessionWindow(session, options));
    }
    return server;
  });
}

function raiseSessionWindow(session: Http2Session, options: ServerReachOptions): void {
  try {
    session.setLocalWindowSize(options.windowBytes);
  } catch {
    // The connection is gone already, or Node has changed: it is served with the window that it has.
  }
  options.onSession?.(session);
}

function isHttp2Server(value: unknown): value is Http2Server {
  return typeof value === "object" && value !== null && "on" in value && typeof value.on === "function";
}
