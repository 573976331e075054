import * as fs from "node:fs";
import { closeSync, openSync } from "node:fs";
import { encodeBatchPrefix, readBatchHeader, validateBatch } from "@ottla/records";

interface Batch {
  readonly offset: number;
  readonly position: number;
  readonly sizeBytes: number;
}

interface Group {
  readonly buffers: Uint8Array[];
  readonly done: (() => void)[];
  readonly batches: Batch[];
}

const PREFIX_BYTES = 16;

export interface FloorPartitionOptions {
  readonly path: string;
  /** Answers after an `fdatasync`. */
  readonly sync: boolean;
  /** Where batches go instead of the file. */
  readonly remote?: ((records: Uint8Array, done: (baseOffset: number) => void) => void) | undefined;
}

/** One partition of the trial broker: a file, and one group in flight. */
export class FloorPartition {
  readonly #fd: number;
  readonly #options: FloorPartitionOptions;
  readonly batches: Batch[] = [];
  nextOffset = 0;
  highWatermark = 0;
  #position = 0;
  #queued: Group = { buffers: [], done: [], batches: [] };
  #isWriting = false;
  waiters: (() => void)[] = [];

  constructor(options: FloorPartitionOptions) {
    this.#options = options;
    this.#fd = openSync(options.path, "w+");
  }

  /** The CRC is checked here, or where the batches are passed on. */
  append(records: Uint8Array, done: (baseOffset: number) => void, validated = false): void {
    const { remote } = this.#options;
    const first = this.nextOffset;
    for (let position = 0; position < records.byteLength; ) {
      const header = validated ? readBatchHeader(records, position) : validateBatch(records, position);
      if (remote !== undefined) {
        position += header.sizeBytes;
        continue;
      }
      const batch = records.subarray(position, position + header.sizeBytes);
      this.#queued.buffers.push(
        encodeBatchPrefix(this.nextOffset, header.batchLength, 0),
        batch.subarray(PREFIX_BYTES),
      );
      this.#queued.batches.push({
        offset: this.nextOffset,
        position: this.#position,
        sizeBytes: header.sizeBytes,
      });
      this.nextOffset += header.lastOffsetDelta + 1;
      this.#position += header.sizeBytes;
      position += header.sizeBytes;
    }
    if (remote !== undefined) {
      remote(records, done);
      return;
    }
    this.#queued.done.push(() => done(first));
    if (!this.#isWriting) this.#write();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(): void {
    const group = this.#queued;
    const first = group.batches[0];
    if (first === undefined) {
      this.#isWriting = false;
      return;
    }
    this.#isWriting = true;
    this.#queued = { buffers: [], done: [], batches: [] };
    const finish = (error: Error | null): void => {
      if (error !== null) throw error;
      this.batches.push(...group.batches);
      this.highWatermark = this.nextOffsetAfter(group);
      for (const done of group.done) done();
      for (const wake of this.waiters.splice(0)) wake();
      this.#write();
    };
    this.#writeAll(group.buffers, first.position, (error) => {
      if (error !== null || !this.#options.sync) finish(error);
      else fs.fdatasync(this.#fd, finish);
    });
  }

  nextOffsetAfter(group: Group): number {
    const last = group.batches.at(-1);
    const next = this.#queued.batches[0];
    return next?.offset ?? (last === undefined ? 0 : this.nextOffset);
  }

  #writeAll(buffers: readonly Uint8Array[], position: number, done: (error: Error | null) => void): void {
    const slice = buffers.slice(0, 1024);
    let expected = 0;
    for (const buffer of slice) expected += buffer.byteLength;
    fs.writev(this.#fd, slice, position, (error, written) => {
      if (error !== null) done(error);
      else if (written !== expected) done(new Error("short write"));
      else if (slice.length === buffers.length) done(null);
      else this.#writeAll(buffers.slice(1024), position + written, done);
    });
  }

  read(offset: number, maxBytes: number, done: (chunk: Uint8Array) => void): void {
    let low = 0;
    let high = this.batches.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (middle < this.batches.length && (this.batches[middle]?.offset ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const first = this.batches[low];
    if (first === undefined || offset >= this.highWatermark) {
      done(new Uint8Array(0));
      return;
    }
    let sizeBytes = 0;
    for (let index = low; index < this.batches.length; index++) {
      const next = this.batches[index]?.sizeBytes ?? 0;
      if (sizeBytes > 0 && sizeBytes + next > maxBytes) break;
      sizeBytes += next;
    }
    const chunk = Buffer.allocUnsafeSlow(sizeBytes);
    fs.read(this.#fd, chunk, 0, sizeBytes, first.position, (error) => {
      if (error !== null) throw error;
      done(chunk);
    });
  }
}
