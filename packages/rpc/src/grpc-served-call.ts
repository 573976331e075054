import type { Metadata, ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Span } from "@ottla/runtime";
import { LazyAbort } from "./lazy-abort.ts";
import type { CallContext } from "./service.ts";
import type { ServedMethod } from "./service-registry.ts";

export interface ServedCallOptions {
  readonly clock: Clock;
  readonly maxMessageBytes: number;
  readonly maxUnsentBytesPerStream: number;
  readonly maxUnreadBytesPerStream: number;
  /** Throws for a call that may not be made; sees its metadata, before anything of its messages is read. */
  readonly authorize: ((context: CallContext) => void) | undefined;
  /** The span of a unary call, if it is traced; it ends with the call. */
  readonly startSpan: ((context: CallContext) => Span | undefined) | undefined;
  /** Called once when the call is over; `thrown` is undefined when it ended well. */
  readonly onFinished: (call: ServedCall, context: GrpcCallContext, thrown: unknown) => void;
}

/** A call that the server must see through when it stops. */
export interface ServedCall {
  start(): void;
  /** The server shuts down: the call may still finish by itself. */
  drain(reason: OttlaError): void;
  /** The grace of the shutdown is over. */
  terminate(reason: OttlaError): void;
}

/** What a handler learns about a call that came over gRPC. */
export class GrpcCallContext implements CallContext {
  readonly served: ServedMethod;
  readonly startedAtMs: number;
  span: Span | undefined = undefined;
  readonly #call: ServerInterceptingCallInterface;
  readonly #clock: Clock;
  readonly #abort = new LazyAbort();
  #requestMetadata: Metadata | undefined;
  #metadata: ReadonlyMap<string, string> | undefined;

  constructor(served: ServedMethod, call: ServerInterceptingCallInterface, clock: Clock) {
    this.served = served;
    this.startedAtMs = clock.monotonic();
    this.#call = call;
    this.#clock = clock;
  }

  get method(): string {
    return this.served.name;
  }

  get peer(): string {
    // Not `getPeer()`: that asks the connection, and says "unknown" once it has closed.
    const { remoteAddress = "unknown", remotePort = 0 } = this.#call.getConnectionInfo();
    return remoteAddress.includes(":")
      ? `[${remoteAddress}]:${remotePort}`
      : `${remoteAddress}:${remotePort}`;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get metadata(): ReadonlyMap<string, string> {
    this.#metadata ??= asciiMetadata(this.#requestMetadata);
    return this.#metadata;
  }

  remainingMs(): number | undefined {
    const deadline = this.#call.getDeadline();
    const deadlineMs = deadline instanceof Date ? deadline.getTime() : deadline;
    if (deadlineMs === Number.POSITIVE_INFINITY) return undefined;
    return Math.max(0, deadlineMs - this.#clock.now());
  }

  setMetadata(metadata: Metadata): void {
    this.#requestMetadata = metadata;
  }

  /** Why the call may not be made; undefined when it may. */
  refusal(authorize: ((context: CallContext) => void) | undefined): OttlaError | undefined {
    try {
      authorize?.(this);
      return undefined;
    } catch (thrown) {
      return toOttlaError(thrown);
    }
  }

  abort(reason: OttlaError): void {
    this.#abort.abort(reason);
  }

  /** Why grpc-js says that the call is over although we did not end it. */
  cancellation(): OttlaError {
    return this.remainingMs() === 0
      ? new OttlaError("REQUEST_TIMED_OUT", "the caller's deadline has passed")
      : new OttlaError("CANCELLED", "the caller cancelled the call or its connection broke");
  }
}

function asciiMetadata(metadata: Metadata | undefined): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata?.getMap() ?? {})) {
    if (typeof value === "string") values.set(key, value);
  }
  return values;
}
