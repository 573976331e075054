/**
 * More than any fetch asks for: stands for records whose size is not known, so that all who wait look again.
 */
const UNKNOWN_SIZE = 2 ** 31;

/**
 * Counts the bytes that became visible since the term began, so that a fetch which waits for `min_bytes`
 * knows when to look again. Appended batches queue here until the high watermark passes them.
 */
export class VisibleBytes {
  /** Records below were there before anything was counted. */
  readonly #countedFrom: number;
  #queue: { readonly endOffset: number; readonly sizeBytes: number }[] = [];
  #head = 0;
  #total = 0;
  #passed: number;

  constructor(highWatermark: number, countedFrom: number) {
    this.#passed = highWatermark;
    this.#countedFrom = countedFrom;
  }

  get total(): number {
    return this.#total;
  }

  appended(endOffset: number, sizeBytes: number): void {
    this.#queue.push({ endOffset, sizeBytes });
  }

  /** Batches that end beyond the offset were given up by the log. */
  forgetBeyond(offset: number): void {
    this.#queue = this.#queue.slice(this.#head).filter(({ endOffset }) => endOffset <= offset);
    this.#head = 0;
  }

  passed(highWatermark: number): void {
    if (this.#passed < this.#countedFrom && highWatermark > this.#passed) this.#total += UNKNOWN_SIZE;
    this.#passed = highWatermark;
    for (
      let next = this.#queue[this.#head];
      next !== undefined && next.endOffset <= highWatermark;
      next = this.#queue[this.#head]
    ) {
      this.#total += next.sizeBytes;
      this.#head += 1;
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}
