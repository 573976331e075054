import type { DescMethod, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { InProcessCall, type InProcessCallOptions } from "./in-process-call.ts";
import { Mailbox } from "./mailbox.ts";
import { estimateMessageBytes } from "./message-size.ts";
import type { RpcLogger } from "./rpc-logger.ts";
import type { CallOptions, ClientStream, Transport } from "./service.ts";
import { methodName, type ServiceRegistry } from "./service-registry.ts";
import { isForeign } from "./status.ts";

const MEBIBYTE = 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 30_000;

export interface InProcessTransportOptions {
  readonly registry: ServiceRegistry;
  readonly clock: Clock;
  readonly logger?: RpcLogger;
  /** What handlers see as the caller. Default "in-process". */
  readonly peer?: string;
  /** Encode and decode every message, as a test that nothing shares memory or relies on what encoding drops. */
  readonly copy?: boolean;
  /** About how large a message is. Default: the sum of its bytes and texts. */
  readonly estimateBytes?: (message: Message) => number;
  readonly maxMessageBytes?: number;
  readonly maxUnsentBytesPerStream?: number;
}

/**
 * Calls services of the same process. Messages are delivered later, in order and as they are: nobody may change one
 * after it was sent. Limits, deadlines, cancellation and errors are those of gRPC.
 */
export class InProcessTransport implements Transport {
  readonly #registry: ServiceRegistry;
  readonly #calls = new Set<InProcessCall>();
  readonly #callOptions: InProcessCallOptions;
  #closed = false;

  constructor(options: InProcessTransportOptions) {
    this.#registry = options.registry;
    this.#callOptions = {
      clock: options.clock,
      mailbox: new Mailbox(options.clock),
      peer: options.peer ?? "in-process",
      copy: options.copy ?? false,
      estimateBytes: options.estimateBytes ?? estimateMessageBytes,
      maxMessageBytes: options.maxMessageBytes ?? 64 * MEBIBYTE,
      maxUnsentBytesPerStream: options.maxUnsentBytesPerStream ?? 8 * MEBIBYTE,
      onFinished: (call, _error, thrown) => {
        this.#calls.delete(call);
        if (thrown !== undefined && isForeign(thrown)) {
          options.logger?.error({ err: thrown, method: call.method, peer: call.peer }, "a handler failed");
        }
      },
    };
  }

  async unary<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    options: CallOptions,
  ): Promise<MessageShape<M["output"]>> {
    const stream = this.stream(method, { ...options, timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS });
    try {
      stream.send(request);
    } catch (error) {
      stream.cancel();
      throw error;
    }
    stream.end();
    const answers = stream.received[Symbol.asyncIterator]();
    const answer = await answers.next();
    // The end of the call comes after its answer, and decides.
    if (answer.done !== true) await answers.next();
    if (answer.done !== true) return answer.value;
    throw new OttlaError("UNKNOWN_SERVER_ERROR", `${methodName(method)} ended without an answer`);
  }

  stream<M extends DescMethod>(
    method: M,
    options: CallOptions,
  ): ClientStream<MessageInitShape<M["input"]>, MessageShape<M["output"]>> {
    if (this.#closed) throw new OttlaError("UNAVAILABLE", "the transport is closed");
    const served = this.#registry.find(methodName(method));
    if (served === undefined) {
      throw new OttlaError("UNIMPLEMENTED", `${methodName(method)} is not served here`);
    }
    const call = new InProcessCall(served, options, this.#callOptions);
    this.#calls.add(call);
    call.start();
    return call.client as ClientStream<MessageInitShape<M["input"]>, MessageShape<M["output"]>>;
  }

  /** Ends what is still open with UNAVAILABLE. */
  close(): Promise<void> {
    this.#closed = true;
    const error = new OttlaError("UNAVAILABLE", "the transport was closed by this side");
    for (const call of [...this.#calls]) call.abort(error);
    return Promise.resolve();
  }
}
