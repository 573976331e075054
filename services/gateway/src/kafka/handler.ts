import type { Api, Decoded, Encodable, Fields } from "@ottla/kafka-protocol";
import type { Span } from "@ottla/runtime";
import type { KafkaFailure } from "./kafka-failures.ts";

/** What a handler knows about the connection and the request that it answers. */
export interface KafkaRequestContext {
  readonly apiVersion: number;
  readonly clientId: string | null;
  /** The peer's address and port. */
  readonly peer: string;
  /** The connection's own state, for fetch sessions and the address that the client used. */
  readonly connection: KafkaConnectionState;
  /** Aborts when the connection is gone. */
  readonly signal: AbortSignal;
  /** The request's span, if it is traced. */
  readonly span?: Span | undefined;
  /**
   * Aborts when an answer should come now rather than later: the client sends no more, or the gateway stops.
   */
  readonly hurry: AbortSignal;
  /**
   * Runs the callback when the client has taken the answer, or never will. `isTaken` says
   * that the last byte of it has left the process.
   */
  afterSent(callback: (isTaken: boolean) => void): void;
}

/** What lives as long as one connection. */
export interface KafkaConnectionState {
  /** A number of its own, for logs. */
  readonly id: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Values that handlers keep for the connection, each under its own symbol. */
  readonly attachments: Map<symbol, unknown>;
  /** Runs the callback when the connection is over. */
  onClosed(callback: () => void): void;
}

/** How the gateway serves one Kafka API: one file an API, named with its number. */
export interface KafkaHandler<Q extends Fields = Fields, S extends Fields = Fields> {
  readonly api: Api<Q, S>;
  /** The versions served. */
  readonly versions: { readonly min: number; readonly max: number };
  /** The lowest version that ApiVersions tells, where it is below what is served. */
  readonly advertisedMin?: number;
  /**
   * The next request of the connection may begin before this one is answered. Answers keep their
   * order all the same. Off, a request begins when all before it are answered, as in Kafka.
   */
  readonly pipelined?: boolean;
  /** Resolves with the answer, or with undefined when the protocol wants none (Produce with acks=0). */
  handle(request: Decoded<Q>, context: KafkaRequestContext): Promise<Encodable<S> | undefined>;
  /**
   * The answer when the request as a whole fails, in the place where this API carries
   * errors; undefined closes the connection instead.
   */
  failure(request: Decoded<Q>, failure: KafkaFailure, context: KafkaRequestContext): Encodable<S> | undefined;
}

/** A handler whose types are forgotten, as the dispatcher keeps it. */
export type AnyKafkaHandler = KafkaHandler;

/** Declares a handler with the types of its API. */
export function kafkaHandler<Q extends Fields, S extends Fields>(
  handler: KafkaHandler<Q, S>,
): AnyKafkaHandler {
  // The dispatcher pairs each handler with its own API's codec, so a handler never sees
  // another API's message.
  return handler;
}
