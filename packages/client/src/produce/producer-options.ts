import { OttlaError } from "@ottla/errors";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { COMPRESSIONS, type Compression } from "@ottla/records";
import { oneOf, wholeNumber } from "../options.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

/**
 * When a batch counts as delivered: on all in-sync replicas, on the leader, or once it
 * was handed to the network.
 */
export type AcksName = "all" | "leader" | "none";

/** What became of a batch, for figures and logs. */
export interface BatchOutcome {
  readonly topic: string;
  readonly partition: number;
  readonly recordCount: number;
  /** Keys, values and headers of its records. */
  readonly sizeBytes: number;
  /** From the first record's arrival in the batch to the answer. */
  readonly latencyMs: number;
  /** -1n when the batch failed or its place is not known. */
  readonly baseOffset: bigint;
  readonly error: OttlaError | undefined;
}

export interface ProducerOptions {
  /** Default "all". Anything less turns idempotence off. */
  readonly acks?: AcksName | undefined;
  /** How long a batch waits for more records. Default 5 ms, as Kafka's since 4.0. */
  readonly lingerMs?: number | undefined;
  /**
   * A batch closes at this size, before compression. Default 512 KiB; the server's limit
   * is the topic's max.message.bytes.
   */
  readonly batchBytes?: number | undefined;
  /** Default "none". */
  readonly compression?: Compression | undefined;
  /** Records buffered and in flight; `send` waits while it is full. Default 64 MiB. */
  readonly bufferBytes?: number | undefined;
  /** Retried batches are stored once and in order. Default true with `acks: "all"`. */
  readonly idempotent?: boolean | undefined;
  /**
   * How long a record may take from its batch's start to its acknowledgement, retries
   * included. Default 120 s.
   */
  readonly deliveryTimeoutMs?: number | undefined;
  /** A connection that leaves a batch unanswered this long is replaced. Default 30 s. */
  readonly requestTimeoutMs?: number | undefined;
  /** Unanswered batches for each partition, 1 to 5. Default 5: what a server remembers of a producer. */
  readonly maxInFlightPerPartition?: number | undefined;
  /** How long the first `send` to a topic looks for a server that answers. Default 60 s. */
  readonly metadataTimeoutMs?: number | undefined;
  /** Partition counts are asked for again after this long. Default 5 minutes. */
  readonly metadataMaxAgeMs?: number | undefined;
  /** Called once for each batch, after its records' promises are settled. Must not throw. */
  readonly onBatch?: ((outcome: BatchOutcome) => void) | undefined;
}

export interface ProducerSettings {
  readonly acks: Acks;
  readonly lingerMs: number;
  readonly batchBytes: number;
  readonly compression: Compression;
  readonly bufferBytes: number;
  readonly idempotent: boolean;
  readonly deliveryTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly maxInFlight: number;
  readonly metadataTimeoutMs: number;
  readonly metadataMaxAgeMs: number;
  readonly onBatch: ((outcome: BatchOutcome) => void) | undefined;
}

const ACKS: Readonly<Record<AcksName, Acks>> = {
  all: Acks.ALL,
  leader: Acks.LEADER,
  none: Acks.NONE,
};

/** Fills in defaults and refuses what is out of bounds, by name. */
export function producerSettings(options: ProducerOptions): ProducerSettings {
  const acks = oneOf("acks", options.acks, "all", ["all", "leader", "none"] as const);
  const idempotent = options.idempotent ?? acks === "all";
  if (idempotent && acks !== "all") {
    throw new OttlaError("INVALID_REQUEST", `idempotent needs acks "all", not "${acks}"`, {
      metadata: { field: "idempotent", acks },
    });
  }
  return {
    acks: ACKS[acks],
    idempotent,
    lingerMs: wholeNumber("lingerMs", options.lingerMs, 5, { min: 0, max: 60_000 }),
    batchBytes: wholeNumber("batchBytes", options.batchBytes, 512 * KIBIBYTE, { min: 1, max: 32 * MEBIBYTE }),
    compression: oneOf("compression", options.compression, "none", COMPRESSIONS),
    bufferBytes: wholeNumber("bufferBytes", options.bufferBytes, 64 * MEBIBYTE, {
      min: 64 * KIBIBYTE,
      max: 4096 * MEBIBYTE,
    }),
    deliveryTimeoutMs: wholeNumber("deliveryTimeoutMs", options.deliveryTimeoutMs, 120_000, {
      min: 1,
      max: 86_400_000,
    }),
    requestTimeoutMs: wholeNumber("requestTimeoutMs", options.requestTimeoutMs, 30_000, {
      min: 1,
      max: 86_400_000,
    }),
    maxInFlight: wholeNumber("maxInFlightPerPartition", options.maxInFlightPerPartition, 5, {
      min: 1,
      max: 5,
    }),
    metadataTimeoutMs: wholeNumber("metadataTimeoutMs", options.metadataTimeoutMs, 60_000, {
      min: 0,
      max: 86_400_000,
    }),
    metadataMaxAgeMs: wholeNumber("metadataMaxAgeMs", options.metadataMaxAgeMs, 300_000, {
      min: 100,
      max: 86_400_000,
    }),
    onBatch: options.onBatch,
  };
}
