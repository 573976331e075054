import { IndexFile, type IndexFileOptions } from "./index-file.ts";

export const OFFSET_INDEX_ENTRY_BYTES = 8;

/** The batch that begins at `position` ends with `offset`. */
export interface OffsetPosition {
  readonly offset: number;
  readonly position: number;
}

/**
 * `.index`: sparse, sorted pairs of a batch's last offset (relative to the segment's
 * base, int32) and its position (int32). Entries read back from disk may be garbage after
 * a crash, so whoever uses one checks it against the log.
 */
export class OffsetIndex {
  readonly file: IndexFile;

  constructor(options: Omit<IndexFileOptions, "entryBytes">) {
    this.file = new IndexFile({ ...options, entryBytes: OFFSET_INDEX_ENTRY_BYTES });
  }

  append(offset: number, position: number): void {
    const view = this.file.appendEntry();
    view.setInt32(0, offset - this.file.baseOffset);
    view.setInt32(4, position);
  }

  /** The last entry at or below `offset`; undefined means: begin at the start of the segment. */
  async lookup(offset: number): Promise<OffsetPosition | undefined> {
    const relative = offset - this.file.baseOffset;
    const tail = this.file.tailView();
    const inTail = search(tail, (index) => tail.getInt32(index * 8) <= relative);
    if (inTail >= 0) return this.#entry(tail, inTail);
    const saved = await this.file.load();
    const inSaved = search(saved, (index) => saved.getInt32(index * 8) <= relative);
    return inSaved >= 0 ? this.#entry(saved, inSaved) : undefined;
  }

  async last(): Promise<OffsetPosition | undefined> {
    return this.lookup(Number.MAX_SAFE_INTEGER);
  }

  /** Drops entries of batches that reach to `offset` or beyond. */
  async truncateTo(offset: number): Promise<void> {
    const relative = offset - this.file.baseOffset;
    const saved = await this.file.load();
    const keptSaved = search(saved, (index) => saved.getInt32(index * 8) < relative) + 1;
    const tail = this.file.tailView();
    const keptTail = search(tail, (index) => tail.getInt32(index * 8) < relative) + 1;
    await this.file.truncate(keptSaved + keptTail);
  }

  /** All entries, for checking; damaged ones included. */
  async entries(): Promise<OffsetPosition[]> {
    const found: OffsetPosition[] = [];
    for (const view of [await this.file.load(), this.file.tailView()]) {
      for (let index = 0; index * 8 < view.byteLength; index += 1) found.push(this.#entry(view, index));
    }
    return found;
  }

  #entry(view: DataView, index: number): OffsetPosition {
    return {
      offset: this.file.baseOffset + view.getInt32(index * 8),
      position: view.getInt32(index * 8 + 4),
    };
  }
}

/** The last index for which `holds` is true in a run of trues followed by falses; -1 when there is none. */
export function searchLast(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function search(view: DataView, holds: (index: number) => boolean): number {
  return searchLast(view.byteLength / OFFSET_INDEX_ENTRY_BYTES, holds);
}
