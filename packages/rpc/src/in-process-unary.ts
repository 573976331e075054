import type { Message } from "@bufbuild/protobuf";
import type { OttlaError } from "@ottla/errors";
import {
  type Delivery,
  type InProcessCall,
  InProcessContext,
  type InProcessOptions,
  prepareDelivery,
  seenByHandler,
  watchCaller,
} from "./in-process-call.ts";
import type { CallOptions } from "./service.ts";
import type { UnaryMethod } from "./service-registry.ts";
import { publicError } from "./status.ts";

/** A unary call within the process. */
export class InProcessUnary implements InProcessCall {
  readonly answer: Promise<Message>;
  readonly #served: UnaryMethod;
  readonly #options: InProcessOptions;
  readonly #context: InProcessContext;
  readonly #unwatch: () => void;
  #settle: { resolve(message: Message): void; reject(error: OttlaError): void } | undefined;
  #answered = false;

  constructor(served: UnaryMethod, request: Delivery, call: CallOptions, options: InProcessOptions) {
    this.#served = served;
    this.#options = options;
    this.#context = new InProcessContext(served, call, options);
    this.answer = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#unwatch = watchCaller(served, call, options.clock, this);
    options.mailbox.post(() => void this.#serve(request.message));
  }

  abort(error: OttlaError): void {
    const settle = this.#endCaller();
    if (settle === undefined) return;
    settle.reject(error);
    this.#options.mailbox.post(() => {
      const seen = seenByHandler(error);
      this.#endHandler(seen);
      this.#context.abort(seen);
    });
  }

  async #serve(request: Message): Promise<void> {
    // Given up before it began.
    if (this.#answered) return;
    try {
      const { method, handler } = this.#served;
      const response = await handler(request, this.#context);
      if (this.#answered) return;
      const { message } = prepareDelivery(method.output, response, "the answer", this.#options);
      this.#endHandler(undefined);
      this.#options.mailbox.post(() => this.#endCaller()?.resolve(message));
    } catch (error) {
      this.#endHandler(error);
      this.#options.mailbox.post(() => this.#endCaller()?.reject(publicError(error)));
    }
  }

  #endCaller() {
    const settle = this.#settle;
    this.#settle = undefined;
    if (settle !== undefined) this.#unwatch();
    return settle;
  }

  #endHandler(thrown: unknown): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#options.onFinished(this, this.#context, thrown);
  }
}
