import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Channel, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";
import { invalidRequest, OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, MetricsRegistry } from "@ottla/runtime";
import { abortReason } from "./abort-reason.ts";
import { targetOf } from "./address-list.ts";
import { decodeResponse, encodeRequest, tooLarge } from "./codec.ts";
import { watchConnecting } from "./connect-watch.ts";
import { asBuffer } from "./encoded-message.ts";
import { failedStream } from "./failed-stream.ts";
import { cancelCall, type GrpcCall, GrpcClientStream } from "./grpc-client-stream.ts";
import { errorOfGrpcStatus } from "./grpc-status.ts";
import { RpcMetrics } from "./rpc-metrics.ts";
import type { CallOptions, ClientStream, Transport } from "./service.ts";
import { methodName } from "./service-registry.ts";

const MEBIBYTE = 1024 * 1024;
/**
 * grpc-js rounds a long timeout up to seconds, and beyond 2^31 ms the server's timer would fire at once: a
 * call with a longer one has none.
 */
const LONGEST_TIMEOUT_MS = 2_000_000_000;
const DEFAULT_TIMEOUT_MS = 30_000;

export interface GrpcTransportOptions {
  /** "host:port", or several of them with commas between: the first that answers is taken. */
  readonly address: string;
  readonly clock: Clock;
  readonly metrics?: MetricsRegistry;
  /** Wait for a connection instead of failing with UNAVAILABLE while there is none. Default false. */
  readonly waitForReady?: boolean;
  /** Largest message sent or received. Default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Bytes queued to a stream's peer before `send` returns false. Default 8 MiB. */
  readonly maxUnsentBytesPerStream?: number;
  /** Bytes received and not read before a stream's peer is slowed. Default 8 MiB. */
  readonly maxUnreadBytesPerStream?: number;
  /** How often a connection with open calls is probed. Default 30 s. */
  readonly keepaliveMs?: number;
  /** How long a probe may stay unanswered before the connection is given up. Default 10 s. */
  readonly keepaliveTimeoutMs?: number;
  /**
   * How long an attempt to connect may take; then the calls that wait for it fail with UNAVAILABLE and the
   * next one begins another. Default: without end.
   */
  readonly connectTimeoutMs?: number;
  /** The first wait after a failed attempt to connect. Default 100 ms. */
  readonly minReconnectDelayMs?: number;
  /** The longest wait between attempts to connect. Default 2 s. */
  readonly maxReconnectDelayMs?: number;
  /**
   * HTTP/2 window for what the server sends: 8 MiB triples a download. Set it on
   * connections that carry bulk in that direction only: Node below 26.9 can hang when
   * windows are raised on both sides and bulk flows both ways.
   */
  readonly windowBytes?: number;
  /** Sent with every call, unless the call itself has a value for the key. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Calls one address, or one of several, over gRPC, on a connection of its own. It connects with the first
 * call and reconnects by itself; it repeats no call.
 */
export class GrpcTransport implements Transport {
  readonly address: string;
  readonly #clock: Clock;
  #channel: Channel;
  readonly #maxMessageBytes: number;
  readonly #options: GrpcTransportOptions;
  readonly #metrics: RpcMetrics | undefined;
  readonly #active = new Set<(error: OttlaError) => void>();
  #closed = false;
  #watched = false;

  constructor(options: GrpcTransportOptions) {
    this.address = options.address;
    this.#options = options;
    this.#clock = options.clock;
    this.#metrics = options.metrics && new RpcMetrics(options.metrics, "made");
    this.#maxMessageBytes = options.maxMessageBytes ?? 64 * MEBIBYTE;
    this.#channel = this.#openChannel();
  }

  async unary<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    options: CallOptions,
  ): Promise<MessageShape<M["output"]>> {
    const encoded = encodeRequest(method.input, request);
    this.#checkSize(encoded.byteLength);
    const answer = await this.#ask(method, asBuffer(encoded), options);
    return decodeResponse(method.output, answer) as MessageShape<M["output"]>;
  }

  stream<M extends DescMethod>(
    method: M,
    options: CallOptions,
  ): ClientStream<MessageInitShape<M["input"]>, MessageShape<M["output"]>> {
    const metadata = this.#prepare(options);
    if (metadata instanceof OttlaError) return failedStream(metadata);
    const call = this.#createCall(method, options.timeoutMs);
    const stream: GrpcClientStream = new GrpcClientStream(method, call, {
      clock: this.#clock,
      maxUnsentBytes: this.#options.maxUnsentBytesPerStream ?? 8 * MEBIBYTE,
      maxUnreadBytes: this.#options.maxUnreadBytesPerStream ?? 8 * MEBIBYTE,
      checkSize: (sizeBytes) => this.#checkSize(sizeBytes),
      toError: (status) => errorOfGrpcStatus(status, this.address),
      onFinished: (error) => finish(error),
    });
    const finish = this.#follow(method, options, (error) => stream.abort(error));
    stream.start(metadata);
    return stream as ClientStream<object, object> as ClientStream<
      MessageInitShape<M["input"]>,
      MessageShape<M["output"]>
    >;
  }

