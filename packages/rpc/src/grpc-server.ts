import type { DescService } from "@bufbuild/protobuf";
import {
  type MethodDefinition,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  setLogger,
} from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import {
  type Clock,
  LimitedLogger,
  type Logger,
  listenError,
  type MetricsRegistry,
  nullLogger,
  type Span,
} from "@ottla/runtime";
import type { GrpcCallContext, ServedCall, ServedCallOptions } from "./grpc-served-call.ts";
import { GrpcServedStream } from "./grpc-served-stream.ts";
import { GrpcServedUnary } from "./grpc-served-unary.ts";
import { onTooLarge } from "./grpc-status.ts";
import { HealthService } from "./health.ts";
import { reachHttp2Server } from "./http2-server.ts";
import { REFLECTION_ALIAS, reflectionRegistry } from "./reflection.ts";
import { RpcMetrics } from "./rpc-metrics.ts";
import type { CallContext } from "./service.ts";
import type { ServedMethod, ServiceRegistry } from "./service-registry.ts";
import { isForeign, resultCode } from "./status.ts";

const MEBIBYTE = 1024 * 1024;

export interface GrpcServerOptions {
  /** The services of all of them are served; a service may be in one only. */
  readonly registries: readonly ServiceRegistry[];
  readonly clock: Clock;
  /** Address to listen at. Default "127.0.0.1". */
  readonly host?: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly logger?: Logger;
  readonly metrics?: MetricsRegistry;
  /** Whether the node takes calls: what the health service says. Default: from start to stop. */
  readonly isReady?: () => boolean | Promise<boolean>;
  /** Further connections are closed at once. Default 1,000. */
  readonly maxConnections?: number;
  /** Further calls of a connection wait at the client. Default 1,000. */
  readonly maxStreamsPerConnection?: number;
  /** Largest message received or sent. Default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Bytes queued to a stream's peer before `send` returns false. Default 8 MiB. */
  readonly maxUnsentBytesPerStream?: number;
  /** Bytes received and not read before a stream's peer is slowed. Default 8 MiB. */
  readonly maxUnreadBytesPerStream?: number;
  /** How often a connection is probed. Default 30 s. */
  readonly keepaliveMs?: number;
  /** How long a probe may stay unanswered before the connection is closed. Default 10 s. */
  readonly keepaliveTimeoutMs?: number;
  /** HTTP/2 window of connections and streams, for what clients send. Default 8 MiB. */
  readonly windowBytes?: number;
  /**
   * Throws for a call that may not be made: `requireClusterSecret`, for instance. It sees every call but
   * those of the health service.
   */
  readonly authorize?: (context: CallContext) => void;
  /** The span of a unary call, for those that are traced. */
  readonly startSpan?: ((context: CallContext) => Span | undefined) | undefined;
  /** The flag that sets the port, for the error when it is taken. Default "--grpc-port". */
  readonly portFlag?: string;
}

