import { OttlaError, toOttlaError } from "@ottla/errors";
import type { Revision, Watch, WatchEvent, WatchHandler } from "./metadata-store.ts";

export interface WatchHubOptions {
  /** The store's revision when the hub starts: nothing up to it can be watched any more. */
  readonly revision: Revision;
  /** How many revisions of history are kept for watches that start in the past. */
  readonly maxRevisions: number;
  /** And how many bytes of keys and values at most. */
  readonly maxBytes: number;
}

interface Change {
  readonly revision: Revision;
  readonly events: readonly WatchEvent[];
}

/** Runs a delivery later: never inside the call that made the change. */
export type DeliverLater = (deliver: () => void) => void;

/** Hands the changes of a store to its watches, in order, and remembers a bounded history of them. */
export class WatchHub {
  readonly #options: WatchHubOptions;
  #history: (Change & { readonly sizeBytes: number })[] = [];
  #historyBytes = 0;
  #compactedRevision: Revision;
  readonly #watches = new Set<HubWatch>();

  constructor(options: WatchHubOptions) {
    this.#options = options;
    this.#compactedRevision = options.revision;
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  publish(revision: Revision, events: readonly WatchEvent[]): void {
    let sizeBytes = 0;
    for (const event of events) {
      sizeBytes +=
        event.kind === "put" ? event.entry.key.length + event.entry.value.byteLength : event.key.length;
    }
    this.#history.push({ revision, events, sizeBytes });
    this.#historyBytes += sizeBytes;
    this.#trim();
    for (const watch of this.#watches) watch.offer({ revision, events });
  }

  watch(
    prefix: string,
    fromRevision: Revision,
    handler: WatchHandler,
    deliverLater: DeliverLater = queueMicrotask,
  ): HubWatch {
    const watch = new HubWatch(prefix, fromRevision, handler, deliverLater, () =>
      this.#watches.delete(watch),
    );
    this.#watches.add(watch);
    if (fromRevision <= this.#compactedRevision) {
      watch.lose(compacted(fromRevision, this.#compactedRevision));
      return watch;
    }
    for (const change of this.#history) watch.offer(change);
    return watch;
  }

  /** Forgets all changes up to `revision`. Watches that have been handed them already go on. */
  compact(revision: Revision): void {
    while ((this.#history[0]?.revision ?? Number.POSITIVE_INFINITY) <= revision) this.#dropOldest();
    this.#compactedRevision = Math.max(this.#compactedRevision, revision);
  }

  loseAll(reason: Error): void {
    for (const watch of this.#watches) watch.lose(reason);
  }

  #trim(): void {
    const { maxRevisions, maxBytes } = this.#options;
    while (
      this.#history.length > maxRevisions ||
      (this.#historyBytes > maxBytes && this.#history.length > 1)
    ) {
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const oldest = this.#history.shift();
    if (oldest === undefined) return;
    this.#historyBytes -= oldest.sizeBytes;
    this.#compactedRevision = oldest.revision;
  }
}

/** One watch: queues what concerns it and delivers later, one call of the handler for each revision. */
export class HubWatch implements Watch {
  readonly #prefix: string;
  readonly #fromRevision: Revision;
  readonly #handler: WatchHandler;
  readonly #deliverLater: DeliverLater;
  readonly #onOver: () => void;
  #queue: Change[] = [];
  #lost: Error | undefined;
  #over = false;
  #scheduled = false;

  constructor(
    prefix: string,
    fromRevision: Revision,
    handler: WatchHandler,
    deliverLater: DeliverLater,
    onOver: () => void,
  ) {
    this.#prefix = prefix;
    this.#fromRevision = fromRevision;
    this.#handler = handler;
    this.#deliverLater = deliverLater;
    this.#onOver = onOver;
  }

  offer(change: Change): void {
    if (this.#over || this.#lost !== undefined || change.revision < this.#fromRevision) return;
    const events = change.events.filter((event) => this.#concerns(event));
    if (events.length === 0) return;
    this.#queue.push({ revision: change.revision, events });
    this.#schedule();
  }

  /** Ends the watch after what is queued has been delivered. */
  lose(reason: Error): void {
    if (this.#over || this.#lost !== undefined) return;
    this.#lost = reason;
    this.#schedule();
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#queue = [];
    this.#onOver();
  }

  #concerns(event: WatchEvent): boolean {
    return (event.kind === "put" ? event.entry.key : event.key).startsWith(this.#prefix);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#deliverLater(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    const changes = this.#queue;
    this.#queue = [];
    for (const change of changes) {
      if (this.#over) return;
      try {
        this.#handler.onEvents(change.events, change.revision);
      } catch (thrown) {
        // A handler that failed may have taken in half of the change: only a new list puts it right.
        this.#lost = toOttlaError(thrown);
        break;
      }
    }
    if (this.#over || this.#lost === undefined) return;
    this.close();
    this.#handler.onLost(this.#lost);
  }
}

function compacted(fromRevision: Revision, compactedRevision: Revision): OttlaError {
  return new OttlaError(
    "METADATA_CONFLICT",
    `cannot watch from revision ${fromRevision}: history up to ${compactedRevision} is compacted; list again`,
  );
}
