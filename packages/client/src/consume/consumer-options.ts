import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest } from "@ottla/errors";
import type { ReadRequestSchema, ReadResponse } from "@ottla/proto/ottla/v1/log";
import { oneOf, wholeNumber } from "../options.ts";

export type ReadInit = MessageInitShape<typeof ReadRequestSchema>;
export type { ReadResponse };

/** A consumer reached the end of a partition: everything that was visible has been handed out. */
export interface CaughtUp {
  readonly topic: string;
  readonly partition: number;
  /** The next offset: the high watermark when it was reached. */
  readonly offset: bigint;
}

export interface ConsumerOptions {
  /** Bytes fetched ahead of what has been handed out. Default 16 MiB. */
  readonly prefetchBytes?: number | undefined;
  /** Bytes in one answer of the server. Default 1 MiB, at most 8 MiB; a larger batch still comes whole. */
  readonly maxFetchBytes?: number | undefined;
  /**
   * Where to go on when the next offset is not there any more (retention, deleted records) or
   * not yet. Default "error": the iteration throws OFFSET_OUT_OF_RANGE, and `seek` decides.
   */
  readonly autoOffsetReset?: "earliest" | "latest" | "error" | undefined;
  /** Check the CRC of every batch, as Kafka's check.crcs. Default true. */
  readonly checkCrcs?: boolean | undefined;
  /**
   * Called between the last record of a partition and whatever follows, each time its end is reached anew.
   */
  readonly onCaughtUp?: ((caughtUp: CaughtUp) => void) | undefined;
}

export interface ConsumerSettings {
  readonly prefetchBytes: number;
  readonly maxFetchBytes: number;
  readonly autoOffsetReset: "earliest" | "latest" | "error";
  readonly checkCrcs: boolean;
  readonly onCaughtUp: ((caughtUp: CaughtUp) => void) | undefined;
}

const MEBIBYTE = 1024 * 1024;

export function consumerSettings(options: ConsumerOptions): ConsumerSettings {
  // Nothing would come ever of topics that only a group shares out.
  for (const name of ["topics", "topicPattern"]) {
    if (name in options) throw invalidRequest("group", `is missing: ${name} needs one; without, call assign`);
  }
  return {
    prefetchBytes: wholeNumber("prefetchBytes", options.prefetchBytes, 16 * MEBIBYTE, {
      min: 1,
      max: 4096 * MEBIBYTE,
    }),
    maxFetchBytes: wholeNumber("maxFetchBytes", options.maxFetchBytes, MEBIBYTE, {
      min: 1,
      max: 8 * MEBIBYTE,
    }),
    autoOffsetReset: oneOf("autoOffsetReset", options.autoOffsetReset, "error", [
      "earliest",
      "latest",
      "error",
    ] as const),
    checkCrcs: options.checkCrcs ?? true,
    onCaughtUp: options.onCaughtUp,
  };
}
