import { OttlaError, toOttlaError } from "@ottla/errors";
import type { LogConfig } from "@ottla/log";
import type { ClusterChange, ClusterPartition, ClusterView, TopicPhase } from "@ottla/metadata";
import { type Clock, Deadlines, type Logger } from "@ottla/runtime";
import type { LeaderLookup } from "./leader-lookup.ts";
import { removeUnlessBack, tidyLeftBehind } from "./left-behind.ts";
import { logConfigOf } from "./log-config.ts";
import type { PartitionDirectories } from "./partition-directories.ts";
import type { PartitionLeader } from "./partition-leader.ts";
import { PartitionReplica, type ReplicaAssignment } from "./partition-replica.ts";
import type { ReadableReplica } from "./readable-replica.ts";
import { refusal } from "./refusals.ts";
import type { ReplicationNode } from "./replication-node.ts";
import { TaskPool } from "./task-pool.ts";
import { FetchPurgatoryLimit } from "./waiting-fetches.ts";
import { whyNotLed } from "./why-not-led.ts";

export interface PartitionStoreOptions {
  readonly view: ClusterView;
  readonly directories: PartitionDirectories;
  readonly node: ReplicationNode;
  /** The node's own values for topic settings that a topic does not set. */
  readonly topicDefaults: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxWaitingFetches: number;
  /** How many logs are opened, closed or deleted at once. */
  readonly concurrency: number;
}

/**
 * How long a request for a partition that is not led here waits for the view, or for the log, to catch up.
 */
const LOOKUP_WAIT_MS = 1_000;

/** All replicas of this node, kept as the cluster's metadata wants them. */
export class PartitionStore implements LeaderLookup {
  readonly #options: PartitionStoreOptions;
  readonly #replicas = new Map<string, PartitionReplica>();
  /** Partitions whose directories are being removed or put aside. */
  readonly #dropping = new Set<string>();
  readonly #deadlines: Deadlines;
  readonly #purgatoryLimit: FetchPurgatoryLimit;
  readonly #pool: TaskPool;
  readonly #leaderWaiters = new Map<string, Set<() => void>>();
  readonly #work = new Set<Promise<void>>();
  /** By topic id: parsed once for each change of a topic, so that a replica can tell whether it changed. */
  readonly #configs = new Map<string, { readonly modRevision: number; readonly config: LogConfig }>();
  readonly #retentionListeners = new Set<(replica: PartitionReplica) => void>();
  #unsubscribe: (() => void) | undefined;
  #closed = false;
  #isSuspended = false;

  constructor(options: PartitionStoreOptions) {
    this.#options = options;
    this.#deadlines = new Deadlines({ clock: options.clock });
    this.#purgatoryLimit = new FetchPurgatoryLimit(options.maxWaitingFetches);
    this.#pool = new TaskPool(options.concurrency);
  }

  /** Follows the view from now on, and puts aside or removes what lies on disk and is not ours any more. */
  async start(): Promise<void> {
    const { view } = this.#options;
    this.#unsubscribe = view.onChange((change) => this.#follow(change));
    if (view.goneBackTo === undefined) return this.#begin();
    this.#isSuspended = true;
    for (const { topicId, partition } of await this.#options.directories.list()) {
      this.#add(topicId, partition, { state: undefined, config: this.#configOf(topicId) });
    }
  }

  /** The metadata is not what it was: nothing is led, followed or removed until it is recovered. */
  get isSuspended(): boolean {
    return this.#isSuspended;
  }

  #begin(): Promise<void> {
    for (const { topicId, partition } of this.#options.view.partitions()) this.#reconcile(topicId, partition);
    return this.#sweep();
  }

