import * as grpc from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { GrpcServedCall, type ServedCallOptions } from "./grpc-served-call.ts";
import { reachHttp2Server } from "./http2-window.ts";
import type { RpcLogger } from "./rpc-logger.ts";
import type { ServedMethod, ServiceRegistry } from "./service-registry.ts";
import { isForeign } from "./status.ts";

const MEBIBYTE = 1024 * 1024;

export interface GrpcServerOptions {
  /** Services of several registries are served together; a method may be in one only. */
  readonly registries: readonly ServiceRegistry[];
  readonly clock: Clock;
  /** Address to listen at. Default "127.0.0.1". */
  readonly host?: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly logger?: RpcLogger;
  /** Further connections are refused. Default 1,000. */
  readonly maxConnections?: number;
  /** Further calls of a connection wait at the client. Default 1,000. */
  readonly maxStreamsPerConnection?: number;
  /** Largest message received or sent. Default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Bytes queued to a stream's peer before `send` returns false. Default 8 MiB. */
  readonly maxUnsentBytesPerStream?: number;
  /** Bytes received and not read before a stream's peer is slowed. Default 8 MiB. */
  readonly maxUnreadBytesPerStream?: number;
  /** How often an idle connection is probed. Default 30 s. */
  readonly keepaliveMs?: number;
  /** How long a probe may stay unanswered before the connection is closed. Default 10 s. */
  readonly keepaliveTimeoutMs?: number;
  /** HTTP/2 window of connections and streams. Default 8 MiB. */
  readonly windowBytes?: number;
}

/** Serves registered services over gRPC, with health and reflection. */
export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #server: grpc.Server;
  readonly #calls = new Set<GrpcServedCall>();
  readonly #methods = new Map<string, ServedMethod>();
  readonly #callOptions: ServedCallOptions;
  #port = 0;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    const maxMessageBytes = options.maxMessageBytes ?? 64 * MEBIBYTE;
    this.#callOptions = {
      clock: options.clock,
      maxMessageBytes,
      maxUnsentBytesPerStream: options.maxUnsentBytesPerStream ?? 8 * MEBIBYTE,
      maxUnreadBytesPerStream: options.maxUnreadBytesPerStream ?? 8 * MEBIBYTE,
      onFinished: (call, _status, thrown) => this.#onFinished(call, thrown),
      toMetadata: detailsMetadata,
    };
    this.#server = new grpc.Server({
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": options.maxStreamsPerConnection ?? 1000,
      "grpc.keepalive_time_ms": options.keepaliveMs ?? 30_000,
      "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs ?? 10_000,
      interceptors: [(definition, call) => this.#serve(definition.path, call)],
    });
    for (const registry of options.registries) this.#addServices(registry);
  }

  /** The port that is listened at. */
  get port(): number {
    return this.#port;
  }

  /** Starts to listen. Throws an `OttlaError` that says what to do where the address cannot be had. */
  async start(): Promise<number> {
    const { host = "127.0.0.1", port, logger } = this.#options;
    const reached = reachHttp2Server(this.#server, {
      windowBytes: this.#options.windowBytes ?? 8 * MEBIBYTE,
      maxConnections: this.#options.maxConnections ?? 1000,
    });
    if (!reached)
      logger?.warn({}, "this grpc-js has no known HTTP/2 server: uploads run at the small window");
    this.#port = await bind(this.#server, host, port);
    return this.#port;
  }

  /**
   * Takes no new connection or call, lets unary calls finish and streams answer what they have read, and cuts off
   * after `graceMs` what is still open.
   */
  async stop(graceMs: number): Promise<void> {
    const reason = new OttlaError("UNAVAILABLE", "the server is shutting down");
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const timer = this.#options.clock.setTimer(graceMs, () => {
      for (const call of [...this.#calls]) call.terminate(reason);
      this.#server.forceShutdown();
    });
    for (const call of [...this.#calls]) call.drain(reason);
    await closed;
    timer.cancel();
  }

  #addServices(registry: ServiceRegistry): void {
    for (const service of registry.services) {
      const definition: Record<string, grpc.MethodDefinition<Buffer, Buffer>> = {};
      const nothing: Record<string, () => void> = {};
      for (const method of service.methods) {
        const path = `/${service.typeName}/${method.name}`;
        const served = registry.find(`${service.typeName}/${method.name}`);
        if (served === undefined) continue;
        this.#methods.set(path, served);
        definition[method.localName] = methodDefinition(path, method.methodKind);
        nothing[method.localName] = () => undefined;
      }
      this.#server.addService(definition, nothing);
    }
  }

  #serve(path: string, call: grpc.ServerInterceptingCallInterface): grpc.ServerInterceptingCall {
    const served = this.#methods.get(path);
    if (served === undefined) return new grpc.ServerInterceptingCall(call);
    // `next` is never called: the call is served here, and grpc-js' own streams are not made.
    return new grpc.ServerInterceptingCall(call, {
      start: () => {
        const servedCall = new GrpcServedCall(served, call, this.#callOptions);
        this.#calls.add(servedCall);
        servedCall.start();
      },
    });
  }

  #onFinished(call: GrpcServedCall, thrown: unknown): void {
    this.#calls.delete(call);
    if (thrown !== undefined && isForeign(thrown)) {
      this.#options.logger?.error({ err: thrown, method: call.method, peer: call.peer }, "a handler failed");
    }
  }
}

const asIs = (bytes: Buffer): Buffer => bytes;

function methodDefinition(path: string, kind: string): grpc.MethodDefinition<Buffer, Buffer> {
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

function detailsMetadata(details: Uint8Array): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(details));
  return metadata;
}

function bind(server: grpc.Server, host: string, port: number): Promise<number> {
  const target = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(target, grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(bindError(error, host, port));
    });
  });
}

function bindError(error: Error, host: string, port: number): OttlaError {
  const metadata = { host, port: String(port) };
  const message = error.message.includes("EADDRINUSE")
    ? `port ${port} of ${host} is in use: set --grpc-port`
    : error.message.includes("EACCES")
      ? `port ${port} of ${host} may not be opened by this user: set --grpc-port`
      : `cannot listen at ${host}:${port} (${error.message}): set --listen and --grpc-port`;
  return new OttlaError("UNAVAILABLE", message, { cause: error, metadata });
}
