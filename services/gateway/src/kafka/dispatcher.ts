import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  type FrameReader,
  FrameWriter,
  hasFlexibleResponseHeader,
  malformed,
  type RequestHeader,
  readClientId,
  writeResponseHeader,
} from "@ottla/kafka-protocol";
import type { Clock, Span, Tracer } from "@ottla/runtime";
import { API_VERSIONS_KEY, answerUnknownApiVersions } from "./18-api-versions.ts";
import type { AnyKafkaHandler, KafkaConnectionState, KafkaRequestContext } from "./handler.ts";
import { CloseConnection, type KafkaFailures } from "./kafka-failures.ts";
import type { KafkaMetrics } from "./kafka-metrics.ts";

/** A request that has been understood as far as its header, ready to begin. */
export interface PreparedRequest {
  readonly pipelined: boolean;
  /**
   * Serves the request: the frame of the answer in pieces, or undefined where the
   * protocol wants none. Rejects when the connection must be closed.
   */
  run(): Promise<readonly Uint8Array[] | undefined>;
  /** To be called once, when the answer has left or never will. */
  onSent(isTaken: boolean): void;
}

interface RequestOrigin {
  readonly peer: string;
  readonly connection: KafkaConnectionState;
  readonly signal: AbortSignal;
  readonly hurry: AbortSignal;
}

export interface KafkaDispatcherOptions {
  readonly handlers: readonly AnyKafkaHandler[];
  readonly metrics: KafkaMetrics;
  readonly failures: KafkaFailures;
  readonly clock: Clock;
  readonly tracer?: Tracer | undefined;
}

/** Finds the handler of a request by its number and version, decodes, serves and encodes. */
export class KafkaDispatcher {
  readonly #handlers = new Map<number, AnyKafkaHandler>();
  readonly #options: KafkaDispatcherOptions;

  constructor(options: KafkaDispatcherOptions) {
    this.#options = options;
    for (const handler of options.handlers) this.#handlers.set(handler.api.key, handler);
  }

  /** Throws when the request cannot be served at all: Kafka's answer is to close the connection. */
  prepare(header: RequestHeader, reader: FrameReader, origin: RequestOrigin): PreparedRequest {
    const handler = this.#handlers.get(header.apiKey);
    if (handler === undefined) throw malformed(`API key ${header.apiKey} is not served`);
    const { min, max } = handler.versions;
    if (header.apiVersion < min || header.apiVersion > max) {
      if (header.apiKey === API_VERSIONS_KEY) return unknownApiVersions(header, this.#handlers.values());
      throw new OttlaError(
        "UNSUPPORTED_VERSION",
        `${handler.api.name} version ${header.apiVersion} is not served (${min} to ${max} are)`,
      );
    }
    const clientId = readClientId(reader, handler.api.isFlexible(header.apiVersion));
    const callbacks: ((isTaken: boolean) => void)[] = [];
    const { peer, connection, signal, hurry } = origin;
    const context: KafkaRequestContext = {
      apiVersion: header.apiVersion,
      clientId,
      peer,
      connection,
      signal,
      hurry,
      afterSent: (callback) => void callbacks.push(callback),
    };
    return {
      pipelined: handler.pipelined ?? false,
      run: () => this.#serve(handler, header, reader, context),
      onSent: (isTaken) => {
        for (const callback of callbacks) callback(isTaken);
      },
    };
  }

  async #serve(
    handler: AnyKafkaHandler,
    header: RequestHeader,
    reader: FrameReader,
    context: KafkaRequestContext,
  ): Promise<readonly Uint8Array[] | undefined> {
    const { clock, metrics } = this.#options;
    const { api } = handler;
    const startedMs = clock.monotonic();
    const request = api.decodeRequest(reader, header.apiVersion);
    const span = this.#startSpan(api.name, header.apiVersion, context);
    let failure: string | undefined;
    try {
      const asked = span === undefined ? context : { ...context, span };
      const response = await this.#answer(handler, request, asked);
      if (response === undefined) return undefined;
      return encodeAnswer(header.correlationId, hasFlexibleResponseHeader(api, header.apiVersion), (writer) =>
        api.encodeResponse(writer, header.apiVersion, response),
      );
    } catch (thrown) {
      failure = toOttlaError(thrown).code;
      throw thrown;
    } finally {
      metrics.observe(api.name, clock.monotonic() - startedMs);
      span?.end(failure);
    }
  }

  /** Kafka's protocol carries no trace of its own: a share of the requests begins one. */
  #startSpan(api: string, apiVersion: number, { clientId, peer }: KafkaRequestContext): Span | undefined {
    return this.#options.tracer?.serve(api, undefined, {
      "messaging.system": "kafka",
      "messaging.operation.name": api,
      "messaging.client.id": clientId ?? "",
      "messaging.kafka.api.version": apiVersion,
      "client.address": peer,
    });
  }

  /** Handlers answer what concerns one item themselves; what they throw concerns the whole request. */
  async #answer(
    handler: AnyKafkaHandler,
    request: Parameters<AnyKafkaHandler["handle"]>[0],
    context: KafkaRequestContext,
  ): ReturnType<AnyKafkaHandler["handle"]> {
    try {
      return await handler.handle(request, context);
    } catch (thrown) {
      if (thrown instanceof CloseConnection) throw thrown.reason;
      const error = toOttlaError(thrown);
      context.span?.set({ "error.type": error.code });
      if (context.signal.aborted) throw error;
      const failure = this.#options.failures.of(thrown, handler.api.name);
      const answer = handler.failure(request, failure, context);
      if (answer === undefined) throw error;
      return answer;
    }
  }
}

/**
 * KIP-511: a version of ApiVersions that we do not know is answered in the oldest form with what we do serve.
 */
function unknownApiVersions(header: RequestHeader, handlers: Iterable<AnyKafkaHandler>): PreparedRequest {
  return {
    pipelined: false,
    run: async () =>
      encodeAnswer(header.correlationId, false, (writer) => answerUnknownApiVersions(writer, [...handlers])),
    onSent: () => undefined,
  };
}

const LENGTH_BYTES = 4;

/** The frame of an answer: its length, its header, and what `encode` writes. */
function encodeAnswer(
  correlationId: number,
  flexibleHeader: boolean,
  encode: (writer: FrameWriter) => void,
): Uint8Array[] {
  const writer = new FrameWriter();
  // The length is known at the end; in one piece with what follows, a small answer is one plain write.
  writer.int32(0);
  writeResponseHeader(writer, correlationId, flexibleHeader);
  encode(writer);
  const { sizeBytes } = writer;
  const pieces = writer.finish();
  const [first] = pieces;
  if (first !== undefined) new DataView(first.buffer, first.byteOffset).setInt32(0, sizeBytes - LENGTH_BYTES);
  return pieces;
}
