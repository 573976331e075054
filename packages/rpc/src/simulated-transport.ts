import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { Clock, Timer } from "@ottla/runtime";
import { abortReason } from "./abort-reason.ts";
import { failedStream } from "./failed-stream.ts";
import { NOT_SENT } from "./grpc-status.ts";
import type { CallOptions, ClientStream, Transport } from "./service.ts";
import { methodName } from "./service-registry.ts";
import { SimulatedCall } from "./simulated-call.ts";
import type { SimulatedConnection, SimulatedDialer } from "./simulated-network.ts";

const MEBIBYTE = 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 30_000;

export interface SimulatedTransportOptions {
  readonly address: string;
  readonly dialer: SimulatedDialer;
  readonly clock: Clock;
  readonly maxMessageBytes?: number;
  readonly maxUnsentBytesPerStream?: number;
  readonly waitForReady?: boolean;
  readonly minReconnectDelayMs?: number;
  readonly maxReconnectDelayMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Calls one address over the simulated network, with encoded messages and with the
 * manners of the gRPC transport: it connects with the first call, waits between attempts,
 * tells what was never sent from what broke, and repeats no call.
 */
export class SimulatedTransport implements Transport {
  readonly #options: SimulatedTransportOptions;
  readonly #calls = new Set<SimulatedCall>();
  /** Calls that wait for the connection, and whether they do so over failed attempts. */
  readonly #waiting = new Map<SimulatedCall, boolean>();
  #connection: SimulatedConnection | undefined;
  #connecting = false;
  #pause: Timer | undefined;
  #pauseMs: number;
  #closed = false;

  constructor(options: SimulatedTransportOptions) {
    this.#options = options;
    this.#pauseMs = options.minReconnectDelayMs ?? 100;
  }

  async unary<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    options: CallOptions,
  ): Promise<MessageShape<M["output"]>> {
    const refusal = this.#refusal(options);
    if (refusal !== undefined) throw refusal;
    const call = this.#newCall(method, { timeoutMs: DEFAULT_TIMEOUT_MS, ...options });
    try {
      call.send(request);
    } catch (thrown) {
      call.cancel();
      throw thrown;
    }
    call.end();
    this.#begin(call, options);
    const first = await call.received.next();
    if (first.done === true) {
      throw new OttlaError("UNKNOWN_SERVER_ERROR", `${methodName(method)} ended without an answer`);
    }
    // An answer counts with the status that follows it.
    await call.received.next();
    return first.value as MessageShape<M["output"]>;
  }

  stream<M extends DescMethod>(
    method: M,
    options: CallOptions,
  ): ClientStream<MessageInitShape<M["input"]>, MessageShape<M["output"]>> {
    const refusal = this.#refusal(options);
    if (refusal !== undefined) return failedStream(refusal);
    const call = this.#newCall(method, options);
    this.#begin(call, options);
    return call as ClientStream<object, object> as ClientStream<
      MessageInitShape<M["input"]>,
      MessageShape<M["output"]>
    >;
  }

  /** Ends what is still open with UNAVAILABLE and closes the connection. */
  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    this.#pause?.cancel();
    const { address } = this.#options;
    const error = new OttlaError("UNAVAILABLE", `the connection to ${address} was closed by this side`);
    for (const call of this.#calls) call.abort(error);
    this.#connection?.close();
    return Promise.resolve();
  }

  #refusal({ signal }: CallOptions): OttlaError | undefined {
    const { address } = this.#options;
    if (this.#closed) return new OttlaError("UNAVAILABLE", `the connection to ${address} is closed`);
    return signal?.aborted === true ? abortReason(signal) : undefined;
  }

  #newCall(method: DescMethod, call: CallOptions): SimulatedCall {
    const { clock, maxMessageBytes = 64 * MEBIBYTE, metadata } = this.#options;
    const { maxUnsentBytesPerStream = 8 * MEBIBYTE } = this.#options;
    const created: SimulatedCall = new SimulatedCall(method, call, {
      clock,
      maxMessageBytes,
      maxUnsentBytesPerStream,
      metadata: new Map(Object.entries({ ...metadata, ...call.metadata })),
      onFinished: (finished) => {
        this.#calls.delete(finished);
        this.#waiting.delete(finished);
      },
    });
    this.#calls.add(created);
    return created;
  }

  #begin(call: SimulatedCall, options: CallOptions): void {
    const waits = options.waitForReady ?? this.#options.waitForReady ?? false;
    if (this.#connection !== undefined) call.start(this.#connection);
    else if (this.#pause !== undefined && !waits) call.fail(this.#unreachable());
    else {
      this.#waiting.set(call, waits);
      this.#connect();
    }
  }

  #connect(): void {
    if (this.#connecting || this.#pause !== undefined || this.#closed) return;
    this.#connecting = true;
    const { address, dialer, minReconnectDelayMs = 100 } = this.#options;
    dialer.dial(address, {
      onConnected: (connection) => {
        this.#connecting = false;
        if (this.#closed) {
          connection.close();
          return;
        }
        this.#pauseMs = minReconnectDelayMs;
        this.#connection = connection;
        for (const call of this.#waiting.keys()) call.start(connection);
        this.#waiting.clear();
      },
      onRefused: () => {
        this.#connecting = false;
        this.#onRefused();
      },
      onBroken: () => {
        this.#connection = undefined;
      },
    });
  }

  #onRefused(): void {
    if (this.#closed) return;
    const { clock, maxReconnectDelayMs = 2000 } = this.#options;
    this.#pause = clock.setTimer(this.#pauseMs, () => {
      this.#pause = undefined;
      if (this.#waiting.size > 0) this.#connect();
    });
    this.#pauseMs = Math.min(maxReconnectDelayMs, this.#pauseMs * 2);
    for (const [call, waits] of this.#waiting) if (!waits) call.fail(this.#unreachable());
  }

  #unreachable(): OttlaError {
    const { address } = this.#options;
    return new OttlaError("UNAVAILABLE", `cannot reach ${address}`, {
      metadata: { address, [NOT_SENT]: "true" },
    });
  }
}
