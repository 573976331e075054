import { IndexFile, type IndexFileOptions } from "./index-file.ts";
import { searchLast } from "./offset-index.ts";

export const TIME_INDEX_ENTRY_BYTES = 12;

/** No record up to and including `offset` is younger than `timestampMs`. */
export interface TimestampOffset {
  readonly timestampMs: number;
  readonly offset: number;
}

/**
 * `.timeindex`: sparse pairs of the largest timestamp so far (int64) and the last offset
 * of the batch that has it (relative, int32), both ascending.
 */
export class TimeIndex {
  readonly file: IndexFile;
  #lastAppended: TimestampOffset | undefined;

  constructor(options: Omit<IndexFileOptions, "entryBytes">) {
    this.file = new IndexFile({ ...options, entryBytes: TIME_INDEX_ENTRY_BYTES });
  }

  /**
   * Appends unless the timestamp is no larger than the last entry's. `previous` is needed after a reopening.
   */
  maybeAppend(timestampMs: number, offset: number): void {
    const last = this.#lastAppended;
    if (last !== undefined && timestampMs <= last.timestampMs) return;
    const view = this.file.appendEntry();
    view.setBigInt64(0, BigInt(timestampMs));
    view.setInt32(8, offset - this.file.baseOffset);
    this.#lastAppended = { timestampMs, offset };
  }

  /** Must be called once before `maybeAppend` on a file that has entries. */
  async last(): Promise<TimestampOffset | undefined> {
    const saved = await this.file.load();
    const tail = this.file.tailView();
    const view = tail.byteLength > 0 ? tail : saved;
    if (view.byteLength === 0) this.#lastAppended = undefined;
    else this.#lastAppended = this.#entry(view, view.byteLength / TIME_INDEX_ENTRY_BYTES - 1);
    return this.#lastAppended;
  }

  /** The last entry whose timestamp is below `timestampMs`: the record looked for comes after its offset. */
  async lookup(timestampMs: number): Promise<TimestampOffset | undefined> {
    for (const view of [this.file.tailView(), await this.file.load()]) {
      const index = searchLast(
        view.byteLength / TIME_INDEX_ENTRY_BYTES,
        (index) => Number(view.getBigInt64(index * TIME_INDEX_ENTRY_BYTES)) < timestampMs,
      );
      if (index >= 0) return this.#entry(view, index);
    }
    return undefined;
  }

  /** Drops entries that point to `offset` or beyond. */
  async truncateTo(offset: number): Promise<void> {
    const relative = offset - this.file.baseOffset;
    let kept = 0;
    for (const view of [await this.file.load(), this.file.tailView()]) {
      const count = view.byteLength / TIME_INDEX_ENTRY_BYTES;
      kept += searchLast(count, (index) => view.getInt32(index * TIME_INDEX_ENTRY_BYTES + 8) < relative) + 1;
    }
    await this.file.truncate(kept);
    await this.last();
  }

  async reset(): Promise<void> {
    await this.file.reset();
    this.#lastAppended = undefined;
  }

  /** All entries, for checking; damaged ones included. */
  async entries(): Promise<TimestampOffset[]> {
    const found: TimestampOffset[] = [];
    for (const view of [await this.file.load(), this.file.tailView()]) {
      const count = view.byteLength / TIME_INDEX_ENTRY_BYTES;
      for (let index = 0; index < count; index += 1) found.push(this.#entry(view, index));
    }
    return found;
  }

  #entry(view: DataView, index: number): TimestampOffset {
    return {
      timestampMs: Number(view.getBigInt64(index * TIME_INDEX_ENTRY_BYTES)),
      offset: this.file.baseOffset + view.getInt32(index * TIME_INDEX_ENTRY_BYTES + 8),
    };
  }
}
