import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import { decodeRequest, tooLarge } from "./codec.ts";
import { encodeMessage } from "./encoded-message.ts";
import { GrpcCallContext, type ServedCall, type ServedCallOptions } from "./grpc-served-call.ts";
import { sendStatus } from "./grpc-status.ts";
import type { UnaryMethod } from "./service-registry.ts";

/** A unary call that the gRPC server answers, on grpc-js' level of interceptors. */
export class GrpcServedUnary implements ServedCall {
  readonly #served: UnaryMethod;
  readonly #call: ServerInterceptingCallInterface;
  readonly #options: ServedCallOptions;
  readonly #context: GrpcCallContext;
  #request: Buffer | undefined;
  #finished = false;

  constructor(served: UnaryMethod, call: ServerInterceptingCallInterface, options: ServedCallOptions) {
    this.#served = served;
    this.#call = call;
    this.#options = options;
    this.#context = new GrpcCallContext(served, call, options.clock);
  }

  start(): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        this.#context.setMetadata(metadata);
        const refusal = this.#context.refusal(this.#options.authorize);
        this.#context.span = this.#options.startSpan?.(this.#context);
        if (refusal === undefined) this.#call.startRead();
        else this.#finish(refusal);
      },
      onReceiveMessage: (message: Buffer) => {
        if (this.#request === undefined) this.#request = message;
        else this.#refuse("takes one request, a second one was sent");
        this.#call.startRead();
      },
      onReceiveHalfClose: () => this.#onRequest(),
      onCancel: () => this.#onCancel(),
    });
  }

  /** Unary calls finish by themselves. */
  drain(): void {}

  terminate(reason: OttlaError): void {
    this.#context.abort(reason);
    this.#finish(reason);
  }

  #onRequest(): void {
    const request = this.#request;
    this.#request = undefined;
    if (request === undefined) this.#refuse("takes one request, none was sent");
    else if (!this.#finished) void this.#answer(request);
  }

  async #answer(request: Buffer): Promise<void> {
    try {
      const { method, handler } = this.#served;
      const response = await handler(decodeRequest(method.input, request), this.#context);
      if (this.#finished) return;
      const encoded = encodeMessage(method.output, response);
      const { maxMessageBytes } = this.#options;
      const { byteLength } = encoded;
      if (byteLength > maxMessageBytes) throw tooLarge("the answer", byteLength, maxMessageBytes);
      this.#call.sendMessage(encoded, () => encoded.release());
      this.#finish(undefined);
    } catch (error) {
      this.#finish(error);
    }
  }

  #refuse(what: string): void {
    this.#finish(new OttlaError("INVALID_REQUEST", `${this.#served.name} ${what}`));
  }

  #onCancel(): void {
    if (this.#finished) return;
    this.#finished = true;
    const reason = this.#context.cancellation();
    this.#context.abort(reason);
    this.#options.onFinished(this, this.#context, reason);
  }

  #finish(thrown: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    sendStatus(this.#call, thrown);
    this.#options.onFinished(this, this.#context, thrown);
  }
}
