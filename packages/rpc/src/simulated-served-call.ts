import type { Message } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { decodeRequest, tooLarge } from "./codec.ts";
import { encodeMessage } from "./encoded-message.ts";
import { LazyAbort } from "./lazy-abort.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { queuedBytes, SendBudget } from "./send-budget.ts";
import type { CallContext } from "./service.ts";
import type { ServedMethod, UntypedStream } from "./service-registry.ts";
import type { CallEnd, SimulatedWire } from "./simulated-network.ts";
import { statusFromError, type WireStatus } from "./status.ts";

/** The client's end, as the server's sees it: reached through the wire only. */
export interface CallingEnd {
  onMessage(bytes: Uint8Array): void;
  onStatus(status: WireStatus): void;
  onConsumed(sizeBytes: number): void;
}

export interface SimulatedServedCallOptions {
  readonly clock: Clock;
  readonly maxMessageBytes: number;
  readonly maxUnsentBytesPerStream: number;
  readonly peer: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly timeoutMs: number | undefined;
  readonly wire: SimulatedWire;
  readonly client: CallingEnd;
  readonly onFinished: (call: SimulatedServedCall, thrown: unknown) => void;
}

/** The server's end of a call through the simulated network. */
export class SimulatedServedCall implements CallEnd, CallContext, UntypedStream {
  readonly received: ReceiveQueue<Uint8Array, Message>;
  readonly served: ServedMethod;
  readonly #options: SimulatedServedCallOptions;
  readonly #startedAtMs: number;
  readonly #abort = new LazyAbort();
  readonly #budget: SendBudget;
  #consumedBytes = 0;
  #drainReason: OttlaError | undefined;
  #finished = false;

  constructor(served: ServedMethod, options: SimulatedServedCallOptions) {
    this.served = served;
    this.#options = options;
    this.#startedAtMs = options.clock.monotonic();
    this.#budget = new SendBudget(options.maxUnsentBytesPerStream);
    this.received = new ReceiveQueue({
      decode: (bytes) => decodeRequest(served.method.input, bytes),
      onRead: (sizeBytes) => this.#consumed(sizeBytes),
      onAbandoned: () => undefined,
    });
    void this.#run();
  }

  get method(): string {
    return this.served.name;
  }

  get peer(): string {
    return this.#options.peer;
  }

  get metadata(): ReadonlyMap<string, string> {
    return this.#options.metadata;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  remainingMs(): number | undefined {
    const { clock, timeoutMs } = this.#options;
    if (timeoutMs === undefined) return undefined;
    return Math.max(0, this.#startedAtMs + timeoutMs - clock.monotonic());
  }

  send(message: object): boolean {
    if (this.#finished) return false;
    const bytes = this.#encode(message);
    const { client, wire } = this.#options;
    this.#budget.add(queuedBytes(bytes.byteLength));
    wire.toClient(bytes.byteLength, () => client.onMessage(bytes));
    return this.#budget.hasRoom;
  }

  drained(): Promise<void> {
    return this.#budget.drained();
  }

  onMessage(bytes: Uint8Array): void {
    if (!this.#finished) this.received.push(bytes, queuedBytes(bytes.byteLength));
  }

  onEnd(): void {
    if (!this.#finished) this.received.end();
  }

  onConsumed(sizeBytes: number): void {
    if (!this.#finished) this.#budget.remove(sizeBytes);
  }

  onCancelled(isDeadline: boolean): void {
    const error = isDeadline
      ? new OttlaError("REQUEST_TIMED_OUT", "the caller's deadline has passed")
      : new OttlaError("CANCELLED", "the caller cancelled the call or its connection broke");
    if (!this.#finished) this.#end(error);
  }

  onBroken(): void {
    this.onCancelled(false);
  }

  /** The server shuts down: the call may still finish by itself. */
  drain(reason: OttlaError): void {
    if (this.#finished || this.served.kind === "unary") return;
    if (this.served.kind === "server_streaming" || !this.received.exhausted) this.#drainReason = reason;
    this.received.end();
    this.#abort.abort(reason);
  }

  /** The grace of the shutdown is over. */
  terminate(reason: OttlaError): void {
    this.#finish(reason);
  }

  async #run(): Promise<void> {
    try {
      await this.#serve();
      this.#finish(this.#drainReason);
    } catch (thrown) {
      this.#finish(thrown);
    }
  }

  async #serve(): Promise<void> {
    const { served } = this;
    if (served.kind === "streaming") {
      await served.handler(this, this);
      return;
    }
    const first = await this.received.next();
    if (first.done === true) {
      // A server that shuts down has ended the call, perhaps before the request was there.
      throw this.#drainReason ?? new OttlaError("INVALID_REQUEST", `${served.name} takes one request`);
    }
    if (served.kind === "server_streaming") await served.handler(first.value, this, this);
    else this.#answer(await served.handler(first.value, this));
  }

  #answer(message: object): void {
    if (this.#finished) return;
    const bytes = this.#encode(message);
    const { client, wire } = this.#options;
    wire.toClient(bytes.byteLength, () => client.onMessage(bytes));
  }

  #encode(message: object): Uint8Array {
    const bytes = encodeMessage(this.served.method.output, message).toBytes();
    const { maxMessageBytes } = this.#options;
    if (bytes.byteLength > maxMessageBytes) throw tooLarge("the answer", bytes.byteLength, maxMessageBytes);
    return bytes;
  }

  #consumed(sizeBytes: number): void {
    const { client, maxUnsentBytesPerStream, wire } = this.#options;
    this.#consumedBytes += sizeBytes;
    if (this.#finished || this.#consumedBytes < maxUnsentBytesPerStream / 4) return;
    const consumedBytes = this.#consumedBytes;
    this.#consumedBytes = 0;
    wire.toClient(0, () => client.onConsumed(consumedBytes));
  }

  #finish(thrown: unknown): void {
    if (this.#finished) return;
    this.#end(thrown);
    const { client, wire } = this.#options;
    const status = thrown === undefined ? OK : statusFromError(thrown);
    wire.toClient(0, () => client.onStatus(status));
  }

  #end(thrown: unknown): void {
    this.#finished = true;
    const over =
      thrown instanceof OttlaError ? thrown : new OttlaError("CANCELLED", "the call is over already");
    if (!this.received.exhausted) this.received.discard(over);
    this.#budget.fail(over);
    if (thrown !== undefined) this.#abort.abort(over);
    this.#options.onFinished(this, thrown);
  }
}

const OK: WireStatus = { code: 0, message: "OK" };
