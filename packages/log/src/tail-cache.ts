/** A batch that was just written; its bytes may be in several pieces. */
export interface CachedBatch {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly sizeBytes: number;
  readonly chunks: readonly Uint8Array[];
}

export interface CachedRead {
  readonly chunks: readonly Uint8Array[];
  readonly nextOffset: number;
  readonly sizeBytes: number;
}

/** What an entry costs beside its bytes: the objects around them. */
const ENTRY_OVERHEAD_BYTES = 256;

interface CacheEntry {
  readonly owner: LogTail;
  readonly batch: CachedBatch;
  readonly costBytes: number;
  previous: CacheEntry | undefined;
  next: CacheEntry | undefined;
}

/**
 * The newest batches of all logs of a node, within one budget of bytes. Whatever was
 * appended first leaves first, so what remains of each log is always its unbroken end.
 */
export class TailCache {
  readonly #maxBytes: number;
  #oldest: CacheEntry | undefined;
  #newest: CacheEntry | undefined;
  #sizeBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  openTail(): LogTail {
    return new LogTail(this);
  }

  /** Called by `LogTail` only. */
  insert(owner: LogTail, batch: CachedBatch): CacheEntry | undefined {
    const costBytes = batch.sizeBytes + ENTRY_OVERHEAD_BYTES;
    if (costBytes > this.#maxBytes) return undefined;
    const entry: CacheEntry = { owner, batch, costBytes, previous: this.#newest, next: undefined };
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.next = entry;
    this.#newest = entry;
    this.#sizeBytes += costBytes;
    return entry;
  }

  /** Called by `LogTail` only. */
  evictOverBudget(): void {
    while (this.#sizeBytes > this.#maxBytes && this.#oldest !== undefined) {
      this.#oldest.owner.dropOldest();
    }
  }

  /** Called by `LogTail` only. */
  remove(entry: CacheEntry): void {
    if (entry.previous === undefined) this.#oldest = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === undefined) this.#newest = entry.previous;
    else entry.next.previous = entry.previous;
    // A dropped entry that somebody still holds must not hold all that were dropped after it.
    entry.previous = undefined;
    entry.next = undefined;
    this.#sizeBytes -= entry.costBytes;
  }
}

/** One log's part of the cache: an unbroken run of batches that ends at the log's written end. */
export class LogTail {
  readonly #cache: TailCache;
  #entries: (CacheEntry | undefined)[] = [];
  /**
   * Entries before this index were dropped and are undefined; compacted now and then, so
   * that dropping costs nothing.
   */
  #first = 0;

  constructor(cache: TailCache) {
    this.#cache = cache;
  }

  get batchCount(): number {
    return this.#entries.length - this.#first;
  }

  push(batches: readonly CachedBatch[]): void {
    for (const batch of batches) {
      const entry = this.#cache.insert(this, batch);
      // A batch that does not fit leaves a gap, and only an unbroken end may stay.
      if (entry === undefined) this.clear();
      else this.#entries.push(entry);
    }
    this.#cache.evictOverBudget();
  }

  dropOldest(): void {
    const entry = this.#entries[this.#first];
    if (entry === undefined) return;
    this.#cache.remove(entry);
    this.#entries[this.#first] = undefined;
    this.#first += 1;
    if (this.#first >= 64 && this.#first * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }

  /** Forgets batches that reach to `offset` or beyond, after a truncation. */
  truncateTo(offset: number): void {
    let last = this.#entries.at(-1);
    while (last !== undefined && this.batchCount > 0 && last.batch.lastOffset >= offset) {
      this.#cache.remove(last);
      this.#entries.pop();
      last = this.#entries.at(-1);
    }
  }

  /** Forgets batches that end before `offset`. */
  forgetBefore(offset: number): void {
    while ((this.#entries[this.#first]?.batch.lastOffset ?? Infinity) < offset) this.dropOldest();
  }

  clear(): void {
    for (let index = this.#first; index < this.#entries.length; index += 1) {
      this.#cache.remove(this.#entries[index] as CacheEntry);
    }
    this.#entries = [];
    this.#first = 0;
  }

  /**
   * Whole batches from the one that holds `offset`, ending at or before `endOffset`;
   * undefined when `offset` is not in memory. The first batch is given even when it is
   * larger than `maxBytes` if `atLeastOneBatch` is set.
   */
  read(
    offset: number,
    endOffset: number,
    maxBytes: number,
    atLeastOneBatch: boolean,
  ): CachedRead | undefined {
    const start = this.#find(offset);
    if (start === undefined) return undefined;
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    let nextOffset = offset;
    for (let index = start; index < this.#entries.length; index += 1) {
      const { batch } = this.#entries[index] as CacheEntry;
      if (batch.lastOffset >= endOffset) break;
      const fits = sizeBytes + batch.sizeBytes <= maxBytes;
      if (!fits && !(atLeastOneBatch && chunks.length === 0)) break;
      for (const chunk of batch.chunks) chunks.push(chunk);
      sizeBytes += batch.sizeBytes;
      nextOffset = batch.lastOffset + 1;
    }
    return { chunks, nextOffset, sizeBytes };
  }

  contains(offset: number): boolean {
    return this.#find(offset) !== undefined;
  }

  #find(offset: number): number | undefined {
    const first = this.#entries[this.#first];
    const last = this.#entries.at(-1);
    if (first === undefined || last === undefined) return undefined;
    if (offset < first.batch.baseOffset || offset > last.batch.lastOffset) return undefined;
    let low = this.#first;
    let high = this.#entries.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#entries[middle] as CacheEntry).batch.lastOffset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
