import type { OttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import type { PartitionRouter } from "@ottla/routing";
import type { Clock } from "@ottla/runtime";

export interface FullDisksOptions {
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  readonly clock: Clock;
}

/** A node that does not answer in time has a fault of another kind, which others report. */
const ASK_MS = 1_000;

/**
 * Throws KAFKA_STORAGE_ERROR when no storage node has room for more partitions: a new one
 * could not be written, and might not even find the room to begin.
 */
export async function refuseWhenDisksAreFull(options: FullDisksOptions): Promise<void> {
  const { view, router, clock } = options;
  const ending = new AbortController();
  const timer = clock.setTimer(ASK_MS, () => ending.abort());
  try {
    const refusals = await Promise.all(
      view
        .nodes("partition-storage")
        .map(({ nodeId }) => router.appendRefusal(nodeId, ending.signal).catch(() => undefined)),
    );
    const full = refusals.filter((refusal): refusal is OttlaError => refusal !== undefined);
    if (full[0] !== undefined && full.length === refusals.length) throw full[0];
  } finally {
    timer.cancel();
  }
}
