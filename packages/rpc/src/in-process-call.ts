import type { DescMessage, Message } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { Clock, Timer } from "@ottla/runtime";
import { decode, encode, tooLarge } from "./codec.ts";
import type { Mailbox } from "./mailbox.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { SendBudget } from "./send-budget.ts";
import type { CallContext, CallOptions, ClientStream } from "./service.ts";
import type { ServedMethod, UntypedStream } from "./service-registry.ts";
import { publicError } from "./status.ts";

export interface InProcessCallOptions {
  readonly clock: Clock;
  readonly mailbox: Mailbox;
  readonly peer: string;
  readonly copy: boolean;
  readonly estimateBytes: (message: Message) => number;
  readonly maxMessageBytes: number;
  readonly maxUnsentBytesPerStream: number;
  readonly onFinished: (call: InProcessCall, error: OttlaError | undefined, thrown: unknown) => void;
}

/** One direction of a call: what is sent and not read yet counts as unsent. */
class Pipe {
  readonly budget: SendBudget;
  readonly queue: ReceiveQueue<Message, Message>;
  readonly #schema: DescMessage;
  readonly #options: InProcessCallOptions;

  constructor(schema: DescMessage, options: InProcessCallOptions, onAbandoned: () => void) {
    this.#schema = schema;
    this.#options = options;
    this.budget = new SendBudget(options.maxUnsentBytesPerStream);
    this.queue = new ReceiveQueue({
      decode: (message) => message,
      onRead: (sizeBytes) => this.budget.remove(sizeBytes),
      onAbandoned,
    });
  }

  send(init: object): boolean {
    const { message, sizeBytes } = prepare(this.#schema, init, this.#options);
    this.budget.add(sizeBytes);
    this.#options.mailbox.post(() => this.queue.push(message, sizeBytes));
    return this.budget.hasRoom;
  }
}

/** The message as its receiver gets it, and its size. */
function prepare(
  schema: DescMessage,
  init: object,
  options: InProcessCallOptions,
): { message: Message; sizeBytes: number } {
  let message: Message = create(schema, init as Message);
  let sizeBytes: number;
  if (options.copy) {
    const bytes = encode(schema, message);
    sizeBytes = bytes.byteLength;
    message = decode(schema, Uint8Array.from(bytes));
  } else sizeBytes = options.estimateBytes(message);
  if (sizeBytes > options.maxMessageBytes) {
    throw tooLarge(`a ${schema.typeName}`, sizeBytes, options.maxMessageBytes);
  }
  return { message, sizeBytes };
}

/** A call within the process: both its ends. */
export class InProcessCall implements CallContext {
  readonly method: string;
  readonly peer: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly #served: ServedMethod;
  readonly #options: InProcessCallOptions;
  readonly #requests: Pipe;
  readonly #responses: Pipe;
  readonly #serverAbort = new AbortController();
  readonly #deadlineMs: number | undefined;
  #deadlineTimer: Timer | undefined;
  #forgetSignal: (() => void) | undefined;
  #clientDone = false;
  #serverDone = false;
  #sendEnded = false;

