import type { LogResources } from "./log-resources.ts";
import { loadProducerSnapshot } from "./producer-snapshots.ts";
import type { ProducerState } from "./producer-state.ts";
import type { Segment } from "./segment.ts";
import { intactBatches } from "./segment-batches.ts";

/**
 * Brings the producer state to what it was at `offset`: the newest intact snapshot at or
 * below it, then the batches between the two (R6).
 */
export async function replayProducers(
  producers: ProducerState,
  options: {
    readonly directory: string;
    readonly offset: number;
    readonly segments: readonly Segment[];
    readonly resources: LogResources;
  },
): Promise<void> {
  const { directory, offset, segments, resources } = options;
  const { disk, clock, logger } = resources;
  const snapshot = await loadProducerSnapshot(disk, directory, offset, logger);
  producers.load(snapshot?.entries ?? [], clock.now());
  const from = snapshot?.offset ?? 0;
  for (const segment of segments) {
    if (segment.writtenEndOffset <= from || segment.baseOffset >= offset) continue;
    const entry = await segment.offsetIndex.lookup(Math.max(from - 1, segment.baseOffset));
    const begin = entry !== undefined && entry.position < segment.writtenBytes ? entry.position : 0;
    for await (const { header } of intactBatches(segment, begin)) {
      if (header.lastOffset >= offset) break;
      if (header.baseOffset < from || header.producerId < 0) continue;
      producers.apply(header, header.baseOffset, clock.now());
    }
  }
}