/** Serves registered services over gRPC, with the health and reflection services. */
export class GrpcServer {
  readonly health: HealthService;
  readonly #options: GrpcServerOptions;
  readonly #logger: Logger;
  readonly #faults: LimitedLogger;
  readonly #server: Server;
  readonly #metrics: RpcMetrics | undefined;
  readonly #methods = new Map<string, ServedMethod>();
  readonly #calls = new Set<ServedCall>();
  readonly #callOptions: ServedCallOptions;
  #port = 0;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? nullLogger;
    this.#faults = new LimitedLogger({ logger: this.#logger, clock: options.clock });
    this.#metrics = options.metrics && new RpcMetrics(options.metrics, "served");
    this.#callOptions = {
      clock: options.clock,
      maxMessageBytes: options.maxMessageBytes ?? 64 * MEBIBYTE,
      maxUnsentBytesPerStream: options.maxUnsentBytesPerStream ?? 8 * MEBIBYTE,
      maxUnreadBytesPerStream: options.maxUnreadBytesPerStream ?? 8 * MEBIBYTE,
      authorize: options.authorize && exceptHealth(options.authorize),
      startSpan: options.startSpan,
      onFinished: (call, context, thrown) => this.#onFinished(call, context, thrown),
    };
    this.#server = new Server({
      ...serverOptions(options, this.#callOptions.maxMessageBytes),
      interceptors: [(definition, call) => this.#serve(definition.path, call)],
    });
    const services = options.registries.flatMap((registry) => [...registry.services]);
    this.health = new HealthService({
      clock: options.clock,
      services: services.map(({ typeName }) => typeName),
      isReady: options.isReady,
    });
    const health = this.health.registry;
    const reflection = reflectionRegistry([...services, ...health.services]);
    for (const registry of [...options.registries, health, reflection]) {
      for (const service of registry.services) this.#addService(registry, service, service.typeName);
    }
    const [reflected] = reflection.services;
    if (reflected !== undefined) this.#addService(reflection, reflected, REFLECTION_ALIAS);
  }

  /** Serves these services too, also when the server runs already. */
  add(registry: ServiceRegistry): void {
    for (const service of registry.services) this.#addService(registry, service, service.typeName);
  }

  /** The port that is listened at. */
  get port(): number {
    return this.#port;
  }

  /** Starts to listen and returns the port. Throws an `OttlaError` that names the setting to change. */
  async start(): Promise<number> {
    setLogger(libraryLogger(this.#logger));
    const reached = reachHttp2Server(this.#server, {
      windowBytes: this.#options.windowBytes ?? 8 * MEBIBYTE,
      maxConnections: this.#options.maxConnections ?? 1000,
    });
    if (!reached) {
      this.#logger.warn(
        "this version of grpc-js hides its HTTP/2 server: uploads are slower, connections unlimited",
      );
    }
    const { host = "127.0.0.1", port, portFlag = "--grpc-port" } = this.#options;
    this.#port = await bind(this.#server, { host, port, portFlag });
    return this.#port;
  }

  /**
   * Says NOT_SERVING, takes no new connections, lets unary calls finish and streams answer
   * what they have read, and after `graceMs` cuts off what is still open with UNAVAILABLE.
   */
  async stop(graceMs: number): Promise<void> {
    this.health.stop();
    const reason = new OttlaError("UNAVAILABLE", "the server is shutting down");
    const closed = new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => resolve());
    });
    const timer = this.#options.clock.setTimer(graceMs, () => {
      for (const call of this.#calls) call.terminate(reason);
      // One turn for the statuses to leave, then the connections go.
      this.#options.clock.nextTurn(() => this.#server.forceShutdown());
    });
    for (const call of this.#calls) call.drain(reason);
    await closed;
    timer.cancel();
    this.#faults.close();
  }

  #addService(registry: ServiceRegistry, service: DescService, name: string): void {
    const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
    const nothing: Record<string, () => void> = {};
    for (const method of service.methods) {
      const served = registry.find(`${service.typeName}/${method.name}`);
      if (served === undefined) continue;
      const path = `/${name}/${method.name}`;
      this.#methods.set(path, served);
      definition[method.localName] = methodDefinition(path, method.methodKind);
      nothing[method.localName] = () => undefined;
    }
    this.#server.addService(definition, nothing);
  }

  #serve(path: string, call: ServerInterceptingCallInterface): ServerInterceptingCall {
    const served = this.#methods.get(path);
    if (served === undefined) return new ServerInterceptingCall(call);
    // Its `next` is never called: the call is served here, and grpc-js makes none of its own streams.
    return new ServerInterceptingCall(call, { start: () => this.#start(served, call) });
  }

  #start(served: ServedMethod, call: ServerInterceptingCallInterface): void {
    const servedCall =
      served.kind === "unary"
        ? new GrpcServedUnary(served, call, this.#callOptions)
        : new GrpcServedStream(served, call, this.#callOptions);
    onTooLarge(call, this.#callOptions.maxMessageBytes, (error) => servedCall.terminate(error));
    this.#calls.add(servedCall);
    this.#metrics?.method(served.name, served.kind !== "unary").started();
    servedCall.start();
  }

  #onFinished(call: ServedCall, context: GrpcCallContext, thrown: unknown): void {
    this.#calls.delete(call);
    const { served, startedAtMs, span } = context;
    const code = resultCode(thrown);
    span?.end(thrown === undefined ? undefined : code);
    this.#metrics
      ?.method(served.name, served.kind !== "unary")
      .finished(code, this.#options.clock.monotonic() - startedAtMs);
    if (thrown === undefined || !isForeign(thrown)) return;
    this.#faults.error(
      served.name,
      { err: thrown, method: served.name, peer: context.peer },
      "a handler failed",
    );
  }
}

function serverOptions(options: GrpcServerOptions, maxMessageBytes: number) {
  return {
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": maxMessageBytes,
    // What is sent is checked before, with a message that says which limit it is.
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": options.maxStreamsPerConnection ?? 1000,
    "grpc.keepalive_time_ms": options.keepaliveMs ?? 30_000,
    "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs ?? 10_000,
  };
}

const asIs = (bytes: Buffer): Buffer => bytes;

function methodDefinition(path: string, kind: string): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: kind === "client_streaming" || kind === "bidi_streaming",
    responseStream: kind === "server_streaming" || kind === "bidi_streaming",
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

/** Whether a node takes calls is no secret: who probes it may have none. */
function exceptHealth(authorize: (context: CallContext) => void): (context: CallContext) => void {
  return (context) => {
    if (!context.method.startsWith("grpc.health.")) authorize(context);
  };
}

interface ListenAt {
  readonly host: string;
  readonly port: number;
  readonly portFlag: string;
}

function bind(server: Server, at: ListenAt): Promise<number> {
  const { host, port } = at;
  const target = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(target, ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(listenError(withSystemCode(error), at));
    });
  });
}

/** grpc-js keeps only the text of the system's error. */
function withSystemCode(error: Error): Error {
  const code = /\b(EADDRINUSE|EACCES|EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN)\b/u.exec(error.message)?.[1];
  return code === undefined ? error : Object.assign(new Error(error.message, { cause: error }), { code });
}

/** grpc-js writes to the console what is no news to us: failures to bind or connect come as errors too. */
function libraryLogger(logger: Logger): Partial<Console> {
  const write = (...texts: unknown[]): void => logger.debug({ library: "grpc-js" }, texts.join(" "));
  return { error: write, info: write, debug: write };
}
