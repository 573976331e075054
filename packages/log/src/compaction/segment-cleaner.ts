import { OttlaError } from "@ottla/errors";
import { type BatchFilter, type BatchHeader, emptiedBatch } from "@ottla/records";
import type { DiskFile } from "@ottla/runtime";
import { ownerEpochOf } from "../owner-epoch-cache.ts";
import { largestTimestampOf, type Segment } from "../segment.ts";
import type { FoundBatch } from "../segment-batches.ts";
import { nextRecord, openRecords, RECORDS_PER_LOOK } from "./dirty-keys.ts";
import type { OffsetMap } from "./offset-map.ts";
import { type CompactionWork, sourceBatches } from "./source-batches.ts";

export interface CleanCounts {
  readBytes: number;
  writtenBytes: number;
  keptRecords: number;
  removedRecords: number;
  removedBatches: number;
}

export interface SegmentCleanerOptions {
  readonly work: CompactionWork;
  readonly map: OffsetMap;
  /** Of records from here on the map knows nothing: older ones of their keys are still there. */
  readonly mappedEnd: number;
  readonly nowMs: number;
  readonly counts: CleanCounts;
  /** When the first of the tombstones kept may go. */
  readonly horizon: { firstMs: number };
}

const WRITE_BYTES = 512 * 1024;
/** A disk that has to write a whole segment at once keeps the syncs of producers waiting behind it. */
const SYNC_BYTES = 2 * 1024 * 1024;
/** Positions in an index are an int32. */
const MAX_SEGMENT_BYTES = 0x7fff_ffff;

/** What a kept batch looks like in the new segment. */
interface KeptBatch {
  readonly bytes: Uint8Array;
  readonly maxTimestampMs: number;
}

/**
 * Copies what compaction keeps of some segments to a new one, with Kafka's rules: the last record of each
 * key, tombstones until their delete horizon (KIP-534), the batches by which producers are known, control
 * batches, and of an owner's the newest (R13). Offsets, epochs and producer fields stay.
 */
export class SegmentCleaner {
  readonly #options: SegmentCleanerOptions;
  readonly #target: Segment;
  readonly #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #unsyncedBytes = 0;
  #position = 0;
  /** Whether the new segment differs from its sources. */
  #hasChanged = false;

  constructor(target: Segment, options: SegmentCleanerOptions) {
    this.#target = target;
    this.#options = options;
  }

  get hasChanged(): boolean {
    return this.#hasChanged;
  }

  /** Writes and syncs the new segment with its indexes; its name is still that of nothing that counts. */
  async clean(sources: readonly Segment[]): Promise<void> {
    const { work } = this.#options;
    await this.#target.create();
    const lease = await this.#target.openLog("write");
    try {
      for (const source of sources) {
        for await (const batch of sourceBatches(work, source)) await this.#take(batch, lease.file);
      }
      await this.#write(lease.file);
      await work.state.resources.syncScheduler.sync(lease.file);
    } finally {
      lease.release();
    }
    await this.#target.closeIndexes();
  }

