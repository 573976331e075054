import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError, toOttlaError } from "@ottla/errors";
import type { ProduceRequestSchema, ProduceResponse } from "@ottla/proto/ottla/v1/log";
import type { ClientStream } from "@ottla/rpc";
import type { Clock, Random, Timer } from "@ottla/runtime";
import { Backoff } from "../backoff.ts";

export type ProduceInit = MessageInitShape<typeof ProduceRequestSchema>;
export type ProduceStream = ClientStream<ProduceInit, ProduceResponse>;

export interface ProduceConnectionOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly open: () => ProduceStream;
  readonly onAnswer: (answer: ProduceResponse) => void;
  /** Everything in flight is unanswered and will stay so. */
  readonly onLost: (error: OttlaError) => void;
  /** There is room to send again, or a new attempt to connect may be made. */
  readonly onWritable: () => void;
}

/**
 * The one stream a producer sends on. Opened when there is something to send, opened anew
 * after it broke, with growing pauses between attempts until an answer came.
 */
export class ProduceConnection {
  readonly #options: ProduceConnectionOptions;
  readonly #backoff: Backoff;
  #stream: ProduceStream | undefined;
  #blocked = false;
  #pause: Timer | undefined;
  #closed = false;

  constructor(options: ProduceConnectionOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ firstDelayMs: 50, maxDelayMs: 1000, random: options.random });
  }

  get writable(): boolean {
    return !this.#blocked && this.#pause === undefined && !this.#closed;
  }

  /** Sends when `writable`. */
  send(request: ProduceInit): void {
    const stream = this.#stream ?? this.#open();
    if (stream.send(request)) return;
    this.#blocked = true;
    // A failure of the stream shows where its answers are read.
    stream.drained().then(
      () => this.#unblock(stream),
      () => undefined,
    );
  }

  /** Gives up on a stream that no longer answers. */
  reset(): void {
    this.#stream?.cancel();
  }

  close(): void {
    this.#closed = true;
    this.#pause?.cancel();
    this.#stream?.end();
  }

  /** As `close`, but without waiting for answers. */
  abandon(): void {
    this.close();
    this.#stream?.cancel();
  }

  #open(): ProduceStream {
    const stream = this.#options.open();
    this.#stream = stream;
    void this.#read(stream);
    return stream;
  }

  async #read(stream: ProduceStream): Promise<void> {
    try {
      for await (const answer of stream.received) {
        this.#backoff.reset();
        this.#options.onAnswer(answer);
      }
      this.#lost(stream, new OttlaError("NETWORK_EXCEPTION", "the server ended the produce stream"));
    } catch (thrown) {
      this.#lost(stream, toOttlaError(thrown));
    }
  }

  #lost(stream: ProduceStream, error: OttlaError): void {
    if (this.#stream !== stream) return;
    stream.cancel();
    this.#stream = undefined;
    this.#blocked = false;
    if (this.#closed) {
      this.#options.onLost(error);
      return;
    }
    this.#pause = this.#options.clock.setTimer(this.#backoff.nextDelayMs(), () => {
      this.#pause = undefined;
      this.#options.onWritable();
    });
    this.#options.onLost(error);
  }

  #unblock(stream: ProduceStream): void {
    if (this.#stream !== stream) return;
    this.#blocked = false;
    this.#options.onWritable();
  }
}
