import { type OttlaError, toOttlaError } from "@ottla/errors";
import { addToSequence, type BatchBuilder, decodeRecords, type RecordInput } from "@ottla/records";
import { type BatchIdentity, stampBatch } from "./batch-stamp.ts";
import type { BuilderPool } from "./builder-pool.ts";
import type { DeliveredRecord, EncodedRecord } from "./record.ts";

/** What became of a batch: tells each of its records where it is, or throws why it was not stored. */
export interface Delivery {
  readonly baseOffset: bigint;
  /** Set when the batch was split and a part of it failed. */
  readonly failure: OttlaError | undefined;
  at(index: number, timestampMs: number): DeliveredRecord;
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
      failure: undefined,
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
   * Two batches with the records of this one, for a server that found it too large. They
   * take over its place and its sequences; its own delivery settles with theirs.
   */
  split(): [ProducerBatch, ProducerBatch] {
    if (this.#bytes === undefined || this.#recordCount < 2)
      throw new Error("only a sent batch of several records splits");
    const firstCount = this.#recordCount >> 1;
    const halves: [ProducerBatch, ProducerBatch] = [this.#emptyTwin(), this.#emptyTwin()];
    const bytesPerRecord = Math.floor(this.accountedBytes / this.#recordCount);
    let index = 0;
    for (const { timestampMs, key, value, headers } of decodeRecords(this.#bytes)) {
      const half = index < firstCount ? halves[0] : halves[1];
      half.append({
        topic: this.topic,
        partition: this.partition,
        input: { timestampMs, key, value, headers },
        sizeBytes: bytesPerRecord,
      });
      index++;
    }
    const [first, second] = halves;
    second.firstRecord = this.firstRecord + firstCount;
    if (this.identity !== undefined) {
      first.identity = this.identity;
      second.identity = {
        ...this.identity,
        baseSequence: addToSequence(this.identity.baseSequence, firstCount),
      };
    }
    // What rounding left over: the bytes taken from the buffer are all given back in the end.
    second.accountedBytes += this.accountedBytes - bytesPerRecord * this.#recordCount;
    this.#followHalves(halves, firstCount);
    return halves;
  }

  #emptyTwin(): ProducerBatch {
    const twin = new ProducerBatch({
      topic: this.topic,
      partition: this.partition,
      builders: this.#builders,
      createdAtMs: this.createdAtMs,
    });
    twin.firstRecord = this.firstRecord;
    twin.outcomeUnknown = this.outcomeUnknown;
    twin.attempts = this.attempts;
    twin.refusals = this.refusals;
    twin.posted = this.posted;
    return twin;
  }

  #followHalves(halves: [ProducerBatch, ProducerBatch], firstCount: number): void {
    this.#settle();
    const resolve = this.#resolve;
    void Promise.allSettled([halves[0].delivery, halves[1].delivery]).then(([first, second]) => {
      const rejected = first.status === "rejected" ? first : second;
      resolve({
        baseOffset: first.status === "fulfilled" ? first.value.baseOffset : -1n,
        failure: rejected.status === "rejected" ? toOttlaError(rejected.reason) : failureOf(rejected),
        at: (index, timestampMs) => {
          const outcome = index < firstCount ? first : second;
          if (outcome.status === "rejected") throw toOttlaError(outcome.reason);
          return outcome.value.at(index < firstCount ? index : index - firstCount, timestampMs);
        },
      });
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

function failureOf(outcome: PromiseFulfilledResult<Delivery>): OttlaError | undefined {
  return outcome.value.failure;
}

function sameIdentity(a: BatchIdentity, b: BatchIdentity | undefined): boolean {
  return (
    b !== undefined &&
    a.producerId === b.producerId &&
    a.producerEpoch === b.producerEpoch &&
    a.baseSequence === b.baseSequence
  );
}
