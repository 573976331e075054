import { create, type DescMessage, type Message } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { abortReason } from "./abort-reason.ts";
import { joinPieces } from "./bytes-in-pieces.ts";
import { decodeRequest, encodeRequest, tooLarge } from "./codec.ts";
import { LazyAbort } from "./lazy-abort.ts";
import type { Mailbox } from "./mailbox.ts";
import type { CallContext, CallOptions } from "./service.ts";
import { methodName, type ServedMethod } from "./service-registry.ts";

export interface InProcessOptions {
  readonly clock: Clock;
  readonly mailbox: Mailbox;
  readonly peer: string;
  readonly copy: boolean;
  readonly estimateBytes: (message: Message) => number;
  readonly maxMessageBytes: number;
  readonly maxUnsentBytesPerStream: number;
  /** Called once when the handler's side of a call is over; `thrown` is undefined when it ended well. */
  readonly onFinished: (call: InProcessCall, context: InProcessContext, thrown: unknown) => void;
}

/** A call within the process that can be given up from outside. */
export interface InProcessCall {
  /** Ends the call for its caller now; the handler learns of it later. */
  abort(error: OttlaError): void;
}

const NO_METADATA: ReadonlyMap<string, string> = new Map();

/** What a handler learns about a call that came from the same process. */
export class InProcessContext implements CallContext {
  readonly served: ServedMethod;
  readonly peer: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly startedAtMs: number;
  readonly #clock: Clock;
  readonly #deadlineMs: number | undefined;
  readonly #abort = new LazyAbort();

  constructor(served: ServedMethod, call: CallOptions, options: InProcessOptions) {
    this.served = served;
    this.peer = options.peer;
    this.#clock = options.clock;
    this.startedAtMs = options.clock.monotonic();
    this.#deadlineMs = call.timeoutMs === undefined ? undefined : this.startedAtMs + call.timeoutMs;
    this.metadata = call.metadata === undefined ? NO_METADATA : lowerCaseKeys(call.metadata);
  }

  get method(): string {
    return this.served.name;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  remainingMs(): number | undefined {
    if (this.#deadlineMs === undefined) return undefined;
    return Math.max(0, this.#deadlineMs - this.#clock.monotonic());
  }

  abort(reason: OttlaError): void {
    this.#abort.abort(reason);
  }
}

function lowerCaseKeys(metadata: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(Object.entries(metadata).map(([key, value]) => [key.toLowerCase(), value]));
}

/** Gives a call up at its deadline and when its signal aborts; returns what ends the watch. */
export function watchCaller(
  served: ServedMethod,
  { signal, timeoutMs }: CallOptions,
  clock: Clock,
  call: InProcessCall,
): () => void {
  const timer =
    timeoutMs === undefined
      ? undefined
      : clock.setTimer(timeoutMs, () => call.abort(timedOut(served, timeoutMs)));
  if (signal === undefined) return () => timer?.cancel();
  const onAbort = () => call.abort(abortReason(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  return () => {
    timer?.cancel();
    signal.removeEventListener("abort", onAbort);
  };
}

function timedOut(served: ServedMethod, timeoutMs: number): OttlaError {
  const message = `${methodName(served.method)} did not answer within ${timeoutMs} ms`;
  return new OttlaError("REQUEST_TIMED_OUT", message, { metadata: { timeoutMs: String(timeoutMs) } });
}

/** What the handler sees of an end that its caller brought about. */
export function seenByHandler(error: OttlaError): OttlaError {
  return error.code === "REQUEST_TIMED_OUT"
    ? new OttlaError("REQUEST_TIMED_OUT", "the caller's deadline has passed")
    : new OttlaError("CANCELLED", "the caller cancelled the call");
}

export interface Delivery {
  readonly message: Message;
  readonly sizeBytes: number;
}

/** The message as its receiver gets it, and its size; throws where it is too large. */
export function prepareDelivery(
  schema: DescMessage,
  init: object,
  what: string,
  options: InProcessOptions,
): Delivery {
  const delivery = options.copy ? copied(schema, init) : passed(schema, init, options);
  const { maxMessageBytes } = options;
  if (delivery.sizeBytes > maxMessageBytes) throw tooLarge(what, delivery.sizeBytes, maxMessageBytes);
  return delivery;
}

function passed(schema: DescMessage, init: object, { estimateBytes }: InProcessOptions): Delivery {
  const message: Message = create(schema, joinPieces(schema, init) as Message);
  return { message, sizeBytes: estimateBytes(message) };
}

function copied(schema: DescMessage, init: object): Delivery {
  const bytes = encodeRequest(schema, init).toBytes();
  return { message: decodeRequest(schema, bytes), sizeBytes: bytes.byteLength };
}
