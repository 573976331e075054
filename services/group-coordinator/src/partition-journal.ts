import { OttlaError, toOttlaError } from "@ottla/errors";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { BatchBuilder } from "@ottla/records";
import { OUTCOME_UNKNOWN, type PartitionRouter } from "@ottla/routing";
import type { Clock } from "@ottla/runtime";
import type { GroupJournal } from "./group-journal.ts";
import { type EncodedRecord, encodeGroupRecord, type GroupRecord } from "./group-record.ts";
import type { GroupMutants } from "./mutants.ts";

export interface PartitionJournalOptions {
  readonly router: PartitionRouter;
  readonly clock: Clock;
  readonly topicId: string;
  readonly partition: number;
  /** Of this owner and this loading of its groups: a later one fences what is still under way (R13). */
  readonly ownerEpoch: number;
  readonly mutants: GroupMutants;
  /** An append failed, or nobody knows: the groups have to be read anew. Called once. */
  readonly onFailed: (error: OttlaError) => void;
}

interface Waiting {
  readonly records: readonly EncodedRecord[];
  readonly sizeBytes: number;
  readonly traceparent: string | undefined;
  readonly resolve: () => void;
  readonly reject: (error: OttlaError) => void;
}

/** Kafka's offsets.commit.timeout.ms. */
const APPEND_TIMEOUT_MS = 5_000;
/** What goes into one batch; the topic's limit is larger, and one request of a group is never split. */
const BATCH_BYTES = 1024 * 1024;
const MAX_RECORDS_BYTES = 8 * 1024 * 1024 - 1024;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const OVERHEAD_BYTES = 32;

/**
 * Appends a partition's records with acks=all: one batch under way, and what comes meanwhile is the next, so
 * that many commits share one append, in the order of the calls.
 */
export class PartitionJournal implements GroupJournal {
  readonly #options: PartitionJournalOptions;
  readonly #builder = new BatchBuilder();
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #isAppending = false;
  /** The newest append, while it is not durable. */
  #last: Promise<void> | undefined;
  #ended: OttlaError | undefined;
  #newestOffset = -1;

  constructor(options: PartitionJournalOptions) {
    this.#options = options;
  }

  /** Where the log has the newest batch that was stored for it; -1 before that. */
  get newestOffset(): number {
    return this.#newestOffset;
  }

  /** Whether all that was given to it has been answered. */
  get isIdle(): boolean {
    return this.#waiting.length === 0 && !this.#isAppending;
  }

  append(records: readonly GroupRecord[], traceparent?: string): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const encoded = records.map(encodeGroupRecord);
    const sizeBytes = encoded.reduce((sum, { key, value }) => sum + sizeOf(key, value), 0);
    if (sizeBytes > MAX_RECORDS_BYTES) return Promise.reject(tooLarge(sizeBytes));
    if (this.#waitingBytes + sizeBytes > MAX_WAITING_BYTES) return Promise.reject(tooMuchWaits());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ records: encoded, sizeBytes, traceparent, resolve, reject });
    this.#waitingBytes += sizeBytes;
    this.#last = promise;
    const forget = (): void => {
      if (this.#last === promise) this.#last = undefined;
    };
    promise.then(forget, forget);
    if (!this.#isAppending) {
      this.#isAppending = true;
      this.#options.clock.nextTurn(() => void this.#run());
    }
    return promise;
  }

  flushed(): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return this.#last ?? Promise.resolve();
  }

  /** Nothing more is appended; who waits is told why. */
  end(reason: OttlaError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
    this.#waitingBytes = 0;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && this.#ended === undefined) {
      const group = this.#nextGroup();
      try {
        await this.#appendBatch(group);
        for (const { resolve } of group) resolve();
      } catch (thrown) {
        const error = unknownOutcome(toOttlaError(thrown));
        for (const { reject } of group) reject(error);
        if (this.#options.mutants.has("unknown-outcome-ignored")) continue;
        this.end(error);
        this.#options.onFailed(toOttlaError(thrown));
      }
    }
    this.#isAppending = false;
  }

  #nextGroup(): Waiting[] {
    let sizeBytes = 0;
    let count = 0;
    for (const next of this.#waiting) {
      if (count > 0 && sizeBytes + next.sizeBytes > BATCH_BYTES) break;
      sizeBytes += next.sizeBytes;
      count += 1;
    }
    this.#waitingBytes -= sizeBytes;
    return this.#waiting.splice(0, count);
  }

  async #appendBatch(group: readonly Waiting[]): Promise<void> {
    const { router, clock, topicId, partition, ownerEpoch } = this.#options;
    const builder = this.#builder;
    builder.reset();
    const timestampMs = clock.now();
    for (const { records } of group) {
      for (const { key, value } of records) builder.append({ timestampMs, key, value });
    }
    const { baseOffset } = await router.append({
      topicId,
      partition,
      batch: builder.build(),
      acks: Acks.ALL,
      timeoutMs: APPEND_TIMEOUT_MS,
      validated: true,
      idempotent: false,
      ownerEpoch,
      // Many changes share the append: it belongs to the first one that is traced.
      traceparent: group.find((waiting) => waiting.traceparent !== undefined)?.traceparent,
    });
    this.#newestOffset = baseOffset;
  }
}

function sizeOf(key: Uint8Array, value: Uint8Array | null): number {
  return key.length + (value?.length ?? 0) + OVERHEAD_BYTES;
}

function tooLarge(sizeBytes: number): OttlaError {
  return new OttlaError(
    "INVALID_COMMIT_OFFSET_SIZE",
    `${sizeBytes} bytes of a group's records exceed the limit of ${MAX_RECORDS_BYTES}`,
    { metadata: { limit: String(MAX_RECORDS_BYTES) } },
  );
}

function tooMuchWaits(): OttlaError {
  return new OttlaError(
    "COORDINATOR_LOAD_IN_PROGRESS",
    "too much waits to be stored for these groups: try again in a moment",
  );
}

/** Kafka's answer to a member whose commit could not be stored in time. */
function unknownOutcome(cause: OttlaError): OttlaError {
  return new OttlaError("COORDINATOR_NOT_AVAILABLE", `the group's log did not take it: ${cause.message}`, {
    cause,
    metadata: { [OUTCOME_UNKNOWN]: "true" },
  });
}
