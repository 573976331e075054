import type { Segment } from "./segment.ts";

/** A log's segments by base offset; the last one is active. Never empty. */
export class SegmentList {
  #segments: Segment[];

  constructor(segments: readonly Segment[]) {
    this.#segments = [...segments];
  }

  get all(): readonly Segment[] {
    return this.#segments;
  }

  get active(): Segment {
    const last = this.#segments.at(-1);
    if (last === undefined) throw new Error("a log has at least one segment");
    return last;
  }

  /** The segment that would hold `offset`: the last one that begins at or before it. */
  floor(offset: number): Segment | undefined {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#segments[middle]?.baseOffset ?? Infinity) <= offset) low = middle + 1;
      else high = middle;
    }
    return this.#segments[low - 1];
  }

  after(segment: Segment): Segment | undefined {
    return this.#segments[this.#segments.indexOf(segment) + 1];
  }

  push(segment: Segment): void {
    this.#segments.push(segment);
  }

  remove(segments: readonly Segment[]): void {
    const gone = new Set(segments);
    this.#segments = this.#segments.filter((segment) => !gone.has(segment));
  }

  /** Puts one segment in the place of some that follow one another. */
  replace(segments: readonly Segment[], fresh: Segment): void {
    const gone = new Set(segments);
    this.#segments = this.#segments.flatMap((segment) => {
      if (segment === segments[0]) return [fresh];
      return gone.has(segment) ? [] : [segment];
    });
  }

  get writtenBytes(): number {
    let sum = 0;
    for (const segment of this.#segments) sum += segment.writtenBytes;
    return sum;
  }
}
