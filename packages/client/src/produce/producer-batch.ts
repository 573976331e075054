import type { OttlaError } from "@ottla/errors";
import { addToSequence, type BatchBuilder, decodeRecords, type RecordInput } from "@ottla/records";
import { type BatchIdentity, stampBatch } from "./batch-stamp.ts";
import type { BuilderPool } from "./builder-pool.ts";
import type { DeliveredRecord, EncodedRecord } from "./record.ts";

/** What became of a batch: tells each of its records where it is, or throws why it was not stored. */
export interface Delivery {
  /** -1n when it is not known. */
  readonly baseOffset: bigint;
  /** The batches that its records went over to when it was split: each has a delivery of its own. */
  readonly pieces: readonly ProducerBatch[];
  at(index: number, timestampMs: number): DeliveredRecord | Promise<DeliveredRecord>;
}

/** Never sent, refused at each attempt, or sent at least once without an answer that says what came of it. */
export type BatchFate = "not sent" | "refused" | "unknown";

export interface ProducerBatchOptions {
  readonly topic: string;
  readonly partition: number;
  readonly builders: BuilderPool;
  /** On the monotonic clock. */
  readonly createdAtMs: number;
}

/**
 * The records that travel together to one partition. It is open (takes records), then
 * closed, and then sent as often as it takes; `delivery` settles once for all its records.
 */
export class ProducerBatch {
  readonly topic: string;
  readonly partition: number;
  readonly createdAtMs: number;
  readonly delivery: Promise<Delivery>;
  /** What its records count in the producer's buffer. */
  accountedBytes = 0;
  /** How many records the partition's earlier batches hold: the batches' order. Set when it closes. */
  firstRecord = -1;
  /** Under which identity it was sent; undefined until it is sent, and again when the producer id changes. */
  identity: BatchIdentity | undefined = undefined;
  /** On the monotonic clock, while it is in flight. */
  sentAtMs = 0;
  /** The server may have stored it although no answer said so. */
  outcomeUnknown = false;
  /** How often it was sent. */
  attempts = 0;
  /** How many attempts were refused by a server that vouched that nothing was stored. */
  refusals = 0;
  lastError: OttlaError | undefined = undefined;
  /** Of the first of its records that is traced: the servers' spans are parts of that one. */
  traceparent: string | undefined = undefined;
  /** Whether some record was posted: nobody looks at its outcome but `flush`. */
  posted = false;
  readonly #builders: BuilderPool;
  readonly #resolve: (delivery: Delivery) => void;
  readonly #reject: (error: OttlaError) => void;
  #builder: BatchBuilder | undefined;
  #bytes: Uint8Array | undefined;
  #recordCount = 0;
  #settled = false;

