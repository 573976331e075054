import { OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Logger } from "@ottla/runtime";
import { ChangedReads } from "./changed-reads.ts";
import {
  ChangeRecorder,
  type ClusterAwaitingNode,
  type ClusterChange,
  type ClusterController,
  type ClusterGroupConfig,
  type ClusterGroupOwner,
  type ClusterNode,
  type ClusterPartition,
  ClusterState,
  type ClusterStorageNode,
  type ClusterTopic,
} from "./cluster-state.ts";
import { MetadataKeys, type NodeRole } from "./keys.ts";
import type { KeyValue, MetadataStore, RangeResult, Revision, Watch, WatchEvent } from "./metadata-store.ts";
import { recoveryNeed } from "./recovery-need.ts";
import { RevisionWaiters } from "./revision-waiters.ts";
import { type FoundStore, type SeenStore, StoreHistory, type StoreMemory } from "./store-history.ts";

/** The first pause after a failed list; it doubles up to the limit. */
const RETRY_MS = 50;
const RETRY_LIMIT_MS = 2000;

/** How long a refresh waits for the store. */
const REFRESH_TIMEOUT_MS = 2000;

export interface ClusterViewOptions {
  readonly store: MetadataStore;
  /** The name of the cluster in the store; see `MetadataKeys`. */
  readonly cluster: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Gives up on waiting for the first list; has no effect later. */
  readonly signal?: AbortSignal;
}

export type ClusterListener = (change: ClusterChange) => void;

/**
 * The cluster as one process sees it: lists all keys, then watches from that revision, and lists again after
 * any loss. Lookups are in memory; what they return never changes in place. The view is a little behind the
 * store: `refresh` and `waitForRevision` are for those who must not miss a change.
 */
export class ClusterView {
  readonly keys: MetadataKeys;
  readonly #store: MetadataStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #state: ClusterState;
  #history = new StoreHistory();
  /** The revision at which each key was last taken in: what is not newer is skipped. */
  readonly #modRevisions = new Map<string, Revision>();
  readonly #listeners = new Set<ClusterListener>();
  readonly #waiters = new RevisionWaiters();
  readonly #changedReads: ChangedReads;
  readonly #closing = new AbortController();
  readonly #sortedNodes = new Map<NodeRole, readonly ClusterNode[]>();
  #sortedTopicNames: readonly string[] | undefined;
  #watch: Watch | undefined;
  /** Set while there is no watch. */
  #lagging: PromiseWithResolvers<void> | undefined;
  #revision: Revision = 0;

  private constructor(options: ClusterViewOptions) {
    this.keys = new MetadataKeys(options.cluster);
    this.#store = options.store;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#state = new ClusterState(this.keys);
    this.#changedReads = new ChangedReads(this.#store, this.keys.changed, REFRESH_TIMEOUT_MS);
  }

  /** Resolves when the cluster has been listed once; waits for the store as long as it takes. */
  static async open(options: ClusterViewOptions): Promise<ClusterView> {
    const view = new ClusterView(options);
    const giveUp = (): void => view.close();
    options.signal?.throwIfAborted();
    options.signal?.addEventListener("abort", giveUp, { once: true });
    try {
      await view.#listUntilDone();
      options.signal?.throwIfAborted();
    } finally {
      options.signal?.removeEventListener("abort", giveUp);
    }
    return view;
  }

  /** All changes of the cluster's keys up to this revision are in the view. */
  get revision(): Revision {
    return this.#revision;
  }

  get clusterId(): string | undefined {
    return this.#state.clusterId;
  }

  /** What all nodes may write and say; undefined until the first coordinator of the cluster was elected. */
  get featureLevel(): number | undefined {
    return this.#state.featureLevel?.level;
  }

  /** The revision at which the level was last changed, to compare with when changing it; 0: never. */
  get featureLevelRevision(): Revision {
    return this.#state.featureLevel?.modRevision ?? 0;
  }

  get controller(): ClusterController | undefined {
    return this.#state.controller;
  }

  /**
   * Set while the store is behind what this node has seen before: a backup was restored. The view shows what
   * is there all the same; nobody may act on it whose epochs would come again.
   */
  get goneBackTo(): FoundStore | undefined {
    return this.#history.goneBackTo;
  }

  /** What this node has seen in its earlier runs counts from now on, and what it sees is remembered. */
  recall(memory: StoreMemory): void {
    this.#history = new StoreHistory(memory);
    this.#judgeStore(new ChangeRecorder(this.#revision));
  }

  get seenStore(): SeenStore {
    return this.#history.seen;
  }

  get recoveryGeneration(): number {
    return this.#state.recoveryGeneration;
  }

  /** Storage nodes that wait for a recovery, in no order. */
  awaitingNodes(): Iterable<ClusterAwaitingNode> {
    return this.#state.awaiting.values();
  }

  /** Why the cluster needs `ottla cluster recover`; undefined when it does not. */
  get recoveryNeed(): string | undefined {
    return recoveryNeed(this);
  }

