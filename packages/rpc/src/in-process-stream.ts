import type { DescMessage, Message } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import {
  type InProcessCall,
  InProcessContext,
  type InProcessOptions,
  prepareDelivery,
  seenByHandler,
  watchCaller,
} from "./in-process-call.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { queuedBytes, SendBudget } from "./send-budget.ts";
import type { CallOptions, ClientStream } from "./service.ts";
import type { StreamMethod, UntypedStream } from "./service-registry.ts";
import { publicError } from "./status.ts";

interface PipeOptions {
  readonly schema: DescMessage;
  readonly what: string;
  readonly options: InProcessOptions;
  readonly onAbandoned: () => void;
}

/** One direction of a stream. What was sent and not read yet is what counts against the limit. */
class Pipe {
  readonly budget: SendBudget;
  readonly queue: ReceiveQueue<Message, Message>;
  readonly #pipe: PipeOptions;

  constructor(pipe: PipeOptions) {
    this.#pipe = pipe;
    this.budget = new SendBudget(pipe.options.maxUnsentBytesPerStream);
    this.queue = new ReceiveQueue({
      decode: (message) => message,
      onRead: (sizeBytes) => this.budget.remove(sizeBytes),
      onAbandoned: pipe.onAbandoned,
    });
  }

  send(init: object): boolean {
    const { schema, what, options } = this.#pipe;
    const { message, sizeBytes } = prepareDelivery(schema, init, what, options);
    const countedBytes = queuedBytes(sizeBytes);
    this.budget.add(countedBytes);
    options.mailbox.post(() => this.queue.push(message, countedBytes));
    return this.budget.hasRoom;
  }
}

/** A streaming call within the process: both its ends. */
export class InProcessStream implements InProcessCall {
  readonly #served: StreamMethod;
  readonly #options: InProcessOptions;
  readonly #context: InProcessContext;
  readonly #requests: Pipe;
  readonly #answers: Pipe;
  readonly #unwatch: () => void;
  #callerDone = false;
  #handlerDone = false;
  #sendEnded = false;

  constructor(served: StreamMethod, call: CallOptions, options: InProcessOptions) {
    this.#served = served;
    this.#options = options;
    this.#context = new InProcessContext(served, call, options);
    const { input, output } = served.method;
    this.#requests = new Pipe({ schema: input, what: "the request", options, onAbandoned: () => undefined });
    const onAbandoned = () => this.#cancel();
    this.#answers = new Pipe({ schema: output, what: "the answer", options, onAbandoned });
    this.#unwatch = watchCaller(served, call, options.clock, this);
    options.mailbox.post(() => void this.#serve());
  }

  /** The caller's end. */
  get caller(): ClientStream<object, Message> {
    return {
      send: (message) => {
        if (this.#callerDone || this.#sendEnded) return !this.#callerDone;
        return this.#requests.send(message);
      },
      drained: () => this.#requests.budget.drained(),
      end: () => {
        if (this.#sendEnded || this.#callerDone) return;
        this.#sendEnded = true;
        this.#options.mailbox.post(() => this.#requests.queue.end());
      },
      cancel: () => this.#cancel(),
      received: this.#answers.queue,
    };
  }

  abort(error: OttlaError): void {
    if (this.#callerDone) return;
    this.#answers.queue.discard(error);
    this.#endCaller(error);
    this.#options.mailbox.post(() => this.#endHandler(seenByHandler(error)));
  }

  #cancel(): void {
    this.abort(new OttlaError("CANCELLED", "the call was cancelled by this side"));
  }

  get #handlerStream(): UntypedStream {
    return {
      send: (message) => (this.#handlerDone ? false : this.#answers.send(message)),
      drained: () => this.#answers.budget.drained(),
      received: this.#requests.queue,
    };
  }

  async #serve(): Promise<void> {
    // Given up before it began.
    if (this.#handlerDone) return;
    try {
      const stream = this.#handlerStream;
      if (this.#served.kind === "streaming") await this.#served.handler(stream, this.#context);
      else {
        const first = await this.#requests.queue.next();
        if (first.done !== true) await this.#served.handler(first.value, stream, this.#context);
      }
      this.#finish(undefined);
    } catch (error) {
      this.#finish(error);
    }
  }

  #finish(thrown: unknown): void {
    if (this.#handlerDone) return;
    this.#endHandler(thrown);
    const error = thrown === undefined ? undefined : publicError(thrown);
    this.#options.mailbox.post(() => {
      if (error === undefined) this.#answers.queue.end();
      else this.#answers.queue.fail(error);
      this.#endCaller(error);
    });
  }

  #endHandler(thrown: unknown): void {
    if (this.#handlerDone) return;
    this.#handlerDone = true;
    const over =
      thrown instanceof OttlaError ? thrown : new OttlaError("CANCELLED", "the call is over already");
    if (!this.#requests.queue.exhausted) this.#requests.queue.discard(over);
    this.#answers.budget.fail(over);
    if (thrown !== undefined) this.#context.abort(over);
    this.#options.onFinished(this, this.#context, thrown);
  }

  #endCaller(error: OttlaError | undefined): void {
    if (this.#callerDone) return;
    this.#callerDone = true;
    this.#unwatch();
    this.#requests.budget.fail(error ?? new OttlaError("CANCELLED", "the call is over already"));
  }
}
