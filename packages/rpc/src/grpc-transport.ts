import type { DescMethod, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { decode, encode, tooLarge } from "./codec.ts";
import { type GrpcCall, GrpcClientStream } from "./grpc-client-stream.ts";
import type { CallOptions, ClientStream, Transport } from "./service.ts";
import { methodName } from "./service-registry.ts";
import { errorFromStatus } from "./status.ts";

const MEBIBYTE = 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 30_000;

export interface GrpcTransportOptions {
  /** "host:port". */
  readonly address: string;
  readonly clock: Clock;
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
  readonly keepaliveTimeoutMs?: number;
  /** First and longest wait between attempts to connect. Default 100 ms and 2 s. */
  readonly minReconnectDelayMs?: number;
  readonly maxReconnectDelayMs?: number;
  /**
   * HTTP/2 window for what the server sends: 8 MiB triples a download. Set it on connections that carry bulk in
   * that direction only: Node below 26.9 can hang when windows are raised on both sides and bulk flows both ways.
   */
  readonly windowBytes?: number;
}

/** Calls one address over gRPC, on a connection of its own. It connects with the first call and reconnects by itself. */
export class GrpcTransport implements Transport {
  readonly address: string;
  readonly #clock: Clock;
  readonly #channel: grpc.Channel;
  readonly #maxMessageBytes: number;
  readonly #options: GrpcTransportOptions;
  readonly #active = new Set<(error: OttlaError) => void>();
  #closed = false;

  constructor(options: GrpcTransportOptions) {
    this.address = options.address;
    this.#options = options;
    this.#clock = options.clock;
    this.#maxMessageBytes = options.maxMessageBytes ?? 64 * MEBIBYTE;
    this.#channel = new grpc.Channel(options.address, grpc.credentials.createInsecure(), {
      "grpc.enable_channelz": 0,
      "grpc.use_local_subchannel_pool": 1,
      // Retries are ours: grpc-js would keep up to 1 MiB of each stream for them and report it as written.
      "grpc.enable_retries": 0,
      "grpc.per_rpc_retry_buffer_size": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.enable_http_proxy": 0,
      "grpc.max_receive_message_length": this.#maxMessageBytes,
      "grpc.max_send_message_length": -1,
      "grpc.keepalive_time_ms": options.keepaliveMs ?? 30_000,
      "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs ?? 10_000,
      "grpc.initial_reconnect_backoff_ms": options.minReconnectDelayMs ?? 100,
      "grpc.max_reconnect_backoff_ms": options.maxReconnectDelayMs ?? 2000,
      "grpc.dns_min_time_between_resolutions_ms": 1000,
      ...(options.windowBytes === undefined ? {} : { "grpc-node.flow_control_window": options.windowBytes }),
    });
  }

  unary<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    options: CallOptions,
  ): Promise<MessageShape<M["output"]>> {
    return new Promise((resolve, reject) => {
      const bytes = encode(method.input, request);
      this.#checkSize(bytes.byteLength);
      const call = this.#createCall(method, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
      let answer: Buffer | undefined;
      const finish = this.#follow(options, (error) => {
        reject(error);
        call.cancelWithStatus(grpc.status.CANCELLED, error.message);
      });
      if (finish === undefined) return;
      call.start(this.#metadata(options), {
        onReceiveMetadata: () => undefined,
        onReceiveMessage: (message: Buffer) => {
          answer = message;
          call.startRead();
        },
        onReceiveStatus: (status) => {
          finish();
          const error = this.#toError(status);
          if (error !== undefined) reject(error);
          else resolve(decodeAnswer(method, answer));
        },
      });
      call.startRead();
      call.sendMessageWithContext({}, bytes);
      call.halfClose();
    });
  }

  stream<M extends DescMethod>(
    method: M,
    options: CallOptions,
  ): ClientStream<MessageInitShape<M["input"]>, MessageShape<M["output"]>> {
    const call = this.#createCall(method, options.timeoutMs);
    let finish: (() => void) | undefined;
    const stream = new GrpcClientStream(method, call, {
      maxUnsentBytes: this.#options.maxUnsentBytesPerStream ?? 8 * MEBIBYTE,
      maxUnreadBytes: this.#options.maxUnreadBytesPerStream ?? 8 * MEBIBYTE,
      checkSize: (sizeBytes) => this.#checkSize(sizeBytes),
      toError: (status) => this.#toError(status),
      onFinished: () => finish?.(),
    });
    call.start(this.#metadata(options), stream.listener);
    finish = this.#follow(options, (error) => stream.abort(error));
    stream.startReading();
    return stream as ClientStream<object, Message> as ClientStream<
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
      for (const abort of [...this.#active]) abort(error);
      this.#channel.close();
    }
    return Promise.resolve();
  }

  #createCall(method: DescMethod, timeoutMs: number | undefined): GrpcCall {
    if (this.#closed) throw new OttlaError("UNAVAILABLE", `the connection to ${this.address} is closed`);
    const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() + timeoutMs;
    return this.#channel.createCall(`/${methodName(method)}`, deadline, null, null, null);
  }

  /** Calls `abort` when the caller's signal or the closing of the transport ends the call; undefined if at once. */
  #follow(options: CallOptions, abort: (error: OttlaError) => void): (() => void) | undefined {
    const { signal } = options;
    const onAbort = () => abort(cancelled(signal));
    if (signal?.aborted === true) {
      onAbort();
      return undefined;
    }
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#active.add(abort);
    return () => {
      signal?.removeEventListener("abort", onAbort);
      this.#active.delete(abort);
    };
  }

  #metadata(options: CallOptions): grpc.Metadata {
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
    if (this.#options.waitForReady === true) metadata.setOptions({ waitForReady: true });
    return metadata;
  }

  #checkSize(sizeBytes: number): void {
    if (sizeBytes > this.#maxMessageBytes) throw tooLarge("a request", sizeBytes, this.#maxMessageBytes);
  }

  #toError(status: grpc.StatusObject): OttlaError | undefined {
    if (status.code === grpc.status.OK) return undefined;
    const details = status.metadata.get("grpc-status-details-bin")[0];
    if (details instanceof Buffer) {
      return errorFromStatus({ code: status.code, message: status.details, details });
    }
    if (status.code === grpc.status.UNAVAILABLE) return unavailable(this.address, status.details);
    if (status.code === grpc.status.DEADLINE_EXCEEDED) {
      return new OttlaError("REQUEST_TIMED_OUT", `${this.address} did not answer in time`);
    }
    return errorFromStatus({ code: status.code, message: status.details });
  }
}