  /** Whether the moves that the coordinator begins by itself are paused. */
  get isBalancingPaused(): boolean {
    return this.#state.isBalancingPaused;
  }

  /** Only topics that are live: one being created or deleted has no name for clients. */
  topicByName(name: string): ClusterTopic | undefined {
    const topicId = this.#state.topicIdsByName.get(name);
    return topicId === undefined ? undefined : this.#state.topics.get(topicId);
  }

  /** In any phase: a "deleted" one is the tombstone on which replicas' files may be removed. */
  topicById(topicId: string): ClusterTopic | undefined {
    return this.#state.topics.get(topicId);
  }

  /** In any phase, in no order. */
  topics(): IterableIterator<ClusterTopic> {
    return this.#state.topics.values();
  }

  /** The names of all live topics, sorted. */
  topicNames(): readonly string[] {
    this.#sortedTopicNames ??= [...this.#state.topicIdsByName.keys()].sort();
    return this.#sortedTopicNames;
  }

  partition(topicId: string, partition: number): ClusterPartition | undefined {
    return this.#state.partitions.get(topicId)?.get(partition);
  }

  /** Those of one topic, in no order. */
  partitionsOf(topicId: string): Iterable<ClusterPartition> {
    return this.#state.partitions.get(topicId)?.values() ?? [];
  }

  /** All partitions, in no order. */
  *partitions(): Generator<ClusterPartition> {
    for (const ofTopic of this.#state.partitions.values()) yield* ofTopic.values();
  }

  /** The registered nodes of a role, by node id, without those that cannot work at the cluster's level. */
  nodes(role: NodeRole): readonly ClusterNode[] {
    let sorted = this.#sortedNodes.get(role);
    if (sorted === undefined) {
      const nodes = [...(this.#state.nodes.get(role)?.values() ?? [])];
      sorted = nodes.filter((node) => this.#state.canWork(node)).sort((a, b) => a.nodeId - b.nodeId);
      this.#sortedNodes.set(role, sorted);
    }
    return sorted;
  }

  /** Undefined also for a node that is registered and cannot work at the cluster's feature level. */
  node(role: NodeRole, nodeId: number): ClusterNode | undefined {
    const node = this.#state.nodes.get(role)?.get(nodeId);
    return node !== undefined && this.#state.canWork(node) ? node : undefined;
  }

  /** Nodes that are registered and cannot work at the cluster's feature level, in no order. */
  refusedNodes(): readonly ClusterNode[] {
    const nodes = [...this.#state.nodes.values()].flatMap((ofRole) => [...ofRole.values()]);
    return nodes.filter((node) => !this.#state.canWork(node));
  }

  /** What the coordinator remembers about a storage node, registered now or not. */
  storageNode(nodeId: number): ClusterStorageNode | undefined {
    return this.#state.storageNodes.get(nodeId);
  }

  /** Who owns the groups of a partition of the internal topic. */
  groupOwner(partition: number): ClusterGroupOwner | undefined {
    return this.#state.groupOwners.get(partition);
  }

  groupOwners(): Iterable<ClusterGroupOwner> {
    return this.#state.groupOwners.values();
  }

  /** What was set on groups, by their ids; who sets nothing is not among them. */
  get groupConfigs(): ReadonlyMap<string, ClusterGroupConfig> {
    return this.#state.groupConfigs;
  }

  /** All storage nodes that the coordinator remembers, in order. */
  storageNodeIds(): number[] {
    return [...this.#state.storageNodes.keys()].sort((left, right) => left - right);
  }

  /** Undefined while the view follows the store; else rejects when it does not again before long. */
  untilFollowing(): Promise<void> | undefined {
    if (this.#lagging === undefined) return undefined;
    const late = this.#clock.sleep(REFRESH_TIMEOUT_MS, this.#closing.signal).then(() => {
      throw new OttlaError("METADATA_UNAVAILABLE", "the view of the cluster has lost the metadata store");
    });
    return Promise.race([this.#lagging.promise, late]);
  }

  /** Calls the listener after each revision that changed something; returns a function that ends it. */
  onChange(listener: ClusterListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /**
   * Resolves when the view has all changes up to `revision`, which must be one at which a key of this cluster
   * changed (as answers of the coordinator carry it). Rejects when the signal aborts or the view is closed.
   */
  waitForRevision(revision: Revision, signal?: AbortSignal): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve();
    if (this.#closing.signal.aborted) return Promise.reject(viewClosed());
    return this.#waiters.wait(revision, signal);
  }

  /**
   * Resolves when the view shows all that the coordinator had committed before: a linearizable read.
   * Rejects soon where the store is away, since most who ask can go on with what they know. Those
   * who ask while a read is under way, which may have begun too early for them, share the next one.
   */
  async refresh(signal?: AbortSignal): Promise<void> {
    const changed = await this.#changedReads.next();
    if (changed !== undefined) await this.waitForRevision(changed, signal);
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(viewClosed());
    this.#watch?.close();
    this.#waiters.rejectAll(viewClosed());
    this.#listeners.clear();
  }

  async #listUntilDone(): Promise<void> {
    let pauseMs = RETRY_MS;
    for (;;) {
      this.#closing.signal.throwIfAborted();
      try {
        const listed = await this.#store.range(this.keys.root);
        if (this.#closing.signal.aborted) continue;
        this.#takeList(listed);
        return;
      } catch (thrown) {
        this.#closing.signal.throwIfAborted();
        this.#logger.warn(
          { reason: toOttlaError(thrown).message },
          "cannot list the cluster's metadata, will try again",
        );
      }
      await this.#clock.sleep(pauseMs, this.#closing.signal);
      pauseMs = Math.min(pauseMs * 2, RETRY_LIMIT_MS);
    }
  }

  #takeList(listed: RangeResult): void {
    const change = new ChangeRecorder(listed.revision);
    const gone = new Set(this.#modRevisions.keys());
    const changed = listed.entries.find(({ key }) => key === this.keys.changed)?.modRevision ?? 0;
    const isOther = listed.revision < this.#revision || changed < this.#state.changedRevision;
    // Revisions of another history say nothing about what stands there.
    if (isOther) this.#modRevisions.clear();
    for (const entry of listed.entries) {
      gone.delete(entry.key);
      this.#put(entry, change);
    }
    for (const key of gone) this.#delete(key, change);
    if (isOther) this.#goBack(listed.revision);
    this.#finish(change);
    this.#lagging?.resolve();
    this.#lagging = undefined;
    this.#watch = this.#store.watch(this.keys.root, listed.revision + 1, {
      onEvents: (events, revision) => this.#takeEvents(events, revision),
      onLost: (reason) => this.#listAgain(reason),
    });
  }

  #takeEvents(events: readonly WatchEvent[], revision: Revision): void {
    const change = new ChangeRecorder(revision);
    for (const event of events) {
      if (event.kind === "put") this.#put(event.entry, change);
      else this.#delete(event.key, change);
    }
    this.#finish(change);
  }

  #listAgain(reason: Error): void {
    if (this.#closing.signal.aborted) return;
    this.#lagging = Promise.withResolvers();
    this.#logger.info(
      { reason: reason.message },
      "the watch of the cluster's metadata was lost, listing again",
    );
    this.#listUntilDone().catch((thrown: unknown) => {
      if (this.#closing.signal.aborted) return;
      this.#logger.error({ err: toOttlaError(thrown) }, "the view of the cluster has stopped");
    });
  }

  #put(entry: KeyValue, change: ChangeRecorder): void {
    if (this.#modRevisions.get(entry.key) === entry.modRevision) return;
    this.#modRevisions.set(entry.key, entry.modRevision);
    try {
      this.#state.put(entry, change);
    } catch (thrown) {
      // What was there before stays: one bad value must not take a partition away, let alone the process.
      this.#logger.error({ key: entry.key, err: toOttlaError(thrown) }, "skipped a bad metadata value");
    }
  }

  #delete(key: string, change: ChangeRecorder): void {
    this.#modRevisions.delete(key);
    this.#state.delete(key, change);
  }

  /** Who waits for a revision of the other history would wait for something else now. */
  #goBack(revision: Revision): void {
    this.#revision = revision;
    this.#waiters.rejectAll(
      new OttlaError("METADATA_UNAVAILABLE", "the metadata store went back to an earlier state"),
    );
  }