  #follow(change: ClusterChange): void {
    const { view } = this.#options;
    if (view.goneBackTo !== undefined) return this.#suspend();
    if (this.#isSuspended) return this.#resume();
    for (const topicId of change.topicIds) this.#reconcileTopic(topicId);
    for (const { topicId, partition } of change.partitions) this.#reconcile(topicId, partition);
    if (change.nodes.some(({ role }) => role === "partition-storage")) {
      for (const replica of this.#replicas.values()) replica.onNodes();
    }
  }

  #suspend(): void {
    if (!this.#isSuspended) for (const replica of this.#replicas.values()) replica.suspend();
    this.#isSuspended = true;
  }

  /** All that lies here is looked at anew, in the light of what the metadata is now. */
  #resume(): void {
    const { node, view } = this.#options;
    this.#isSuspended = false;
    for (const replica of this.#replicas.values()) {
      const { topicId, partition } = replica;
      if (view.partition(topicId, partition)?.replicas.includes(node.nodeId) === true) continue;
      const isDeleted = view.topicById(topicId)?.phase === "deleted";
      const reason = new OttlaError("NOT_LEADER_OR_FOLLOWER", `${replica.name} is not of this node now`);
      this.#drop(replica, reason, isDeleted ? "remove" : "set-aside");
    }
    this.#track(this.#begin());
  }

  /**
   * The node has registered (again): it leads what the metadata gives to this registration, and nothing else.
   */
  onRegistered(nodeEpoch: number): void {
    for (const replica of this.#replicas.values()) {
      replica.onRegistered(nodeEpoch);
      replica.open?.onLease(true);
    }
  }

