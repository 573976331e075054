import type { DescMethod, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import { type Clock, LimitedLogger, type Logger, type MetricsRegistry, nullLogger } from "@ottla/runtime";
import { abortReason } from "./abort-reason.ts";
import { failedStream } from "./failed-stream.ts";
import {
  type InProcessCall,
  type InProcessContext,
  type InProcessOptions,
  prepareDelivery,
} from "./in-process-call.ts";
import { InProcessStream } from "./in-process-stream.ts";
import { InProcessUnary } from "./in-process-unary.ts";
import { Mailbox } from "./mailbox.ts";
import { estimateMessageBytes } from "./message-size.ts";
import { RpcMetrics } from "./rpc-metrics.ts";
import type { CallOptions, ClientStream, Transport } from "./service.ts";
import { methodName, type ServedMethod, type ServiceRegistry } from "./service-registry.ts";
import { isForeign, resultCode } from "./status.ts";

const MEBIBYTE = 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 30_000;

export interface InProcessTransportOptions {
  readonly registry: ServiceRegistry;
  readonly clock: Clock;
  readonly logger?: Logger;
  readonly metrics?: MetricsRegistry;
  /** What handlers see as the caller. Default "in-process". */
  readonly peer?: string;
  /** Encode and decode every message: shows in tests that nothing shares memory with what was sent. */
  readonly copy?: boolean;
  /** About how large a message is. Default: the sum of its bytes and texts. */
  readonly estimateBytes?: (message: Message) => number;
  /** Largest message sent or answered. Default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Bytes sent and not read by the other side before `send` returns false. Default 8 MiB. */
  readonly maxUnsentBytesPerStream?: number;
}

/**
 * Calls services of the same process. Messages arrive later, in order and as the same objects: nobody
 * may change one after it was sent. Limits, deadlines, cancellation and errors are those of gRPC.
 */
export class InProcessTransport implements Transport {
  readonly #registry: ServiceRegistry;
  readonly #calls = new Set<InProcessCall>();
  readonly #options: InProcessOptions;
  readonly #metrics: RpcMetrics | undefined;
  readonly #faults: LimitedLogger;
  #closed = false;

  constructor(options: InProcessTransportOptions) {
    const { clock } = options;
    this.#registry = options.registry;
    this.#metrics = options.metrics && new RpcMetrics(options.metrics, "served");
    this.#faults = new LimitedLogger({ logger: options.logger ?? nullLogger, clock });
    this.#options = {
      clock,
      mailbox: new Mailbox(clock),
      peer: options.peer ?? "in-process",
      copy: options.copy ?? false,
      estimateBytes: options.estimateBytes ?? estimateMessageBytes,
      maxMessageBytes: options.maxMessageBytes ?? 64 * MEBIBYTE,
      maxUnsentBytesPerStream: options.maxUnsentBytesPerStream ?? 8 * MEBIBYTE,
      onFinished: (call, context, thrown) => this.#onFinished(call, context, thrown),
    };
  }

  async unary<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    options: CallOptions,
  ): Promise<MessageShape<M["output"]>> {
    const served = this.#find(method, options);
    if (served instanceof OttlaError) throw served;
    if (served.kind !== "unary") throw new TypeError(`${served.name} is no unary method`);
    const delivery = prepareDelivery(method.input, request, "the request", this.#options);
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const call = new InProcessUnary(served, delivery, { ...options, timeoutMs }, this.#options);
    this.#started(call, served);
    return (await call.answer) as MessageShape<M["output"]>;
  }

  stream<M extends DescMethod>(
    method: M,
    options: CallOptions,
  ): ClientStream<MessageInitShape<M["input"]>, MessageShape<M["output"]>> {
    const served = this.#find(method, options);
    if (served instanceof OttlaError) return failedStream(served);
    if (served.kind === "unary") throw new TypeError(`${served.name} is a unary method`);
    const call = new InProcessStream(served, options, this.#options);
    this.#started(call, served);
    return call.caller as ClientStream<MessageInitShape<M["input"]>, MessageShape<M["output"]>>;
  }

  /** Ends what is still open: with UNAVAILABLE for its callers, with CANCELLED for its handlers. */
  close(): Promise<void> {
    this.#closed = true;
    const error = new OttlaError("UNAVAILABLE", "the transport was closed by this side");
    for (const call of this.#calls) call.abort(error);
    this.#faults.close();
    return Promise.resolve();
  }

  #find(method: DescMethod, { signal }: CallOptions): ServedMethod | OttlaError {
    if (this.#closed) return new OttlaError("UNAVAILABLE", "the transport is closed");
    if (signal?.aborted === true) return abortReason(signal);
    const name = methodName(method);
    return (
      this.#registry.find(name) ?? new OttlaError("UNIMPLEMENTED", `the server does not implement ${name}`)
    );
  }

  #started(call: InProcessCall, served: ServedMethod): void {
    this.#calls.add(call);
    this.#metrics?.method(served.name, served.kind !== "unary").started();
  }

  #onFinished(call: InProcessCall, context: InProcessContext, thrown: unknown): void {
    this.#calls.delete(call);
    const { served, startedAtMs } = context;
    this.#metrics
      ?.method(served.name, served.kind !== "unary")
      .finished(resultCode(thrown), this.#options.clock.monotonic() - startedAtMs);
    if (thrown === undefined || !isForeign(thrown)) return;
    this.#faults.error(
      served.name,
      { err: thrown, method: served.name, peer: context.peer },
      "a handler failed",
    );
  }
}
