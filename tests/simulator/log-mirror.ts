import { LOG_OVERHEAD_BYTES, RECORD_BATCH_OVERHEAD_BYTES, validateBatch } from "@ottla/records";
import type { InspectedFile } from "@ottla/runtime";

/** A batch as it lies on a disk: what must be the same on every replica. */
export interface StoredBatch {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly epoch: number;
  readonly crc: number;
  readonly isIdempotent: boolean;
}

interface MirroredBatch extends StoredBatch {
  readonly endPosition: number;
}

/** Where a batch lies in a directory. */
export interface BatchPlace {
  readonly file: string;
  readonly position: number;
  readonly sizeBytes: number;
}

interface MirroredSegment {
  readonly identity: object;
  readonly batches: MirroredBatch[];
}

/**
 * What one side of a disk (visible or durable) holds of one log, kept up to date by
 * reading only what has changed.
 */
export class LogMirror {
  #segments = new Map<string, MirroredSegment>();
  #names: readonly string[] = [];

  /**
   * Takes in what the directory's logs hold now. Returns the lowest offset at which something
   * was there and is changed.
   */
  refresh(logs: readonly InspectedFile[]): number {
    let changedFrom = Number.POSITIVE_INFINITY;
    const [only] = logs;
    if (logs.length !== 1 || this.#names.length !== 1 || only?.name !== this.#names[0]) {
      const gone = this.#names.filter((name) => !logs.some((file) => file.name === name));
      for (const name of gone) {
        changedFrom = Math.min(changedFrom, this.#segments.get(name)?.batches[0]?.baseOffset ?? changedFrom);
        this.#segments.delete(name);
      }
      this.#names = logs.map(({ name }) => name).sort();
    }
    for (const file of logs) changedFrom = Math.min(changedFrom, this.#refreshSegment(file));
    return changedFrom;
  }

  /** Undefined when there is no batch. */
  get startOffset(): number | undefined {
    for (const name of this.#names) {
      const first = this.#segments.get(name)?.batches[0];
      if (first !== undefined) return first.baseOffset;
    }
    return undefined;
  }

  /** The end of what can be read in one go from the start; undefined when there is no batch. */
  get endOffset(): number | undefined {
    let end: number | undefined;
    for (const name of this.#names) {
      const { batches } = this.#segments.get(name) ?? { batches: [] };
      const first = batches[0];
      if (first === undefined) continue;
      if (end !== undefined && first.baseOffset !== end) break;
      end = (batches.at(-1) ?? first).lastOffset + 1;
    }
    return end;
  }

  /** Whether all that was read can be read in one go: a wrong base offset, outside the CRC, leaves a gap. */
  get isWhole(): boolean {
    const last = this.#names
      .map((name) => this.#segments.get(name)?.batches.at(-1))
      .findLast((batch) => batch !== undefined);
    return last === undefined || last.lastOffset + 1 === this.endOffset;
  }

  /** Of the batches that were read. */
  get sizeBytes(): number {
    let sizeBytes = 0;
    for (const { batches } of this.#segments.values()) sizeBytes += batches.at(-1)?.endPosition ?? 0;
    return sizeBytes;
  }

  hasFile(name: string): boolean {
    return this.#names.includes(name);
  }

  /** The batch that holds the offset. */
  at(offset: number): StoredBatch | undefined {
    for (const name of this.#names.toReversed()) {
      const batches = this.#segments.get(name)?.batches ?? [];
      if ((batches[0]?.baseOffset ?? Number.POSITIVE_INFINITY) > offset) continue;
      const found = lastAtOrBefore(batches, offset);
      return found !== undefined && found.lastOffset >= offset ? found : undefined;
    }
    return undefined;
  }

  /** Where the batch with that base offset lies. */
  placeOf(baseOffset: number): BatchPlace | undefined {
    for (const file of this.#names) {
      const batches = this.#segments.get(file)?.batches ?? [];
      const index = batches.findLastIndex((batch) => batch.baseOffset === baseOffset);
      const batch = batches[index];
      if (batch === undefined) continue;
      const position = batches[index - 1]?.endPosition ?? 0;
      return { file, position, sizeBytes: batch.endPosition - position };
    }
    return undefined;
  }

  /** The places of all batches that end at the offset or before it. */
  *placesBefore(offset: number): Generator<BatchPlace> {
    for (const file of this.#names) {
      let position = 0;
      for (const { endPosition, lastOffset } of this.#segments.get(file)?.batches ?? []) {
        if (lastOffset < offset) yield { file, position, sizeBytes: endPosition - position };
        position = endPosition;
      }
    }
  }

  #refreshSegment(file: InspectedFile): number {
    let segment = this.#segments.get(file.name);
    let changedFrom = Number.POSITIVE_INFINITY;
    let from = file.changedFrom;
    if (segment?.identity !== file.identity) {
      changedFrom = segment?.batches[0]?.baseOffset ?? changedFrom;
      segment = { identity: file.identity, batches: [] };
      this.#segments.set(file.name, segment);
      from = 0;
    }
    const { batches } = segment;
    if (from === Number.POSITIVE_INFINITY) return changedFrom;
    for (let last = batches.at(-1); last !== undefined && last.endPosition > from; last = batches.at(-1)) {
      changedFrom = Math.min(changedFrom, last.baseOffset);
      batches.pop();
    }
    parse(file.bytes(), batches);
    return changedFrom;
  }
}

/** Whole and undamaged batches, up to the first that is not, or does not go on where the one before ended. */
function parse(bytes: Uint8Array, batches: MirroredBatch[]): void {
  let position = batches.at(-1)?.endPosition ?? 0;
  while (position + RECORD_BATCH_OVERHEAD_BYTES <= bytes.length) {
    const batch = batchAt(bytes, position);
    const before = batches.at(-1);
    if (batch === undefined || (before !== undefined && batch.baseOffset !== before.lastOffset + 1)) return;
    batches.push(batch);
    position = batch.endPosition;
  }
}

function batchAt(bytes: Uint8Array, position: number): MirroredBatch | undefined {
  try {
    const header = validateBatch(bytes, position);
    const { baseOffset, batchLength, crc, lastOffset, partitionLeaderEpoch: epoch } = header;
    const endPosition = position + LOG_OVERHEAD_BYTES + batchLength;
    return { baseOffset, lastOffset, epoch, crc, isIdempotent: header.producerId >= 0, endPosition };
  } catch {
    return undefined;
  }
}

function lastAtOrBefore(batches: readonly MirroredBatch[], offset: number): MirroredBatch | undefined {
  let low = 0;
  let high = batches.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((batches[middle]?.baseOffset ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return batches[low];
}

export function isSameBatch(one: StoredBatch, other: StoredBatch | undefined): boolean {
  return (
    other !== undefined &&
    one.baseOffset === other.baseOffset &&
    one.lastOffset === other.lastOffset &&
    one.epoch === other.epoch &&
    one.crc === other.crc
  );
}