  /** Ends what is still open with UNAVAILABLE and closes the connection. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      const error = new OttlaError(
        "UNAVAILABLE",
        `the connection to ${this.address} was closed by this side`,
      );
      for (const abort of this.#active) abort(error);
      this.#channel.close();
    }
    return Promise.resolve();
  }

  #ask(method: DescMethod, request: Buffer, options: CallOptions): Promise<Buffer> {
    const metadata = this.#prepare(options);
    if (metadata instanceof OttlaError) return Promise.reject(metadata);
    const call = this.#createCall(method, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    return new Promise((resolve, reject) => {
      let answer: Buffer | undefined;
      let settled = false;
      const settle = (error: OttlaError | undefined): void => {
        if (settled) return;
        settled = true;
        finish(error);
        if (error !== undefined) reject(error);
        else if (answer === undefined) reject(noAnswer(method));
        else resolve(answer);
      };
      const finish = this.#follow(method, options, (error) => {
        settle(error);
        cancelCall(call, this.#clock, error.message);
      });
      call.start(metadata, {
        onReceiveMetadata: () => undefined,
        onReceiveMessage: (message: Buffer) => {
          answer = message;
          call.startRead();
        },
        onReceiveStatus: (status) => settle(errorOfGrpcStatus(status, this.address)),
      });
      call.startRead();
      call.sendMessageWithContext({}, request);
      call.halfClose();
    });
  }

  #createCall(method: DescMethod, timeoutMs: number | undefined): GrpcCall {
    const isEndless = timeoutMs === undefined || timeoutMs > LONGEST_TIMEOUT_MS;
    const deadline = isEndless ? Number.POSITIVE_INFINITY : this.#clock.now() + timeoutMs;
    const call = this.#channel.createCall(`/${methodName(method)}`, deadline, null, null, null);
    this.#watchConnecting();
    return call;
  }

  #openChannel(): Channel {
    const options = channelOptions(this.#options, this.#maxMessageBytes);
    return new Channel(targetOf(this.address), credentials.createInsecure(), options);
  }

  #watchConnecting(): void {
    const { connectTimeoutMs: timeoutMs, clock } = this.#options;
    if (timeoutMs === undefined || this.#watched) return;
    this.#watched = true;
    const channel = this.#channel;
    watchConnecting(channel, {
      clock,
      timeoutMs,
      onConnected: () => {
        this.#watched = false;
      },
      onStuck: () => {
        this.#watched = false;
        if (this.#closed) return;
        this.#channel = this.#openChannel();
        channel.close();
      },
    });
  }

  /** The metadata to start a call with, or why it cannot be started. */
  #prepare(options: CallOptions): Metadata | OttlaError {
    if (this.#closed) return new OttlaError("UNAVAILABLE", `the connection to ${this.address} is closed`);
    if (options.signal?.aborted === true) return abortReason(options.signal);
    const metadata = new Metadata();
    if (options.waitForReady ?? this.#options.waitForReady) metadata.setOptions({ waitForReady: true });
    for (const [key, value] of Object.entries({ ...this.#options.metadata, ...options.metadata })) {
      try {
        metadata.set(key, value);
      } catch (error) {
        return invalidRequest(`metadata ${key}`, toOttlaError(error).message);
      }
    }
    return metadata;
  }

  /**
   * Ends the call by `abort` when its signal aborts or the transport closes; returns what to call at its end.
   */
  #follow(
    method: DescMethod,
    { signal }: CallOptions,
    abort: (error: OttlaError) => void,
  ): (error: OttlaError | undefined) => void {
    const metrics = this.#metrics?.method(methodName(method), method.methodKind !== "unary");
    const startedAtMs = metrics === undefined ? 0 : this.#clock.monotonic();
    metrics?.started();
    const onAbort = signal && (() => abort(abortReason(signal)));
    if (onAbort !== undefined) signal?.addEventListener("abort", onAbort, { once: true });
    this.#active.add(abort);
    return (error) => {
      if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
      this.#active.delete(abort);
      metrics?.finished(error?.code ?? "OK", this.#clock.monotonic() - startedAtMs);
    };
  }

  #checkSize(sizeBytes: number): void {
    if (sizeBytes > this.#maxMessageBytes) throw tooLarge("the request", sizeBytes, this.#maxMessageBytes);
  }
}

function channelOptions(options: GrpcTransportOptions, maxMessageBytes: number): ChannelOptions {
  return {
    "grpc.enable_channelz": 0,
    "grpc.use_local_subchannel_pool": 1,
    // Even without retries grpc-js would copy up to 1 MiB of each stream aside and report it as written.
    "grpc.enable_retries": 0,
    "grpc.per_rpc_retry_buffer_size": 0,
    "grpc.service_config_disable_resolution": 1,
    // A cluster's nodes are never behind the proxy that the environment names for the internet.
    "grpc.enable_http_proxy": 0,
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": options.keepaliveMs ?? 30_000,
    "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs ?? 10_000,
    "grpc.initial_reconnect_backoff_ms": options.minReconnectDelayMs ?? 100,
    "grpc.max_reconnect_backoff_ms": options.maxReconnectDelayMs ?? 2000,
    // A pod comes back under a new address: look it up again soon (grpc-js waits 30 s).
    "grpc.dns_min_time_between_resolutions_ms": 1000,
    ...(options.windowBytes === undefined ? {} : { "grpc-node.flow_control_window": options.windowBytes }),
  };
}

function noAnswer(method: DescMethod): OttlaError {
  return new OttlaError("UNKNOWN_SERVER_ERROR", `${methodName(method)} ended without an answer`);
}
