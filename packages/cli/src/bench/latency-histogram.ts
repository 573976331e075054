/** Each power of two is cut into this many buckets: figures are right to about 1.5 %. */
const BUCKETS_PER_OCTAVE = 64;
const SMALLEST_MS = 0.001;
const OCTAVES = 32;

/** Counts latencies in logarithmic buckets: any number of them in a few kilobytes. */
export class LatencyHistogram {
  readonly #buckets = new Float64Array(BUCKETS_PER_OCTAVE * OCTAVES);
  #count = 0;
  #maxMs = 0;
  #sumMs = 0;

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count;
  }

  add(latencyMs: number, times = 1): void {
    const octave = Math.log2(Math.max(latencyMs, SMALLEST_MS) / SMALLEST_MS);
    const bucket = Math.min(this.#buckets.length - 1, Math.floor(octave * BUCKETS_PER_OCTAVE));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + times;
    this.#count += times;
    this.#sumMs += latencyMs * times;
    this.#maxMs = Math.max(this.#maxMs, latencyMs);
  }

  /** The latency that this share (0 to 1) of all stays below or at. */
  quantile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      seen += this.#buckets[bucket] ?? 0;
      if (seen >= wanted)
        return Math.min(this.#maxMs, SMALLEST_MS * 2 ** ((bucket + 1) / BUCKETS_PER_OCTAVE));
    }
    return this.#maxMs;
  }
}
