/**
 * Counts the bytes that became visible since the term began, so that a fetch which waits for `min_bytes`
 * knows when to look again. Appended batches queue here until the high watermark passes them.
 */
export class VisibleBytes {
  #queue: { readonly endOffset: number; readonly sizeBytes: number }[] = [];
  #head = 0;
  #total = 0;

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
