import type { Message } from "@bufbuild/protobuf";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import { decodeRequest, tooLarge } from "./codec.ts";
import { encodeMessage } from "./encoded-message.ts";
import { GrpcCallContext, type ServedCall, type ServedCallOptions } from "./grpc-served-call.ts";
import { sendStatus } from "./grpc-status.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { queuedBytes, SendBudget } from "./send-budget.ts";
import type { StreamMethod, UntypedStream } from "./service-registry.ts";

/**
 * A streaming call that the gRPC server serves. It drives grpc-js on its level of interceptors, below its
 * Node streams: those count messages where we must count bytes, and cost as much again as the call itself.
 */
export class GrpcServedStream implements ServedCall, UntypedStream {
  readonly received: ReceiveQueue<Buffer, Message>;
  readonly #served: StreamMethod;
  readonly #call: ServerInterceptingCallInterface;
  readonly #options: ServedCallOptions;
  readonly #context: GrpcCallContext;
  readonly #budget: SendBudget;
  #reading = false;
  #drainReason: OttlaError | undefined;
  #finished = false;

  constructor(served: StreamMethod, call: ServerInterceptingCallInterface, options: ServedCallOptions) {
    this.#served = served;
    this.#call = call;
    this.#options = options;
    this.#context = new GrpcCallContext(served, call, options.clock);
    this.#budget = new SendBudget(options.maxUnsentBytesPerStream);
    this.received = new ReceiveQueue({
      decode: (bytes) => decodeRequest(served.method.input, bytes),
      onRead: () => this.#read(),
      onAbandoned: () => undefined,
    });
  }

  start(): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        this.#context.setMetadata(metadata);
        const refusal = this.#context.refusal(this.#options.authorize);
        if (refusal !== undefined) {
          this.#finish(refusal);
          return;
        }
        void this.#run();
        this.#read();
      },
      onReceiveMessage: (message: Buffer) => {
        this.#reading = false;
        this.received.push(message, queuedBytes(message.byteLength));
        this.#read();
      },
      // A stream that was reset looks like one that has ended, until its cancellation
      // follows within the same turn.
      onReceiveHalfClose: () => this.#options.clock.nextTurn(() => this.received.end()),
      onCancel: () => {
        if (!this.#finished) this.#end(this.#context.cancellation());
      },
    });
  }

  send(message: object): boolean {
    if (this.#finished) return false;
    const encoded = encodeMessage(this.#served.method.output, message);
    const sizeBytes = encoded.byteLength;
    const { maxMessageBytes } = this.#options;
    if (sizeBytes > maxMessageBytes) throw tooLarge("the answer", sizeBytes, maxMessageBytes);
    const countedBytes = queuedBytes(sizeBytes);
    this.#budget.add(countedBytes);
    // Called when all of it has been written to the connection, and not when that failed.
    this.#call.sendMessage(encoded, () => {
      encoded.release();
      this.#budget.remove(countedBytes);
    });
    return this.#budget.hasRoom;
  }

  drained(): Promise<void> {
    return this.#budget.drained();
  }

  drain(reason: OttlaError): void {
    if (this.#finished) return;
    // A peer that has said all it wants to gets its answers and OK, unless it asked for an endless stream.
    if (this.#served.kind === "server_streaming" || !this.received.exhausted) this.#drainReason = reason;
    this.received.end();
    this.#context.abort(reason);
  }

  terminate(reason: OttlaError): void {
    this.#finish(reason);
  }

  #read(): void {
    if (this.#reading || this.#finished || this.received.finished) return;
    if (this.received.unreadBytes >= this.#options.maxUnreadBytesPerStream) return;
    this.#reading = true;
    this.#call.startRead();
  }

  async #run(): Promise<void> {
    try {
      if (this.#served.kind === "streaming") await this.#served.handler(this, this.#context);
      else await this.#served.handler(await this.#onlyRequest(), this, this.#context);
      this.#finish(this.#drainReason);
    } catch (error) {
      this.#finish(error);
    }
  }

  async #onlyRequest(): Promise<Message> {
    const first = await this.received.next();
    const second = first.done === true ? first : await this.received.next();
    if (first.done === true || second.done !== true) {
      // The server stops before the request has come.
      if (this.#drainReason !== undefined) throw this.#drainReason;
      const what = first.done === true ? "none was" : "more were";
      throw new OttlaError("INVALID_REQUEST", `${this.#served.name} takes one request, ${what} sent`);
    }
    return first.value;
  }

  #finish(thrown: unknown): void {
    if (this.#finished) return;
    this.#end(thrown);
    sendStatus(this.#call, thrown);
  }

  #end(thrown: unknown): void {
    this.#finished = true;
    const over =
      thrown instanceof OttlaError ? thrown : new OttlaError("CANCELLED", "the call is over already");
    if (!this.received.exhausted) this.received.discard(over);
    this.#budget.fail(over);
    if (thrown !== undefined) this.#context.abort(over);
    this.#options.onFinished(this, this.#context, thrown);
  }
}
