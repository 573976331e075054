/**
 * grpc-js offers no way to set what its servers need of HTTP/2. It ignores
 * `grpc-node.flow_control_window` there, so that every upload would run at the default window
 * of 64 KiB, half as fast as with 8 MiB. And Node closes a connection whose peer resets more
 * than 33 streams per second, which is what cancelled calls and passed deadlines are.
 * This module is the one place that reaches into grpc-js for it; where grpc-js has changed,
 * nothing is set and the server serves all the same.
 */

/** Cancelled calls in a row, and per second in the long run, until a connection is taken for an attack. */
const RESET_BURST = 10_000;
const RESETS_PER_SECOND = 1000;

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
 * Raises the windows and the limit of resets of the HTTP/2 servers that a grpc-js server will
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
  Object.assign(common, { streamResetBurst: RESET_BURST, streamResetRate: RESETS_PER_SECOND });
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