  async #take(batch: FoundBatch, file: DiskFile): Promise<void> {
    const { counts } = this.#options;
    const { header } = batch;
    counts.readBytes += header.sizeBytes;
    const kept = header.isControl ? this.#keepControl(batch) : await this.#keepRecords(batch);
    if (kept === undefined) {
      this.#hasChanged = true;
      counts.removedBatches += 1;
      return;
    }
    if (kept.bytes !== batch.bytes) this.#hasChanged = true;
    const { baseOffset, lastOffset } = header;
    const { maxTimestampMs, bytes } = kept;
    const sizeBytes = bytes.byteLength;
    if (this.#position + sizeBytes > MAX_SEGMENT_BYTES) throw tooLarge(this.#target);
    this.#target.noteRecovered({ baseOffset, lastOffset, sizeBytes, maxTimestampMs }, this.#position);
    this.#position += sizeBytes;
    // What was read lies in a buffer that is used again.
    this.#pending.push(bytes === batch.bytes ? new Uint8Array(bytes) : bytes);
    this.#pendingBytes += sizeBytes;
    if (this.#pendingBytes >= WRITE_BYTES) await this.#write(file);
  }

  async #write(file: DiskFile): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const { work, counts } = this.#options;
    const buffers = this.#pending.splice(0);
    await file.write(this.#position - this.#pendingBytes, buffers);
    work.pace.use(this.#pendingBytes);
    counts.writtenBytes += this.#pendingBytes;
    this.#unsyncedBytes += this.#pendingBytes;
    this.#pendingBytes = 0;
    await this.#target.saveLongTails();
    if (this.#unsyncedBytes < SYNC_BYTES) return;
    this.#unsyncedBytes = 0;
    await work.state.resources.syncScheduler.sync(file);
  }

  #keepControl({ header, bytes }: FoundBatch): KeptBatch | undefined {
    const { owners } = this.#options.work.state;
    const isFormerOwner =
      ownerEpochOf(bytes) !== undefined && header.baseOffset < (owners.latestOffset ?? Infinity);
    return isFormerOwner ? undefined : asItIs(header, bytes);
  }

  async #keepRecords({ header, bytes }: FoundBatch): Promise<KeptBatch | undefined> {
    const { work, mappedEnd, nowMs, counts, horizon } = this.#options;
    if (header.baseOffset >= mappedEnd) return asItIs(header, bytes);
    const records = await openRecords(bytes, header, work);
    // Compaction takes nothing that it cannot read.
    if (records === undefined) return asItIs(header, bytes);
    const keepsTombstones = !header.hasDeleteHorizon || nowMs < header.baseTimestamp;
    let keptCount = 0;
    for (let count = 1; ; count += 1) {
      const hasMore = nextRecord(records);
      if (hasMore === undefined) return asItIs(header, bytes);
      if (!hasMore) break;
      const isKept = records.hasValue || keepsTombstones || records.offset >= mappedEnd;
      if (this.#isLast(records) && isKept) {
        records.keep();
        keptCount += 1;
      }
      if (count % RECORDS_PER_LOOK === 0 && work.pace.isDue) await work.pace.rest(work.signal);
    }
    counts.keptRecords += keptCount;
    counts.removedRecords += header.recordCount - keptCount;
    const newHorizonMs = nowMs + work.state.config.deleteRetentionMs;
    const filtered = await records.finish(newHorizonMs);
    if (records.keepsTombstones) {
      horizon.firstMs = Math.min(
        horizon.firstMs,
        header.hasDeleteHorizon ? header.baseTimestamp : newHorizonMs,
      );
    }
    if (filtered.kind === "unchanged") return asItIs(header, bytes);
    if (filtered.kind === "changed") return filtered;
    if (!this.#isRemembered(header)) return undefined;
    return header.recordCount === 0
      ? asItIs(header, bytes)
      : { bytes: emptiedBatch(bytes, header), maxTimestampMs: -1 };
  }

  /** Records without a key have no place in a compacted log: they are from before it was one. */
  #isLast({ bytes, keyStart, keyEnd, offset }: BatchFilter): boolean {
    return keyStart >= 0 && offset >= this.#options.map.get(bytes, keyStart, keyEnd);
  }

  /** R11: a retry of the batch is still to be recognised, on a replica that has only the log, too. */
  #isRemembered({ producerId, producerEpoch, lastOffset }: BatchHeader): boolean {
    if (producerId < 0) return false;
    const entry = this.#options.work.state.producers.get(producerId);
    if (entry === undefined || entry.producerEpoch !== producerEpoch) return false;
    return entry.batches.some((batch) => batch.lastOffset === lastOffset);
  }
}

function tooLarge({ logPath }: Segment): OttlaError {
  return new OttlaError(
    "KAFKA_STORAGE_ERROR",
    `${logPath} would be larger than ${MAX_SEGMENT_BYTES} bytes: lower segment.bytes of the topic`,
  );
}

function asItIs(header: BatchHeader, bytes: Uint8Array): KeptBatch {
  return { bytes, maxTimestampMs: largestTimestampOf(header) };
}