function decodeAnswer<M extends DescMethod>(
  method: M,
  answer: Buffer | undefined,
): MessageShape<M["output"]> {
  if (answer === undefined) {
    throw new OttlaError("UNKNOWN_SERVER_ERROR", `${methodName(method)} ended without an answer`);
  }
  return decode(method.output, answer) as MessageShape<M["output"]>;
}

function cancelled(signal: AbortSignal | undefined): OttlaError {
  const reason: unknown = signal?.reason;
  if (reason instanceof OttlaError) return reason;
  const error = toOttlaError(reason);
  return error.code === "CANCELLED" ? error : new OttlaError("CANCELLED", "the call was cancelled");
}

/** grpc-js says UNAVAILABLE for a peer that was never reached and for a connection that broke: tell them apart. */
function unavailable(address: string, details: string): OttlaError {
  const metadata = { address };
  if (/No connection established|Name resolution failed|Failed to connect|Last error/iu.test(details)) {
    return new OttlaError("UNAVAILABLE", `cannot reach ${address}`, { metadata, cause: new Error(details) });
  }
  if (/Connection dropped|ECONNRESET|EPIPE|ETIMEDOUT|Write (error|failed)/iu.test(details)) {
    return new OttlaError("NETWORK_EXCEPTION", `the connection to ${address} broke`, {
      metadata,
      cause: new Error(details),
    });
  }
  return new OttlaError("UNAVAILABLE", details, { metadata });
}