  constructor(served: ServedMethod, call: CallOptions, options: InProcessCallOptions) {
    this.method = served.name;
    this.peer = options.peer;
    this.metadata = new Map(
      Object.entries(call.metadata ?? {}).map(([key, value]) => [key.toLowerCase(), value]),
    );
    this.#served = served;
    this.#options = options;
    this.#requests = new Pipe(served.method.input, options, () => undefined);
    this.#responses = new Pipe(served.method.output, options, () => this.#cancel());
    if (call.timeoutMs !== undefined) {
      this.#deadlineMs = options.clock.monotonic() + call.timeoutMs;
      this.#deadlineTimer = options.clock.setTimer(call.timeoutMs, () => {
        this.abort(new OttlaError("REQUEST_TIMED_OUT", `${this.method} did not answer in time`));
      });
    }
    this.#followSignal(call.signal);
  }

  get signal(): AbortSignal {
    return this.#serverAbort.signal;
  }

  remainingMs(): number | undefined {
    if (this.#deadlineMs === undefined) return undefined;
    return Math.max(0, this.#deadlineMs - this.#options.clock.monotonic());
  }

  /** The client's end. */
  readonly client: ClientStream<object, Message> = {
    send: (message) => {
      if (this.#clientDone || this.#sendEnded) return !this.#clientDone;
      return this.#requests.send(message);
    },
    drained: () => this.#requests.budget.drained(),
    end: () => {
      if (this.#sendEnded || this.#clientDone) return;
      this.#sendEnded = true;
      this.#options.mailbox.post(() => this.#requests.queue.end());
    },
    cancel: () => this.#cancel(),
    received: { [Symbol.asyncIterator]: () => this.#responses.queue },
  };

  readonly #server: UntypedStream = {
    send: (message) => (this.#serverDone ? false : this.#responses.send(message)),
    drained: () => this.#responses.budget.drained(),
    received: { [Symbol.asyncIterator]: () => this.#requests.queue },
  };

  /** Starts the handler, later: never within the caller's own call. */
  start(): void {
    this.#options.mailbox.post(() => {
      this.#run().then(
        () => this.#finishServer(undefined, undefined),
        (thrown: unknown) => this.#finishServer(publicError(thrown), thrown),
      );
    });
  }

  /** Ends the call for its client now, and aborts the server's side. */
  abort(error: OttlaError): void {
    if (this.#clientDone) return;
    this.#responses.queue.discard(error);
    this.#finishClient(error);
    const seen = error.code === "REQUEST_TIMED_OUT" ? error : cancelledByCaller();
    this.#options.mailbox.post(() => {
      if (this.#serverDone) return;
      this.#endServer(seen, undefined);
    });
  }

  async #run(): Promise<void> {
    if (this.#serverDone) return;
    if (this.#served.kind === "streaming") {
      await this.#served.handler(this.#server, this);
      return;
    }
    const first = await this.#requests.queue.next();
    if (first.done === true || this.#serverDone) return;
    if (this.#served.kind === "unary") this.#server.send(await this.#served.handler(first.value, this));
    else await this.#served.handler(first.value, this.#server as UntypedStream, this);
  }

  #cancel(): void {
    this.abort(new OttlaError("CANCELLED", "the call was cancelled by this side"));
  }

  #followSignal(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const onAbort = () => {
      const reason: unknown = signal.reason;
      this.abort(
        reason instanceof OttlaError ? reason : new OttlaError("CANCELLED", "the call was cancelled"),
      );
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    this.#forgetSignal = () => signal.removeEventListener("abort", onAbort);
  }

  #finishServer(error: OttlaError | undefined, thrown: unknown): void {
    if (this.#serverDone) return;
    this.#endServer(error, thrown);
    this.#options.mailbox.post(() => {
      if (error === undefined) this.#responses.queue.end();
      else this.#responses.queue.fail(error);
      this.#finishClient(error);
    });
  }

  #endServer(error: OttlaError | undefined, thrown: unknown): void {
    this.#serverDone = true;
    const over = error ?? new OttlaError("CANCELLED", "the call is over");
    if (!this.#requests.queue.exhausted) this.#requests.queue.discard(over);
    this.#responses.budget.fail(over);
    if (error !== undefined) this.#serverAbort.abort(error);
    this.#options.onFinished(this, error, thrown);
  }

  #finishClient(error: OttlaError | undefined): void {
    if (this.#clientDone) return;
    this.#clientDone = true;
    this.#deadlineTimer?.cancel();
    this.#forgetSignal?.();
    this.#requests.budget.fail(error ?? new OttlaError("CANCELLED", "the call is over"));
  }
}

function cancelledByCaller(): OttlaError {
  return new OttlaError("CANCELLED", "the caller cancelled the call");
}
