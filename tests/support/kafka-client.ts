import type { Api, Decoded, Encodable, Fields } from "@ottla/kafka-protocol";
import {
  FrameReader,
  FrameWriter,
  hasFlexibleResponseHeader,
  readResponseHeader,
  writeRequestHeader,
} from "@ottla/kafka-protocol";
import { type Connection, NodeNetwork } from "@ottla/runtime";

interface Expected {
  readonly correlationId: number;
  readonly resolve: (frame: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/** What a decoder of an API's answer gives. */
export type Answer<A> = A extends Api<Fields, infer S> ? Decoded<S> : never;

/**
 * One connection of a Kafka client that does nothing by itself: it sends what a test says
 * and gives what comes back.
 */
export class KafkaTestClient {
  readonly #connection: Connection;
  /** What the client calls itself. */
  clientId = "test";
  #received = Buffer.alloc(0);
  #nextCorrelationId = 1;
  #expected: Expected[] = [];
  #isClosed = false;
  #onClosed: (() => void)[] = [];

  private constructor(connection: Connection) {
    this.#connection = connection;
    connection.start({
      onData: (chunk) => this.#onData(chunk),
      onDrain: () => undefined,
      onEnd: () => connection.end(),
      onClose: () => this.#onClose(),
    });
  }

  /** `preamble`: bytes that go before the first request, such as a proxy sends. */
  static async connect(
    port: number,
    host = "127.0.0.1",
    preamble: Uint8Array = new Uint8Array(),
  ): Promise<KafkaTestClient> {
    const connection = await new NodeNetwork().connect({ host, port });
    if (preamble.length > 0) connection.write([preamble]);
    return new KafkaTestClient(connection);
  }

  /** Sends one request; the answers come in the order of the requests. */
  async call<Q extends Fields, S extends Fields>(
    api: Api<Q, S>,
    version: number,
    request: Encodable<Q>,
  ): Promise<Decoded<S>> {
    const frame = await this.callRaw(api, version, request);
    const reader = new FrameReader(frame);
    readResponseHeader(reader, hasFlexibleResponseHeader(api, version));
    const response = api.decodeResponse(reader, version);
    if (reader.remaining !== 0) throw new Error(`${reader.remaining} bytes are left after the answer`);
    return response;
  }

  /** The answer as it came, its header among it. */
  callRaw<Q extends Fields, S extends Fields>(
    api: Api<Q, S>,
    version: number,
    request: Encodable<Q>,
  ): Promise<Uint8Array> {
    const correlationId = this.#nextCorrelationId++;
    const answer = this.#expect(correlationId);
    this.sendFrame(encodeRequest(api, version, request, correlationId, this.clientId));
    return answer;
  }

  /** Sends a request that has no answer. */
  send<Q extends Fields, S extends Fields>(api: Api<Q, S>, version: number, request: Encodable<Q>): void {
    this.sendFrame(encodeRequest(api, version, request, this.#nextCorrelationId++));
  }

  sendFrame(frame: Uint8Array): void {
    const length = Buffer.alloc(4);
    length.writeInt32BE(frame.byteLength);
    this.sendBytes([length, frame]);
  }

  sendBytes(pieces: readonly Uint8Array[]): void {
    this.#connection.write(pieces);
  }

  /** Stops taking what the server sends. */
  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  end(): void {
    this.#connection.end();
  }

  close(): void {
    this.#connection.destroy();
  }

  /** Resolves when the connection is over, whoever ended it. */
  untilClosed(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#onClosed.push(resolve));
  }

  /** Sends a frame that a test has made itself and gives the answer to its correlation id. */
  callFrame(frame: Buffer): Promise<Uint8Array> {
    const answer = this.#expect(frame.readInt32BE(4));
    this.sendFrame(frame);
    return answer;
  }

  #expect(correlationId: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) reject(new Error("the connection is closed"));
      else this.#expected.push({ correlationId, resolve, reject });
    });
  }

  #onData(chunk: Uint8Array): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.byteLength >= 4) {
      const end = 4 + this.#received.readInt32BE(0);
      if (this.#received.byteLength < end) return;
      const frame = this.#received.subarray(4, end);
      this.#received = this.#received.subarray(end);
      const expected = this.#expected.shift();
      const correlationId = frame.readInt32BE(0);
      if (expected === undefined) continue;
      if (expected.correlationId === correlationId) expected.resolve(frame);
      else expected.reject(new Error(`answer to ${correlationId}, expected ${expected.correlationId}`));
    }
  }

  #onClose(): void {
    this.#isClosed = true;
    const error = new Error("the server closed the connection");
    for (const { reject } of this.#expected.splice(0)) reject(error);
    for (const resolve of this.#onClosed.splice(0)) resolve();
  }
}

/** The frame of a request, without its length. */
export function encodeRequest<Q extends Fields, S extends Fields>(
  api: Api<Q, S>,
  version: number,
  request: Encodable<Q>,
  correlationId: number,
  clientId = "test",
): Buffer {
  const writer = new FrameWriter();
  const header = { apiKey: api.key, apiVersion: version, correlationId, clientId };
  writeRequestHeader(writer, header, api.isFlexible(version));
  api.encodeRequest(writer, version, request);
  return Buffer.concat(writer.finish());
}