  /** Until the next registration the node changes no ISR and takes no weak acks (R10). */
  onLeaseLost(): void {
    for (const replica of this.#replicas.values()) replica.open?.onLease(false);
  }

  /** The disk does not answer: whatever another could lead, this node leads no longer. */
  onDiskStalled(): void {
    const { nodeId, nodes } = this.#options.node;
    for (const { leader, open } of this.#replicas.values()) {
      const isr = leader?.state.term.isr ?? [];
      if (isr.some((member) => member !== nodeId && nodes.has(member))) open?.resign();
    }
  }

  find(topicId: string, partition: number, leaderEpoch: number): PartitionLeader | undefined {
    const leader = this.#replicas.get(keyOf(topicId, partition))?.leader;
    return leader === undefined || leader.leaderEpoch < leaderEpoch ? undefined : leader;
  }

  findReadable(topicId: string, partition: number): ReadableReplica | undefined {
    const replica = this.#replicas.get(keyOf(topicId, partition));
    return replica?.leader ?? replica?.follower;
  }

  replica(topicId: string, partition: number): PartitionReplica | undefined {
    return this.#replicas.get(keyOf(topicId, partition));
  }

  async waitFor(topicId: string, partition: number, leaderEpoch: number): Promise<PartitionLeader> {
    const found = this.find(topicId, partition, leaderEpoch);
    if (found !== undefined) return found;
    await this.#options.view.refresh().catch((thrown: unknown) => {
      this.#options.logger.debug({ err: toOttlaError(thrown) }, "cannot refresh the view for a lookup");
    });
    return new Promise((resolve, reject) => {
      const key = keyOf(topicId, partition);
      const look = (): boolean => {
        if (this.#closed) {
          stop();
          reject(refusal("NOT_LEADER_OR_FOLLOWER", `node ${this.#options.node.nodeId} is shutting down`));
          return true;
        }
        const leader = this.find(topicId, partition, leaderEpoch);
        if (leader === undefined) return false;
        stop();
        resolve(leader);
        return true;
      };
      const deadline = this.#deadlines.set(LOOKUP_WAIT_MS, () => {
        stop();
        reject(this.#whyNotLed(topicId, partition));
      });
      const stop = (): void => {
        deadline.cancel();
        this.#stopWaiting(key, look);
      };
      const waiters = this.#leaderWaiters.get(key) ?? new Set();
      this.#leaderWaiters.set(key, waiters.add(look));
      if (look()) return;
      // Nothing on its way here: no use in waiting.
      if (this.#replicas.get(key)?.shouldLead !== true) {
        stop();
        reject(this.#whyNotLed(topicId, partition));
      }
    });
  }

  keys(): { readonly topicId: string; readonly partition: number }[] {
    return [...this.#replicas.values()].map(({ topicId, partition }) => ({ topicId, partition }));
  }

  replicas(): Iterable<PartitionReplica> {
    return this.#replicas.values();
  }

  /** Called when what a topic keeps has changed, for each of its replicas here. */
  onRetentionChange(listener: (replica: PartitionReplica) => void): void {
    this.#retentionListeners.add(listener);
  }

  get waitingFetches(): number {
    return this.#purgatoryLimit.waiting;
  }

  /** Why partitions that should be served here are not; undefined when all is well. */
  notReady(): string | undefined {
    if (this.#isSuspended) return "the metadata store went back: nothing is served before it is recovered";
    const replicas = [...this.#replicas.values()];
    const opening = replicas.filter(({ log, failure }) => log === undefined && failure === undefined).length;
    if (opening > 0) return `${opening} partitions are being opened`;
    const wanted = replicas.filter(({ shouldLead }) => shouldLead);
    const beginning = wanted.filter(({ leader, failure }) => leader === undefined && failure === undefined);
    if (beginning.length > 0) return `${beginning.length} partitions are not led yet`;
    // A node that serves others must stay reachable for them: one sick partition is for the metrics.
    if (wanted.length === 0 || wanted.some(({ leader }) => leader !== undefined)) return undefined;
    return `none of the ${wanted.length} partitions of this node can be led: ${wanted[0]?.failure?.message}`;
  }

  /** Resolves when everything that was under way is done: logs opened, directories removed. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  /**
   * Fails all who wait, then flushes and closes all logs. False when one of them could not be closed cleanly.
   */
  async close(): Promise<boolean> {
    this.#closed = true;
    this.#unsubscribe?.();
    for (const waiters of this.#leaderWaiters.values()) for (const look of waiters) look();
    await this.settled();
    const replicas = [...this.#replicas.values()];
    this.#replicas.clear();
    const failed = replicas.some(({ failure }) => failure !== undefined);
    const closed = await Promise.allSettled(replicas.map((replica) => this.#pool.run(() => replica.close())));
    this.#deadlines.clear();
    const unclean = closed.filter((result) => result.status === "rejected");
    const [first] = unclean;
    if (first !== undefined) {
      const err = toOttlaError(first.reason);
      this.#options.logger.error({ logs: unclean.length, err }, "cannot close logs cleanly");
    }
    return !failed && unclean.length === 0;
  }

  #reconcileTopic(topicId: string): void {
    for (const { partition } of this.#options.view.partitionsOf(topicId)) this.#reconcile(topicId, partition);
    for (const replica of this.#replicas.values()) {
      if (replica.topicId === topicId) this.#reconcile(topicId, replica.partition);
    }
    if (this.#options.view.topicById(topicId)?.phase !== "deleted") return;
    this.#configs.delete(topicId);
    this.#track(this.#pool.run(() => this.#sweep(topicId)));
  }

  #reconcile(topicId: string, partition: number): void {
    const key = keyOf(topicId, partition);
    // When its files are gone it is looked at again: it may have come back to this node meanwhile.
    if (this.#closed || this.#isSuspended || this.#dropping.has(key)) return;
    const { view, node } = this.#options;
    const state = view.partition(topicId, partition);
    const phase = view.topicById(topicId)?.phase;
    const replica = this.#replicas.get(key);
    const isGoing = phase === "deleting" || phase === "deleted";
    if (state === undefined || isGoing || !state.replicas.includes(node.nodeId)) {
      if (replica !== undefined) this.#withdraw(replica, state, phase);
      return;
    }
    const assignment = { state, config: this.#configOf(topicId) };
    if (replica === undefined) this.#add(topicId, partition, assignment);
    else replica.assign(assignment);
  }

  /** A replica that is not wanted here any more. Its files go on the coordinator's word only. */
  #withdraw(
    replica: PartitionReplica,
    state: ClusterPartition | undefined,
    phase: TopicPhase | undefined,
  ): void {
    const { nodeId } = this.#options.node;
    const { topicId, name } = replica;
    if (phase === "deleted") {
      this.#drop(replica, new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `${name} was deleted`), "remove");
    } else if (phase === undefined) {
      this.#drop(
        replica,
        new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `${name} is not in the metadata`),
        "set-aside",
      );
    } else if (phase === "deleting" || state === undefined) {
      replica.assign({ state: undefined, config: this.#configOf(topicId) });
    } else if (state.isr.includes(nodeId)) {
      replica.assign({ state, config: this.#configOf(topicId) });
    } else {
      const reason = new OttlaError("NOT_LEADER_OR_FOLLOWER", `${name} has moved to other nodes`);
      this.#drop(replica, reason, "remove");
    }
  }

  #add(topicId: string, partition: number, assignment: ReplicaAssignment): void {
    const { directories, node, clock, logger, view } = this.#options;
    const key = keyOf(topicId, partition);
    const replica = new PartitionReplica({
      topicId,
      partition,
      name: `${view.topicById(topicId)?.name ?? topicId}-${partition}`,
      node,
      assignment,
      openLog: (config, cutFrom) => directories.openLog({ topicId, partition, config, cutFrom }),
      clock,
      deadlines: this.#deadlines,
      purgatoryLimit: this.#purgatoryLimit,
      logger,
      onLeaderChange: () => {
        for (const look of this.#leaderWaiters.get(key) ?? []) look();
      },
      onRetentionChange: () => {
        for (const listener of this.#retentionListeners) listener(replica);
      },
    });
    this.#replicas.set(key, replica);
    this.#track(this.#pool.run(() => replica.openLog()));
  }

  #drop(replica: PartitionReplica, reason: OttlaError, how: "remove" | "set-aside"): void {
    const { topicId, partition } = replica;
    const { directories, logger } = this.#options;
    const key = keyOf(topicId, partition);
    this.#replicas.delete(key);
    const work = this.#pool.run(async () => {
      await replica.discard(reason);
      if (how === "remove") await removeUnlessBack(this.#options, replica);
      else await directories.setAside(topicId, partition, "its topic is not in the metadata");
    });
    this.#dropping.add(key);
    logger.info({ partition: replica.name, how }, reason.message);
    this.#track(
      work
        .catch((thrown: unknown) => {
          logger.error({ partition: replica.name, err: toOttlaError(thrown) }, "cannot remove a partition");
        })
        .finally(() => {
          this.#dropping.delete(key);
          this.#reconcile(topicId, partition);
        }),
    );
  }

  async #sweep(onlyTopicId?: string): Promise<void> {
    const { node, view } = this.#options;
    // What is being dropped is somebody's work already, even when it is done before its turn comes here.
    const dropping = new Set(this.#dropping);
    await tidyLeftBehind({
      ...this.#options,
      nodeId: node.nodeId,
      onlyTopicId,
      isRecovered: view.recoveryGeneration > 0,
      isInUse: (topicId, partition) => {
        const key = keyOf(topicId, partition);
        return this.#replicas.has(key) || this.#dropping.has(key) || dropping.has(key);
      },
    });
  }

  #configOf(topicId: string): LogConfig {
    const { view, topicDefaults } = this.#options;
    const topic = view.topicById(topicId);
    const known = this.#configs.get(topicId);
    if (known !== undefined && known.modRevision === topic?.modRevision) return known.config;
    const config = logConfigOf(topic?.configs ?? {}, topicDefaults);
    if (topic !== undefined) this.#configs.set(topicId, { modRevision: topic.modRevision, config });
    return config;
  }

  #whyNotLed(topicId: string, partition: number): Error {
    const { node, view } = this.#options;
    const replica = this.#replicas.get(keyOf(topicId, partition));
    return whyNotLed({ view, nodeId: node.nodeId, topicId, partition, replica });
  }

  #stopWaiting(key: string, look: () => boolean): void {
    const waiters = this.#leaderWaiters.get(key);
    waiters?.delete(look);
    if (waiters?.size === 0) this.#leaderWaiters.delete(key);
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((thrown: unknown) => {
        this.#options.logger.error({ err: toOttlaError(thrown) }, "cannot tidy the partitions on disk");
      })
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

function keyOf(topicId: string, partition: number): string {
  return `${topicId}-${partition}`;
}
