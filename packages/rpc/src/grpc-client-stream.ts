import type { DescMethod, Message } from "@bufbuild/protobuf";
import { type ChannelInterface, status as GrpcCode, type Metadata, type StatusObject } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { decodeResponse, encodeRequest } from "./codec.ts";
import { asBuffer, type EncodedMessage } from "./encoded-message.ts";
import { Fifo } from "./fifo.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { queuedBytes, SendBudget } from "./send-budget.ts";
import type { ClientStream } from "./service.ts";

export type GrpcCall = ReturnType<ChannelInterface["createCall"]>;

/** Cancels a call for good. */
export function cancelCall(call: GrpcCall, clock: Clock, message: string): void {
  call.cancelWithStatus(GrpcCode.CANCELLED, message);
  // grpc-js prepares a call over some microtasks and starts it even if it was cancelled
  // meanwhile: the server would serve it to nobody, and it would count against the
  // connection's limit. By the next turn it can be cancelled.
  clock.nextTurn(() => call.cancelWithStatus(GrpcCode.CANCELLED, message));
}

export interface GrpcClientStreamOptions {
  readonly clock: Clock;
  readonly maxUnsentBytes: number;
  readonly maxUnreadBytes: number;
  /** Throws where the encoded message is too large to be sent. */
  readonly checkSize: (sizeBytes: number) => void;
  /** The status as an error, or undefined for OK. */
  readonly toError: (status: StatusObject) => OttlaError | undefined;
  readonly onFinished: (error: OttlaError | undefined) => void;
}

/**
 * The client's side of a stream, on a call of the channel itself: below grpc-js' Node
 * streams, which count messages where we must count bytes.
 */
export class GrpcClientStream implements ClientStream<object, Message> {
  readonly received: ReceiveQueue<Buffer, Message>;
  readonly #method: DescMethod;
  readonly #call: GrpcCall;
  readonly #options: GrpcClientStreamOptions;
  readonly #budget: SendBudget;
  /** grpc-js keeps one message before its connection is up, and loses further ones: they wait here. */
  readonly #unsent = new Fifo<EncodedMessage>();
  #writing = false;
  #reading = false;
  #sendEnded = false;
  #finished = false;

  constructor(method: DescMethod, call: GrpcCall, options: GrpcClientStreamOptions) {
    this.#method = method;
    this.#call = call;
    this.#options = options;
    this.#budget = new SendBudget(options.maxUnsentBytes);
    this.received = new ReceiveQueue({
      decode: (bytes) => decodeResponse(method.output, bytes),
      onRead: () => this.#read(),
      onAbandoned: () => this.cancel(),
    });
  }

  /** Starts the call. */
  start(metadata: Metadata): void {
    this.#call.start(metadata, {
      onReceiveMetadata: () => undefined,
      onReceiveMessage: (message: Buffer) => this.#onMessage(message),
      onReceiveStatus: (status) => this.#finish(this.#options.toError(status)),
    });
    this.#read();
  }

  send(message: object): boolean {
    if (this.#finished || this.#sendEnded) return !this.#finished;
    const encoded = encodeRequest(this.#method.input, message);
    this.#options.checkSize(encoded.byteLength);
    this.#budget.add(queuedBytes(encoded.byteLength));
    this.#unsent.push(encoded);
    this.#write();
    return this.#budget.hasRoom;
  }

  drained(): Promise<void> {
    return this.#budget.drained();
  }

  end(): void {
    if (this.#sendEnded || this.#finished) return;
    this.#sendEnded = true;
    if (this.#unsent.length === 0 && !this.#writing) this.#call.halfClose();
  }

  cancel(): void {
    this.abort(new OttlaError("CANCELLED", "the call was cancelled by this side"));
  }

  /** Gives up for a reason of this side: what was received and not read is dropped. */
  abort(error: OttlaError): void {
    if (this.#finished) return;
    this.received.discard(error);
    this.#finish(error);
    cancelCall(this.#call, this.#options.clock, error.message);
  }

  #write(): void {
    if (this.#writing) return;
    const encoded = this.#unsent.shift();
    if (encoded === undefined) return;
    this.#writing = true;
    this.#call.sendMessageWithContext({ callback: () => this.#onWritten(encoded) }, asBuffer(encoded));
  }

  #onWritten(encoded: EncodedMessage): void {
    this.#writing = false;
    if (this.#finished) return;
    if (encoded.isLarge) this.#releaseLater(encoded);
    this.#write();
    if (this.#sendEnded && !this.#writing) this.#call.halfClose();
    this.#budget.remove(queuedBytes(encoded.byteLength));
  }

  /**
   * grpc-js says that a message was written whether or not that failed, in which case something may still
   * read its memory. It ends the call within the same turn then.
   */
  #releaseLater(encoded: EncodedMessage): void {
    this.#options.clock.nextTurn(() => {
      if (!this.#finished) encoded.release();
    });
  }

  #read(): void {
    if (this.#reading || this.#finished || this.received.finished) return;
    if (this.received.unreadBytes >= this.#options.maxUnreadBytes) return;
    this.#reading = true;
    this.#call.startRead();
  }

  #onMessage(message: Buffer): void {
    this.#reading = false;
    this.received.push(message, queuedBytes(message.byteLength));
    this.#read();
  }

  #finish(error: OttlaError | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#unsent.clear();
    if (error === undefined) this.received.end();
    else this.received.fail(error);
    this.#budget.fail(error ?? new OttlaError("CANCELLED", "the call is over"));
    this.#options.onFinished(error);
  }
}
