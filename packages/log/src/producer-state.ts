import { OttlaError } from "@ottla/errors";
import type { BatchHeader } from "@ottla/records";
import {
  baseOffsetOf,
  baseSequenceOf,
  MAX_REMEMBERED_BATCHES,
  nextSequence,
  type ProducerBatch,
  type ProducerEntry,
} from "./producer-entry.ts";

export interface ProducerStateOptions {
  readonly expirationMs: number;
  readonly maxProducers: number;
}

/** The entries that an append replaced; handed to `undo` when the append comes to nothing. */
export interface ProducerUndo {
  readonly producerId: number;
  readonly previous: ProducerEntry | undefined;
}

export interface KnownBatch {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly timestampMs: number;
}

interface Seen {
  readonly entry: ProducerEntry;
  /** When this node last heard of the producer: records may carry timestamps from long ago. */
  readonly seenMs: number;
}

/**
 * What the log remembers of idempotent producers (R11), with the rules of Kafka 4: see
 * KIP-98 and KIP-360. The producer not seen for longest comes first in the map, so that
 * expiring and evicting look at the front only.
 */
export class ProducerState {
  readonly #producers = new Map<number, Seen>();
  #options: ProducerStateOptions;

  constructor(options: ProducerStateOptions) {
    this.#options = options;
  }

  get producerCount(): number {
    return this.#producers.size;
  }

  updateOptions(options: ProducerStateOptions): void {
    this.#options = options;
  }

  *entries(): Iterable<ProducerEntry> {
    for (const { entry } of this.#producers.values()) yield entry;
  }

  get(producerId: number): ProducerEntry | undefined {
    return this.#producers.get(producerId)?.entry;
  }

  load(entries: Iterable<ProducerEntry>, nowMs: number): void {
    this.#producers.clear();
    for (const entry of entries) this.#producers.set(entry.producerId, { entry, seenMs: nowMs });
    this.#evict();
  }

  clear(): void {
    this.#producers.clear();
  }

  /** The remembered batch that `header` repeats, if any. */
  findDuplicate(header: BatchHeader): KnownBatch | undefined {
    const entry = this.#producers.get(header.producerId)?.entry;
    if (entry === undefined || entry.producerEpoch !== header.producerEpoch) return undefined;
    for (const batch of entry.batches) {
      if (batch.lastSequence === header.lastSequence && baseSequenceOf(batch) === header.baseSequence) {
        return {
          baseOffset: baseOffsetOf(batch),
          lastOffset: batch.lastOffset,
          timestampMs: batch.timestampMs,
        };
      }
    }
    return undefined;
  }

  /** Throws when a client may not append this batch now. */
  check(header: BatchHeader): void {
    const entry = this.#producers.get(header.producerId)?.entry;
    // A producer that the log does not know (expired, or its records are deleted) may
    // begin anywhere (KIP-360).
    if (entry === undefined) return;
    if (header.producerEpoch < entry.producerEpoch) throw staleEpoch(header, entry);
    if (header.isControl) return;
    if (header.producerEpoch > entry.producerEpoch) {
      if (header.baseSequence !== 0) throw outOfOrder(header, "a new epoch begins with sequence 0");
    } else {
      const last = entry.batches.at(-1)?.lastSequence ?? -1;
      if (header.baseSequence !== nextSequence(last)) {
        throw outOfOrder(header, `the last sequence stored is ${last}`);
      }
    }
    if (entry.transactionFirstOffset >= 0 && !header.isTransactional) {
      throw new OttlaError(
        "INVALID_TXN_STATE",
        `producer ${header.producerId} has an open transaction and sent a batch outside of it`,
      );
    }
  }

  /** Notes a batch at its final offsets and returns what undoes that. */
  apply(header: BatchHeader, baseOffset: number, nowMs: number): ProducerUndo[] {
    const { producerId } = header;
    const previous = this.#producers.get(producerId)?.entry;
    const entry = header.isControl ? withMarker(header, previous) : withBatch(header, baseOffset, previous);
    this.#producers.delete(producerId);
    this.#producers.set(producerId, { entry, seenMs: nowMs });
    const evicted = this.#evict();
    return [{ producerId, previous }, ...evicted];
  }

  /** Takes back what `apply` did; the latest first. */
  undo(changes: readonly ProducerUndo[], nowMs: number): void {
    for (const { producerId, previous } of changes) {
      this.#producers.delete(producerId);
      if (previous !== undefined) this.#producers.set(producerId, { entry: previous, seenMs: nowMs });
    }
  }

  /** Forgets producers not seen for `producer.id.expiration.ms`, unless they have an open transaction. */
  expire(nowMs: number): number {
    let expired = 0;
    for (const [producerId, { entry, seenMs }] of this.#producers) {
      if (nowMs - seenMs < this.#options.expirationMs) break;
      if (entry.transactionFirstOffset >= 0) continue;
      if (nowMs - entry.lastTimestampMs < this.#options.expirationMs) continue;
      this.#producers.delete(producerId);
      expired += 1;
    }
    return expired;
  }

  #evict(): ProducerUndo[] {
    const evicted: ProducerUndo[] = [];
    for (const [producerId, { entry }] of this.#producers) {
      if (this.#producers.size <= this.#options.maxProducers) break;
      this.#producers.delete(producerId);
      evicted.push({ producerId, previous: entry });
    }
    return evicted;
  }
}

function withBatch(
  header: BatchHeader,
  baseOffset: number,
  previous: ProducerEntry | undefined,
): ProducerEntry {
  const batch: ProducerBatch = {
    lastSequence: header.lastSequence,
    lastOffset: baseOffset + header.lastOffsetDelta,
    offsetDelta: header.lastOffsetDelta,
    timestampMs: header.maxTimestamp,
  };
  const known = previous?.producerEpoch === header.producerEpoch ? previous.batches : [];
  const openSince = previous?.transactionFirstOffset ?? -1;
  return {
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    coordinatorEpoch: previous?.coordinatorEpoch ?? -1,
    lastTimestampMs: header.maxTimestamp,
    transactionFirstOffset: header.isTransactional && openSince < 0 ? baseOffset : openSince,
    batches: [...known.slice(1 - MAX_REMEMBERED_BATCHES), batch],
  };
}

/** A marker ends the producer's transaction. A marker of a newer epoch makes the earlier batches unknown. */
function withMarker(header: BatchHeader, previous: ProducerEntry | undefined): ProducerEntry {
  return {
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    coordinatorEpoch: previous?.coordinatorEpoch ?? -1,
    lastTimestampMs: header.maxTimestamp,
    transactionFirstOffset: -1,
    batches: previous?.producerEpoch === header.producerEpoch ? previous.batches : [],
  };
}

function staleEpoch(header: BatchHeader, entry: ProducerEntry): OttlaError {
  return new OttlaError(
    "INVALID_PRODUCER_EPOCH",
    `producer ${header.producerId} has epoch ${entry.producerEpoch} now; the batch is of epoch ${header.producerEpoch}`,
    { metadata: { producerId: String(header.producerId), producerEpoch: String(entry.producerEpoch) } },
  );
}

function outOfOrder(header: BatchHeader, expectation: string): OttlaError {
  return new OttlaError(
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
    `producer ${header.producerId}, epoch ${header.producerEpoch}: the batch begins with sequence ` +
      `${header.baseSequence}, but ${expectation}`,
    { metadata: { producerId: String(header.producerId), baseSequence: String(header.baseSequence) } },
  );
}
