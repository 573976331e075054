import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest } from "@ottla/errors";
import type { ReadPositionSchema } from "@ottla/proto/ottla/v1/log";

/** Where to start: an offset, an end of the log, or the first record at or after a time. */
export type StartOffset = bigint | number | "earliest" | "latest" | { readonly timestampMs: number };

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A partition, or all partitions of a topic. */
export interface AssignmentInput {
  readonly topic: string;
  /** Absent: every partition that the topic has now. */
  readonly partition?: number | undefined;
  /** Default "latest": what arrives from now on. */
  readonly offset?: StartOffset | undefined;
}

type Place =
  | { readonly case: "offset"; readonly value: bigint }
  | { readonly case: "timestampMs"; readonly value: bigint }
  | { readonly case: "earliest"; readonly value: true }
  | { readonly case: "latest"; readonly value: true };

/** One partition of a consumer: where it reads, what has been handed out, and whether it rests. */
export class AssignedPartition {
  readonly topic: string;
  readonly partition: number;
  paused = false;
  /** It failed and is not read until somebody seeks. */
  stopped = false;
  /** Everything that was visible has been handed out. */
  caughtUp = false;
  /** Changes with each seek and pause: chunks fetched before are not handed out any more. */
  version = 0;
  #fetchFrom: Place;
  #position: bigint | undefined;

  constructor(topic: string, partition: number, start: StartOffset) {
    this.topic = topic;
    this.partition = partition;
    this.#fetchFrom = placeOf(start);
    this.#position = this.#fetchFrom.case === "offset" ? this.#fetchFrom.value : undefined;
  }

  get active(): boolean {
    return !this.paused && !this.stopped;
  }

  /** The next offset to be handed out; undefined until the server has said where the start is. */
  get position(): bigint | undefined {
    return this.#position;
  }

  /** A time that has to be turned into an offset before reading: the server's batches may begin before it. */
  get unresolvedTimestampMs(): number | undefined {
    return this.#fetchFrom.case === "timestampMs" ? Number(this.#fetchFrom.value) : undefined;
  }

  /** For `Read`: where fetching goes on. */
  readPosition(): MessageInitShape<typeof ReadPositionSchema> {
    return { topic: this.topic, partition: this.partition, start: this.#fetchFrom };
  }

  /** The offset below which records are skipped: a batch may begin before what was asked for. */
  get skipBelow(): number {
    return this.#fetchFrom.case === "offset" ? Number(this.#fetchFrom.value) : 0;
  }

  fetched(nextOffset: bigint): void {
    this.#fetchFrom = { case: "offset", value: nextOffset };
  }

  /** Goes on elsewhere; what was fetched before is still handed out. */
  fetchFrom(start: StartOffset): void {
    this.#fetchFrom = placeOf(start);
  }

  handedOut(nextOffset: bigint): void {
    this.#position = nextOffset;
  }

  seek(start: StartOffset): void {
    this.#fetchFrom = placeOf(start);
    this.#position = this.#fetchFrom.case === "offset" ? this.#fetchFrom.value : undefined;
    this.#moved();
  }

  /** Gives up what was fetched and not handed out: it is fetched again when the partition is read again. */
  rewind(): void {
    if (this.#position !== undefined) this.#fetchFrom = { case: "offset", value: this.#position };
    this.#moved();
  }

  #moved(): void {
    this.version++;
    this.stopped = false;
    this.caughtUp = false;
  }
}

function placeOf(start: StartOffset): Place {
  if (start === "earliest") return { case: "earliest", value: true };
  if (start === "latest") return { case: "latest", value: true };
  if (typeof start === "object") {
    const { timestampMs } = start;
    if (!Number.isSafeInteger(timestampMs) || timestampMs < 0) {
      throw invalidRequest("timestampMs", `must be milliseconds since 1970, not ${String(timestampMs)}`);
    }
    return { case: "timestampMs", value: BigInt(timestampMs) };
  }
  if (typeof start === "number" && !Number.isSafeInteger(start)) {
    throw invalidRequest("offset", `must be a whole number from 0, not ${String(start)}`);
  }
  const value = BigInt(start);
  if (value < 0n) throw invalidRequest("offset", `must be a whole number from 0, not ${value}`);
  return { case: "offset", value };
}
