import type { Clock } from "@ottla/runtime";

interface Sample {
  readonly atMs: number;
  readonly highWatermark: number;
}

export interface Lag {
  readonly records: number;
  /** For how long there have been such records, as far as the samples go. */
  readonly ms: number;
}

/** What is remembered of one partition: the older, the further apart. */
const MAX_SAMPLES = 64;

/** High watermarks over time, as scrapes have seen them: enough to say since when a group lags. */
export class HighWatermarks {
  readonly #clock: Clock;
  readonly #samples = new Map<string, Sample[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  saw(partition: string, highWatermark: number): void {
    const samples = this.#samples.get(partition) ?? [];
    this.#samples.set(partition, samples);
    const last = samples.at(-1);
    // Only when it began to be so counts.
    if (last !== undefined && last.highWatermark >= highWatermark) return;
    samples.push({ atMs: this.#clock.monotonic(), highWatermark });
    if (samples.length > MAX_SAMPLES) thinOut(samples);
  }

  /** Forgets the partitions that are not among these. */
  keepOnly(partitions: ReadonlyMap<string, unknown>): void {
    for (const partition of this.#samples.keys()) {
      if (!partitions.has(partition)) this.#samples.delete(partition);
    }
  }

  /** Undefined while the partition's high watermark has never been seen. */
  lag(partition: string, committedOffset: number): Lag | undefined {
    const samples = this.#samples.get(partition);
    const last = samples?.at(-1);
    if (samples === undefined || last === undefined) return undefined;
    const records = Math.max(0, last.highWatermark - committedOffset);
    if (records === 0) return { records, ms: 0 };
    const index = samples.findIndex(({ highWatermark }) => highWatermark > committedOffset);
    return { records, ms: this.#clock.monotonic() - reachedAtMs(samples, index, committedOffset + 1) };
  }
}

/** When the high watermark reached an offset, by even progress between two samples. */
function reachedAtMs(samples: readonly Sample[], index: number, offset: number): number {
  const after = samples[index];
  const before = samples[index - 1];
  if (after === undefined || before === undefined) return after?.atMs ?? 0;
  const share = (offset - before.highWatermark) / (after.highWatermark - before.highWatermark);
  return before.atMs + share * (after.atMs - before.atMs);
}

/** Drops the sample that is missed least: where the gap is smallest beside the age. The ends stay. */
function thinOut(samples: Sample[]): void {
  const newestMs = samples.at(-1)?.atMs ?? 0;
  let dropped = 1;
  let least = Number.POSITIVE_INFINITY;
  for (let index = 1; index < samples.length - 1; index += 1) {
    const [before, after] = [samples[index - 1], samples[index + 1]];
    if (before === undefined || after === undefined) continue;
    const cost = (after.atMs - before.atMs) / (newestMs - before.atMs + 1);
    if (cost >= least) continue;
    least = cost;
    dropped = index;
  }
  samples.splice(dropped, 1);
}
