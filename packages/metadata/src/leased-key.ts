import { OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Logger } from "@ottla/runtime";
import type { KeyValue, Lease, MetadataStore, Revision } from "./metadata-store.ts";

const RETRY_MS = 100;
const RETRY_LIMIT_MS = 2000;

export interface LeasedKeyOptions {
  readonly store: MetadataStore;
  readonly key: string;
  /** What to put there now. */
  readonly value: () => Uint8Array;
  readonly ttlMs: number;
  /** Whether the key that stands there is this caller's own, written by an attempt whose answer was lost. */
  readonly isOwn: (entry: KeyValue) => boolean;
  /** Whether the holder of the key that stands there is known to be gone, so that it may be deleted. */
  readonly mayTakeOver: (entry: KeyValue) => boolean;
  /** Called when another holds the key, each time before it is waited for; throws to wait no more. */
  readonly onHeld?: (entry: KeyValue) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal?: AbortSignal | undefined;
}

export interface LeasedKey {
  readonly lease: Lease;
  readonly createRevision: Revision;
}

/**
 * Creates a key under a lease of its own. Where another holds the key, waits until that one is gone, however
 * long. Tries again while the store is away. Rejects only when the signal aborts, or with what `onHeld`
 * throws.
 */
export async function acquireLeasedKey(options: LeasedKeyOptions): Promise<LeasedKey> {
  const { store, ttlMs, clock, logger, signal } = options;
  let lease: Lease | undefined;
  let pauseMs = RETRY_MS;
  try {
    for (;;) {
      signal?.throwIfAborted();
      try {
        if (lease === undefined || lease.lost.aborted) lease = await store.lease({ ttlMs });
        const createRevision = await tryCreate(options, lease);
        if (createRevision !== undefined && !lease.lost.aborted) return { lease, createRevision };
        pauseMs = RETRY_MS;
      } catch (thrown) {
        signal?.throwIfAborted();
        if (thrown instanceof Refusal) throw thrown.reason;
        logger.warn(
          { key: options.key, reason: toOttlaError(thrown).message },
          "cannot write a leased key, will try again",
        );
        await clock.sleep(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, RETRY_LIMIT_MS);
      }
    }
  } catch (thrown) {
    // Given up: the lease would run out by itself, but others need not wait for that.
    await lease?.revoke().catch(() => undefined);
    throw toOttlaError(thrown);
  }
}

/** Undefined when another holds the key; by then there is reason to look again. */
async function tryCreate(options: LeasedKeyOptions, lease: Lease): Promise<Revision | undefined> {
  const { store, key, value } = options;
  const created = await store.transact({
    compare: [{ key, createRevision: 0 }],
    success: [{ kind: "put", key, value: value(), leaseId: lease.id }],
    failure: [{ kind: "get", key }],
  });
  if (created.succeeded) return created.revision;
  const holder = created.reads[0];
  if (holder === undefined) return undefined;
  if (options.isOwn(holder)) {
    if (holder.leaseId === lease.id) return holder.createRevision;
    // Written under a lease that was lost since: nobody keeps it alive.
    await deleteHolder(options, holder);
  } else if (options.mayTakeOver(holder)) {
    options.logger.info({ key }, "taking over a key whose holder is gone");
    await deleteHolder(options, holder);
  } else {
    noteHeld(options, holder);
    await untilChanged(options, created.revision + 1);
  }
  return undefined;
}

/** Carries what `onHeld` has thrown past those that try again. */
class Refusal extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super("refused");
    this.reason = reason;
  }
}

function noteHeld({ onHeld }: LeasedKeyOptions, holder: KeyValue): void {
  try {
    onHeld?.(holder);
  } catch (thrown) {
    throw new Refusal(thrown);
  }
}

async function deleteHolder(options: LeasedKeyOptions, holder: KeyValue): Promise<void> {
  const { store, key } = options;
  await store.transact({
    compare: [{ key, createRevision: holder.createRevision }],
    success: [{ kind: "delete", key }],
  });
}

/**
 * Resolves at the next change of the key, when the watch is lost, or after a while: a watch is only a hint.
 */
async function untilChanged(options: LeasedKeyOptions, fromRevision: Revision): Promise<void> {
  const { store, key, clock, ttlMs, signal } = options;
  const done = new AbortController();
  const wake = (): void => done.abort(new OttlaError("CANCELLED", "the key has changed"));
  const watch = store.watch(key, fromRevision, { onEvents: wake, onLost: wake });
  const signals = signal === undefined ? [done.signal] : [done.signal, signal];
  try {
    await clock.sleep(ttlMs, AbortSignal.any(signals));
  } catch (thrown) {
    if (!done.signal.aborted) throw thrown;
  } finally {
    watch.close();
  }
}
