import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Timer } from "@ottla/runtime";
import type { IWatchRequest, IWatchResponse } from "etcd3";
import type { Revision, Watch, WatchEvent, WatchHandler } from "../metadata-store.ts";
import type { EtcdCluster } from "./etcd-cluster.ts";
import type { EtcdEndpoint } from "./etcd-endpoint.ts";
import { etcdCallError, etcdError } from "./etcd-errors.ts";
import { prefixRange, revisionOf, watchEventOf } from "./etcd-messages.ts";
import type { LostWatchReason } from "./etcd-metrics.ts";

/** The most bytes of one answer's fragments that are held until the last one is there. */
const MAX_FRAGMENT_BYTES = 64 * 1024 * 1024;

type WatchStream = ClientDuplexStream<IWatchRequest, IWatchResponse>;

export interface EtcdWatchOptions {
  readonly cluster: EtcdCluster;
  readonly clock: Clock;
  readonly prefix: string;
  readonly fromRevision: Revision;
  readonly handler: WatchHandler;
  /** How long the watch may take to be set up. */
  readonly timeoutMs: number;
  readonly onOver: (lost: LostWatchReason | undefined) => void;
}

/**
 * One watch on a stream of its own. It never resumes: whatever interrupts it, also what
 * etcd3's own watcher would bridge (and then may skip events), ends it with `onLost`.
 */
export class EtcdWatch implements Watch {
  readonly #options: EtcdWatchOptions;
  readonly #setUpTimer: Timer;
  #stream: WatchStream | undefined;
  #isCreated = false;
  #isOver = false;
  /** The last revision that was handed on, or the one before the first wanted. */
  #revision: Revision;
  #fragments: WatchEvent[] = [];
  #fragmentBytes = 0;

  constructor(options: EtcdWatchOptions) {
    this.#options = options;
    this.#revision = options.fromRevision - 1;
    const { clock, timeoutMs } = options;
    this.#setUpTimer = clock.setTimer(timeoutMs, () => {
      this.lose(etcdError("timeout", `etcd did not set up a watch in ${timeoutMs} ms`), "disconnected");
    });
    void this.#open();
  }

  close(): void {
    this.#end(undefined);
  }

  /** Ends the watch and tells the handler; harmless when it is over. */
  lose(reason: OttlaError, label: LostWatchReason): void {
    if (this.#isOver) return;
    this.#end(label);
    this.#options.handler.onLost(reason);
  }

  #end(lost: LostWatchReason | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fragments = [];
    this.#setUpTimer.cancel();
    this.#stream?.cancel();
    this.#options.onOver(lost);
  }

  async #open(): Promise<void> {
    const { cluster, clock, timeoutMs, prefix, fromRevision } = this.#options;
    try {
      const endpoint = await cluster.ready(clock.monotonic() + timeoutMs);
      if (this.#isOver) return;
      // A member that loses its cluster then ends the stream, instead of leaving it silent.
      const stream = endpoint.stream("Watch.watch", { hasleader: "true" });
      this.#stream = stream;
      stream.on("error", (error: ServiceError) => this.#broken(endpoint, error));
      stream.on("end", () => this.#broken(endpoint, undefined));
      stream.on("data", (response) => this.#receive(endpoint, response));
      const create_request = { ...prefixRange(prefix), start_revision: fromRevision };
      stream.write({ create_request: { ...create_request, progress_notify: true, fragment: true } });
    } catch (thrown) {
      this.lose(toOttlaError(thrown), "disconnected");
    }
  }

  #broken(endpoint: EtcdEndpoint, error: ServiceError | undefined): void {
    if (this.#isOver) return;
    this.#options.cluster.leave(endpoint);
    const what = `the watch at etcd ${endpoint.address}`;
    const reason =
      error === undefined ? etcdError("unreachable", `${what} ended`) : etcdCallError(what, error);
    this.lose(reason, "disconnected");
  }

  #receive(endpoint: EtcdEndpoint, response: IWatchResponse): void {
    if (this.#isOver) return;
    try {
      if (response.canceled) this.#cancelled(endpoint, response);
      else if (response.created) this.#created();
      else this.#collect(response);
    } catch (thrown) {
      this.lose(toOttlaError(thrown), "gap");
    }
  }

  #created(): void {
    this.#isCreated = true;
    this.#setUpTimer.cancel();
  }

  #cancelled(endpoint: EtcdEndpoint, response: IWatchResponse): void {
    const compacted = revisionOf(response.compact_revision);
    if (compacted > 0) {
      const wanted = `cannot watch from revision ${this.#revision + 1}`;
      const message = `${wanted}: the history before ${compacted} is compacted; list again`;
      this.lose(etcdError("compacted", message), "compacted");
      return;
    }
    // A login that has expired looks like a missing permission here; the next list finds out.
    endpoint.forgetToken();
    const why = response.cancel_reason === "" ? "gave no reason" : response.cancel_reason;
    const message = `etcd ${endpoint.address} ended the watch of ${this.#options.prefix}: ${why}`;
    this.lose(etcdError("refused", message), "disconnected");
  }

  /**
   * A large answer comes in fragments, which may part a revision; an answer without
   * events only says: still here.
   */
  #collect(response: IWatchResponse): void {
    if (!this.#isCreated) throw etcdError("unreachable", "etcd sent events before it had set up the watch");
    for (const event of response.events) {
      this.#fragments.push(watchEventOf(event));
      this.#fragmentBytes += event.kv.key.length + event.kv.value.length;
    }
    if (this.#fragmentBytes > MAX_FRAGMENT_BYTES) {
      const message = `etcd sent more than ${MAX_FRAGMENT_BYTES} bytes of events at once; list again`;
      this.lose(etcdError("unreachable", message), "overflow");
      return;
    }
    if (response.fragment) return;
    const events = this.#fragments;
    this.#fragments = [];
    this.#fragmentBytes = 0;
    this.#deliver(events);
  }

  #deliver(events: readonly WatchEvent[]): void {
    for (const change of groupByRevision(events)) {
      if (this.#isOver) return;
      const revision = revisionOfEvent(change[0]);
      if (revision <= this.#revision) {
        const message = `etcd sent revision ${revision} after ${this.#revision}; list again`;
        throw etcdError("unreachable", message);
      }
      this.#revision = revision;
      try {
        this.#options.handler.onEvents(change, revision);
      } catch (thrown) {
        // A handler that failed may have taken in half of the change: only a new list puts it right.
        this.lose(toOttlaError(thrown), "handler");
      }
    }
  }
}

type Change = readonly [WatchEvent, ...WatchEvent[]];

function groupByRevision(events: readonly WatchEvent[]): Change[] {
  const changes: [WatchEvent, ...WatchEvent[]][] = [];
  for (const event of events) {
    const last = changes.at(-1);
    if (last !== undefined && revisionOfEvent(last[0]) === revisionOfEvent(event)) last.push(event);
    else changes.push([event]);
  }
  return changes;
}

function revisionOfEvent(event: WatchEvent): Revision {
  return event.kind === "put" ? event.entry.modRevision : event.revision;
}
