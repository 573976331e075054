import type { Message } from "@bufbuild/protobuf";
import type { Metadata, ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { decode, encode, tooLarge } from "./codec.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { SendBudget } from "./send-budget.ts";
import type { CallContext } from "./service.ts";
import type { ServedMethod, UntypedStream } from "./service-registry.ts";
import { statusFromError, type WireStatus } from "./status.ts";

export interface ServedCallOptions {
  readonly clock: Clock;
  readonly maxMessageBytes: number;
  readonly maxUnsentBytesPerStream: number;
  readonly maxUnreadBytesPerStream: number;
  /** Called once when the call is over: with what the handler threw, or undefined. */
  readonly onFinished: (call: GrpcServedCall, status: WireStatus, thrown: unknown) => void;
  readonly toMetadata: (details: Uint8Array) => Metadata;
}

const OK: WireStatus = { code: 0, message: "OK" };

/**
 * One call that the gRPC server serves. It drives grpc-js at the level of its interceptors, below its Node streams:
 * those count messages where we must count bytes, and cost as much again as the call itself.
 */
export class GrpcServedCall implements UntypedStream, CallContext {
  readonly method: string;
  readonly received: ReceiveQueue<Buffer, Message>;
  readonly startedAtMs: number;
  readonly #served: ServedMethod;
  readonly #call: ServerInterceptingCallInterface;
  readonly #options: ServedCallOptions;
  readonly #budget: SendBudget;
  readonly #abort = new AbortController();
  #requestMetadata: Metadata | undefined;
  #metadata: ReadonlyMap<string, string> | undefined;
  #request: Buffer | undefined;
  #reading = false;
  #draining = false;
  #finished = false;

  constructor(served: ServedMethod, call: ServerInterceptingCallInterface, options: ServedCallOptions) {
    this.method = served.name;
    this.#served = served;
    this.#call = call;
    this.#options = options;
    this.startedAtMs = options.clock.monotonic();
    this.#budget = new SendBudget(options.maxUnsentBytesPerStream);
    this.received = new ReceiveQueue({
      decode: (bytes) => decode(served.method.input, bytes),
      onRead: () => this.#read(),
      onAbandoned: () => undefined,
    });
  }

  get kind(): ServedMethod["kind"] {
    return this.#served.kind;
  }

  get peer(): string {
    return this.#call.getPeer();
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
    return Math.max(0, deadlineMs - this.#options.clock.now());
  }

  start(): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => this.#onMetadata(metadata),
      onReceiveMessage: (message: Buffer) => this.#onMessage(message),
      onReceiveHalfClose: () => this.#onHalfClose(),
      onCancel: () => this.#onCancel(),
    });
  }

  send(message: object): boolean {
    if (this.#finished) return false;
    const bytes = encode(this.#served.method.output, message);
    if (bytes.byteLength > this.#options.maxMessageBytes) {
      throw tooLarge(`a response of ${this.method}`, bytes.byteLength, this.#options.maxMessageBytes);
    }
    const sizeBytes = bytes.byteLength;
    this.#budget.add(sizeBytes);
    this.#call.sendMessage(bytes, () => this.#budget.remove(sizeBytes));
    return this.#budget.hasRoom;
  }

  drained(): Promise<void> {
    return this.#budget.drained();
  }

  /** The server shuts down: a stream may answer what it has read, then it ends with UNAVAILABLE. */
  drain(reason: OttlaError): void {
    if (this.#finished || this.kind === "unary") return;
    this.#draining = !this.received.exhausted;
    this.received.end();
    this.#abort.abort(reason);
  }

  /** The grace of a shutdown is over. */
  terminate(reason: OttlaError): void {
    this.#abort.abort(reason);
    this.#finish(statusFromError(reason), undefined);
  }

  #onMetadata(metadata: Metadata): void {
    this.#requestMetadata = metadata;
    if (this.#served.kind === "streaming") this.#run(this.#served.handler(this, this));
    this.#read();
  }

  #read(): void {
    if (this.#reading || this.#finished || this.received.finished) return;
    if (this.received.unreadBytes >= this.#options.maxUnreadBytesPerStream) return;
    this.#reading = true;
    this.#call.startRead();
  }

  #onMessage(message: Buffer): void {
    this.#reading = false;
    if (this.#served.kind === "streaming") this.received.push(message, message.byteLength);
    else if (this.#request !== undefined) {
      this.terminate(new OttlaError("INVALID_REQUEST", `${this.method} takes one request, two were sent`));
    } else this.#request = message;
    this.#read();
  }

  #onHalfClose(): void {
    this.received.end();
    if (this.#served.kind === "streaming" || this.#finished) return;
    if (this.#request === undefined) {
      this.terminate(new OttlaError("INVALID_REQUEST", `${this.method} takes one request, none was sent`));
      return;
    }
    try {
      const request = decode(this.#served.method.input, this.#request);
      this.#request = undefined;
      if (this.#served.kind === "unary") this.#answer(this.#served.handler(request, this));
      else this.#run(this.#served.handler(request, this, this));
    } catch (error) {
      this.#finish(statusFromError(error), error);
    }
  }

  #answer(response: Promise<object>): void {
    response
      .then((message) => {
        this.send(message);
        this.#finish(OK, undefined);
      })
      .catch((error: unknown) => this.#finish(statusFromError(error), error));
  }

  #run(done: Promise<void>): void {
    done.then(
      () => {
        if (this.#draining) this.#finish(statusFromError(this.signal.reason), undefined);
        else this.#finish(OK, undefined);
      },
      (error: unknown) => this.#finish(statusFromError(error), error),
    );
  }

  #onCancel(): void {
    if (this.#finished) return;
    const error =
      this.remainingMs() === 0
        ? new OttlaError("REQUEST_TIMED_OUT", "the caller's deadline has passed")
        : new OttlaError("CANCELLED", "the caller cancelled the call or its connection broke");
    this.#end(error, statusFromError(error), undefined);
  }

  #finish(status: WireStatus, thrown: unknown): void {
    if (this.#finished) return;
    const over = new OttlaError("CANCELLED", "the call is over");
    this.#end(over, status, thrown);
    this.#call.sendStatus({
      code: status.code,
      details: status.message,
      metadata: status.details === undefined ? null : this.#options.toMetadata(status.details),
    });
  }

  #end(reason: OttlaError, status: WireStatus, thrown: unknown): void {
    this.#finished = true;
    this.#request = undefined;
    if (!this.received.exhausted) this.received.discard(reason);
    this.#budget.fail(reason);
    if (status.code !== 0) this.#abort.abort(reason);
    this.#options.onFinished(this, status, thrown);
  }
}

function asciiMetadata(metadata: Metadata | undefined): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata?.getMap() ?? {})) {
    if (typeof value === "string") values.set(key, value);
  }
  return values;
}
