import type { DescMethod, Message } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { Clock, Timer } from "@ottla/runtime";
import { abortReason } from "./abort-reason.ts";
import { decodeResponse, encodeRequest, tooLarge } from "./codec.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { queuedBytes, SendBudget } from "./send-budget.ts";
import type { CallOptions, ClientStream } from "./service.ts";
import { methodName } from "./service-registry.ts";
import type { CallEnd, SimulatedConnection, SimulatedWire } from "./simulated-network.ts";
import type { SimulatedServedCall } from "./simulated-served-call.ts";
import { errorFromStatus, type WireStatus } from "./status.ts";

export interface SimulatedCallOptions {
  readonly clock: Clock;
  readonly maxMessageBytes: number;
  readonly maxUnsentBytesPerStream: number;
  readonly metadata: ReadonlyMap<string, string>;
  readonly onFinished: (call: SimulatedCall) => void;
}

/** What the client's end sends before there is a connection. */
type Frame = (wire: SimulatedWire) => void;

/** The client's end of a call through the simulated network, of any kind: a unary one sends one message. */
export class SimulatedCall implements CallEnd, ClientStream<object, Message> {
  readonly received: ReceiveQueue<Uint8Array, Message>;
  readonly #method: DescMethod;
  readonly #options: SimulatedCallOptions;
  readonly #timeoutMs: number | undefined;
  readonly #budget: SendBudget;
  #unsent: Frame[] = [];
  #wire: SimulatedWire | undefined;
  /** The other end, once the start of the call has arrived there. Reached only from within its process. */
  #served: SimulatedServedCall | undefined;
  #deadline: Timer | undefined;
  readonly #unwatch: () => void;
  #consumedBytes = 0;
  #sendEnded = false;
  #finished = false;

  constructor(method: DescMethod, call: CallOptions, options: SimulatedCallOptions) {
    const { signal, timeoutMs } = call;
    this.#method = method;
    this.#options = options;
    this.#timeoutMs = timeoutMs;
    this.#budget = new SendBudget(options.maxUnsentBytesPerStream);
    this.received = new ReceiveQueue({
      decode: (bytes) => decodeResponse(method.output, bytes),
      onRead: (sizeBytes) => this.#consumed(sizeBytes),
      onAbandoned: () => this.cancel(),
    });
    const onAbort = (): void => signal && this.abort(abortReason(signal));
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#unwatch = () => signal?.removeEventListener("abort", onAbort);
    if (timeoutMs !== undefined) {
      this.#deadline = options.clock.setTimer(timeoutMs, () => this.abort(timedOut(method, timeoutMs)));
    }
  }

  /** There is a connection: what was sent before goes out. */
  start(connection: SimulatedConnection): void {
    if (this.#finished) return;
    const wire = connection.openWire(this);
    this.#wire = wire;
    const { metadata } = this.#options;
    const timeoutMs = this.#timeoutMs;
    wire.toServer(0, () => {
      this.#served = connection.server.accept({
        method: this.#method,
        metadata,
        timeoutMs,
        wire,
        client: this,
      });
      if (this.#served !== undefined) connection.serverEnd(wire, this.#served);
    });
    for (const frame of this.#unsent) frame(wire);
    this.#unsent = [];
  }

  send(message: object): boolean {
    if (this.#finished || this.#sendEnded) return !this.#finished;
    const bytes = encodeRequest(this.#method.input, message).toBytes();
    const { maxMessageBytes } = this.#options;
    if (bytes.byteLength > maxMessageBytes) throw tooLarge("the request", bytes.byteLength, maxMessageBytes);
    this.#budget.add(queuedBytes(bytes.byteLength));
    this.#post((wire) => wire.toServer(bytes.byteLength, () => this.#served?.onMessage(bytes)));
    return this.#budget.hasRoom;
  }

  drained(): Promise<void> {
    return this.#budget.drained();
  }

  end(): void {
    if (this.#sendEnded || this.#finished) return;
    this.#sendEnded = true;
    this.#post((wire) => wire.toServer(0, () => this.#served?.onEnd()));
  }

  cancel(): void {
    this.abort(new OttlaError("CANCELLED", "the call was cancelled by this side"));
  }

  /** Gives up for a reason of this side: what was received and not read is dropped. */
  abort(error: OttlaError): void {
    if (this.#finished) return;
    this.received.discard(error);
    this.#wire?.toServer(0, () => this.#served?.onCancelled(error.code === "REQUEST_TIMED_OUT"));
    this.#finish(error);
  }

  /** Fails with what the network says. */
  fail(error: OttlaError): void {
    if (this.#finished) return;
    this.received.fail(error);
    this.#finish(error);
  }

  onBroken(error: OttlaError): void {
    this.fail(error);
  }

  onMessage(bytes: Uint8Array): void {
    if (!this.#finished) this.received.push(bytes, queuedBytes(bytes.byteLength));
  }

  onStatus(status: WireStatus): void {
    if (this.#finished) return;
    if (status.code !== 0) {
      this.fail(errorFromStatus(status));
      return;
    }
    this.received.end();
    this.#finish(undefined);
  }

  onConsumed(sizeBytes: number): void {
    if (!this.#finished) this.#budget.remove(sizeBytes);
  }

  #post(frame: Frame): void {
    if (this.#wire === undefined) this.#unsent.push(frame);
    else frame(this.#wire);
  }

  /** Told to the sender when it is worth a frame: it waits for half of its limit only. */
  #consumed(sizeBytes: number): void {
    this.#consumedBytes += sizeBytes;
    if (this.#finished || this.#consumedBytes < this.#options.maxUnsentBytesPerStream / 4) return;
    const consumedBytes = this.#consumedBytes;
    this.#consumedBytes = 0;
    this.#wire?.toServer(0, () => this.#served?.onConsumed(consumedBytes));
  }

  #finish(error: OttlaError | undefined): void {
    this.#finished = true;
    this.#unsent = [];
    this.#deadline?.cancel();
    this.#unwatch();
    this.#budget.fail(error ?? new OttlaError("CANCELLED", "the call is over"));
    this.#options.onFinished(this);
  }
}

function timedOut(method: DescMethod, timeoutMs: number): OttlaError {
  const message = `${methodName(method)} did not answer within ${timeoutMs} ms`;
  return new OttlaError("REQUEST_TIMED_OUT", message, { metadata: { timeoutMs: String(timeoutMs) } });
}