  constructor(options: ProducerBatchOptions) {
    this.topic = options.topic;
    this.partition = options.partition;
    this.createdAtMs = options.createdAtMs;
    this.#builders = options.builders;
    this.#builder = options.builders.take();
    const { promise, resolve, reject } = Promise.withResolvers<Delivery>();
    this.delivery = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    // Each sender has its own promise that follows this one; where there is none, the
    // failure shows in `flush`.
    promise.catch(() => undefined);
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** What is known of it when it is given up. */
  get fate(): BatchFate {
    if (this.attempts === 0) return "not sent";
    return this.refusals === this.attempts ? "refused" : "unknown";
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** Bytes before compression while it is open, then what is sent. */
  get sizeBytes(): number {
    return this.#bytes?.length ?? this.#builder?.sizeBytes ?? 0;
  }

  hasRoomFor(record: RecordInput, batchBytes: number): boolean {
    return this.#recordCount === 0 || this.#builder?.hasRoomFor(record, batchBytes) === true;
  }

  append(record: EncodedRecord): void {
    if (this.#builder === undefined) throw new Error("a closed batch takes no records");
    this.#builder.append(record.input);
    this.traceparent ??= record.traceparent;
    this.accountedBytes += record.sizeBytes;
    this.#recordCount++;
  }

  /** The bytes to send under `identity`, encoded when first asked for. */
  encode(identity: BatchIdentity | undefined): Uint8Array {
    if (this.#bytes === undefined) {
      if (this.#builder === undefined) throw new Error("a batch without records cannot be sent");
      this.#bytes = this.#builder.build(
        identity && {
          producerId: Number(identity.producerId),
          producerEpoch: identity.producerEpoch,
          baseSequence: identity.baseSequence,
        },
      );
      this.#giveBuilderBack();
    } else if (identity !== undefined && !sameIdentity(identity, this.identity)) {
      // The transport may still hold the bytes of an earlier attempt: those are not touched.
      this.#bytes = this.#bytes.slice();
      stampBatch(this.#bytes, identity);
    }
    this.identity = identity;
    return this.#bytes;
  }

  succeed(baseOffset: bigint, logAppendTimeMs: bigint | undefined): void {
    if (this.#settled) return;
    this.#settle();
    const { topic, partition } = this;
    const appendTimeMs = logAppendTimeMs === undefined ? undefined : Number(logAppendTimeMs);
    this.#resolve({
      baseOffset,
      pieces: [],
      at: (index, timestampMs) => ({
        topic,
        partition,
        offset: baseOffset < 0n ? -1n : baseOffset + BigInt(index),
        timestampMs: appendTimeMs ?? timestampMs,
      }),
    });
  }

  fail(error: OttlaError): void {
    if (this.#settled) return;
    this.#settle();
    this.#reject(error);
  }

  /**
   * Batches of at most `limitBytes` each (before compression) with the records of this one, for a server that
   * found it too large; two halves when the limit is unknown or does not divide it. They take over its place,
   * its sequences and its records, each of which follows its own piece from then on.
   */
  split(limitBytes: number | undefined): ProducerBatch[] {
    if (this.#bytes === undefined || this.#recordCount < 2)
      throw new Error("only a sent batch of several records splits");
    let pieces = this.#divide((piece, input) => !piece.hasRoomFor(input, limitBytes ?? Infinity));
    if (pieces.length === 1) {
      for (const unused of pieces) unused.#settle();
      const half = this.#recordCount >> 1;
      pieces = this.#divide((_piece, _input, index) => index === half);
    }
    this.#handOverTo(pieces);
    return pieces;
  }

  #divide(startsNew: (piece: ProducerBatch, input: RecordInput, index: number) => boolean): ProducerBatch[] {
    const bytesPerRecord = Math.floor(this.accountedBytes / this.#recordCount);
    let piece = this.#piece(0);
    const pieces = [piece];
    let index = 0;
    for (const { timestampMs, key, value, headers } of decodeRecords(this.#bytes ?? new Uint8Array(0))) {
      const input = { timestampMs, key, value, headers };
      if (startsNew(piece, input, index)) {
        piece = this.#piece(index);
        pieces.push(piece);
      }
      piece.append({ topic: this.topic, partition: this.partition, input, sizeBytes: bytesPerRecord });
      index++;
    }
    // What rounding left over: the bytes taken from the buffer are all given back in the end.
    piece.accountedBytes += this.accountedBytes - bytesPerRecord * this.#recordCount;
    return pieces;
  }

  /** An empty batch for the records from `firstIndex` on. */
  #piece(firstIndex: number): ProducerBatch {
    const piece = new ProducerBatch({
      topic: this.topic,
      partition: this.partition,
      builders: this.#builders,
      createdAtMs: this.createdAtMs,
    });
    piece.firstRecord = this.firstRecord + firstIndex;
    piece.outcomeUnknown = this.outcomeUnknown;
    piece.attempts = this.attempts;
    piece.refusals = this.refusals;
    piece.posted = this.posted;
    if (this.identity !== undefined) {
      const baseSequence = addToSequence(this.identity.baseSequence, firstIndex);
      piece.identity = { ...this.identity, baseSequence };
    }
    return piece;
  }

  #handOverTo(pieces: readonly ProducerBatch[]): void {
    this.#settle();
    this.#resolve({
      baseOffset: -1n,
      pieces,
      at: (index, timestampMs) => {
        const record = this.firstRecord + index;
        const piece = pieces.findLast(({ firstRecord }) => firstRecord <= record);
        if (piece === undefined) throw new Error(`record ${index} of a split batch is in none of its pieces`);
        return piece.delivery.then((delivery) => delivery.at(record - piece.firstRecord, timestampMs));
      },
    });
  }

  #settle(): void {
    this.#settled = true;
    this.#giveBuilderBack();
    this.#bytes = undefined;
  }

  #giveBuilderBack(): void {
    if (this.#builder !== undefined) this.#builders.give(this.#builder);
    this.#builder = undefined;
  }
}

function sameIdentity(a: BatchIdentity, b: BatchIdentity | undefined): boolean {
  return (
    b !== undefined &&
    a.producerId === b.producerId &&
    a.producerEpoch === b.producerEpoch &&
    a.baseSequence === b.baseSequence
  );
}
