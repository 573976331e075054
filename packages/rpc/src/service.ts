import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Span } from "@ottla/runtime";

/** What a handler knows about the call it serves. */
export interface CallContext {
  /** For example "ottla.v1.LogService/Append". */
  readonly method: string;
  /** Who calls: an address for gRPC, "in-process" otherwise. Stands for one connection in limits. */
  readonly peer: string;
  /**
   * Aborts when the caller cancels, disconnects or its deadline passes, and when the server shuts down: then
   * `received` ends, a stream may still answer what it has read, and the transport ends it with UNAVAILABLE.
   */
  readonly signal: AbortSignal;
  /** Milliseconds until the caller's deadline, or undefined when it set none. */
  remainingMs(): number | undefined;
  /** ASCII metadata sent by the caller, by lower-case key. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The span of a unary call that is traced; a stream's handler traces what travels on it by itself. */
  readonly span?: Span | undefined;
}

/** One side of a stream of messages, in both directions bounded in bytes. */
export interface MessageStream<Sent, Received> {
  /**
   * Queues a message to the peer. Returns false when more bytes are queued than the
   * transport's limit: the caller then waits for `drained()` before the next one. Sending
   * after the end or a failure does nothing. Throws `OttlaError` and sends nothing when
   * the message itself is larger than the transport's limit or cannot be encoded.
   */
  send(message: Sent): boolean;
  /** Resolves when there is room again; rejects when the stream failed. */
  drained(): Promise<void>;
  /**
   * The peer's messages in order; ends when the peer is done, throws `OttlaError` when the stream failed. Not
   * reading slows the peer. May be iterated once.
   */
  readonly received: AsyncIterable<Received>;
}

/** The client's side of a stream. */
export interface ClientStream<Sent, Received> extends MessageStream<Sent, Received> {
  /** No more messages from this side; the server may go on sending. */
  end(): void;
  /**
   * Gives up on the call: the server's signal aborts, `received` throws CANCELLED.
   * Leaving its loop does the same.
   */
  cancel(): void;
}

type Input<M extends DescMethod> = MessageShape<M["input"]>;
type Output<M extends DescMethod> = MessageShape<M["output"]>;
type OutputInit<M extends DescMethod> = MessageInitShape<M["output"]>;
type InputInit<M extends DescMethod> = MessageInitShape<M["input"]>;

/** How a service serves one method. Throwing an `OttlaError` ends the call with its status. */
export type MethodHandler<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: Input<M>, context: CallContext) => Promise<OutputInit<M>>
  : M["methodKind"] extends "server_streaming"
    ? (request: Input<M>, stream: MessageStream<OutputInit<M>, never>, context: CallContext) => Promise<void>
    : (stream: MessageStream<OutputInit<M>, Input<M>>, context: CallContext) => Promise<void>;

/** All methods of a service. A stream ends with OK when the handler's promise resolves. */
export type ServiceImplementation<S extends DescService> = {
  readonly [K in keyof S["method"]]: MethodHandler<S["method"][K]>;
};

export interface CallOptions {
  /** The deadline of a unary call: default 30,000 ms. Streams have none unless it is set. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** ASCII texts by lower-case key. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Wait for a connection instead of failing while there is none. Default: the transport's. */
  readonly waitForReady?: boolean;
}

/** How a client calls one method. Failures are `OttlaError`s, the same over every transport. */
export type MethodCall<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: InputInit<M>, options?: CallOptions) => Promise<Output<M>>
  : M["methodKind"] extends "server_streaming"
    ? (request: InputInit<M>, options?: CallOptions) => ClientStream<never, Output<M>>
    : (options?: CallOptions) => ClientStream<InputInit<M>, Output<M>>;

export type RpcClient<S extends DescService> = {
  readonly [K in keyof S["method"]]: MethodCall<S["method"][K]>;
};

/** Carries calls to one peer: gRPC, in-process, or simulated. Untyped below `createClient`. */
export interface Transport {
  unary<M extends DescMethod>(method: M, request: InputInit<M>, options: CallOptions): Promise<Output<M>>;
  stream<M extends DescMethod>(method: M, options: CallOptions): ClientStream<InputInit<M>, Output<M>>;
  close(): Promise<void>;
}