  #judgeStore(change: ChangeRecorder): void {
    const { recoveryGeneration: generation, changedRevision, writtenBy, terms } = this.#state;
    const { revision } = change;
    if (!this.#history.take({ generation, revision, changedRevision, writtenBy, terms })) return;
    change.recoveryChanged = true;
    const { goneBackTo, seenStore: seen } = this;
    if (goneBackTo === undefined) this.#logger.info({ generation, revision }, "the metadata is recovered");
    else this.#logger.error({ seen, found: goneBackTo }, this.recoveryNeed);
  }

  #finish(change: ChangeRecorder): void {
    this.#judgeStore(change);
    this.#revision = Math.max(this.#revision, change.revision);
    if (change.topicIds.size > 0) this.#sortedTopicNames = undefined;
    for (const { role } of change.nodes) this.#sortedNodes.delete(role);
    if (!change.isEmpty) {
      for (const listener of this.#listeners) this.#notify(listener, change);
    }
    this.#waiters.reached(this.#revision);
  }

  #notify(listener: ClusterListener, change: ClusterChange): void {
    try {
      listener(change);
    } catch (thrown) {
      this.#logger.error({ err: toOttlaError(thrown) }, "a listener of the cluster view failed");
    }
  }
}

function viewClosed(): OttlaError {
  return new OttlaError("UNAVAILABLE", "the view of the cluster is closed");
}
