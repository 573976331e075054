import { acquireLeasedKey } from "./leased-key.ts";
import type { Lease } from "./metadata-store.ts";
import type { HoldOptions } from "./registration.ts";
import { type AwaitingState, awaitingStateCodec } from "./values.ts";

export interface AwaitRecoveryOptions extends Omit<HoldOptions, "signal"> {
  readonly nodeId: number;
  readonly awaiting: AwaitingState;
  /** Aborts when there is nothing to wait for any more. */
  readonly until: AbortSignal;
}

/** Says under a lease that a storage node does not follow the store, and keeps saying so until the signal. */
export async function awaitRecovery(options: AwaitRecoveryOptions): Promise<void> {
  const { keys, nodeId, awaiting, until } = options;
  const { directoryId, incarnation } = awaiting;
  const key = keys.awaiting(nodeId);
  const value = awaitingStateCodec.encode(awaiting);
  while (!until.aborted) {
    let lease: Lease | undefined;
    try {
      ({ lease } = await acquireLeasedKey({
        ...options,
        key,
        value: () => value,
        isOwn: (entry) => awaitingStateCodec.parse(entry.value, key).incarnation === incarnation,
        mayTakeOver: (entry) => awaitingStateCodec.parse(entry.value, key).directoryId === directoryId,
        signal: until,
      }));
    } catch {
      // Rejects only when the signal aborts.
      return;
    }
    await firstAbort(lease.lost, until);
    if (until.aborted) await lease.revoke().catch(() => undefined);
  }
}

async function firstAbort(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals]);
  if (any.aborted) return;
  await new Promise<void>((resolve) => any.addEventListener("abort", () => resolve(), { once: true }));
}
