import { OttlaError } from "@ottla/errors";
import type { Lifecycle, StopPart } from "@ottla/runtime";

/**
 * Adds a part that has just started. Where the stop has begun meanwhile the part stops at
 * once, and the start ends.
 */
export async function addPart(lifecycle: Lifecycle, name: string, stop: StopPart): Promise<void> {
  if (!lifecycle.stopping) {
    lifecycle.add(name, stop);
    return;
  }
  await stop(AbortSignal.abort());
  throw new OttlaError("CANCELLED", "the node was told to stop while it started");
}
