import { type ClusterPartition, type DrainState, defaultReplicationFactor } from "@ottla/metadata";
import { failUnlessWritten, type PartitionChange, type PartitionWriter } from "./partition-writer.ts";
import { isMoving, targetReplicas } from "./reassignment-rules.ts";
import type { Reassignments } from "./reassignments.ts";
import { type PlanNode, type PlannedMove, type PlanPartition, planMoves } from "./replica-plan.ts";
import type { StorageNodeRecords } from "./storage-node-records.ts";
import type { StorageNodes } from "./storage-nodes.ts";
import type { Term } from "./term.ts";

/** When the next step is due though nothing happens, while a node is being filled or drained. */
const BUSY_STEP_MS = 1000;
const IDLE_STEP_MS = 5000;
/** A node that only restarts keeps what it has fetched. */
const STUCK_AFTER_MS = 30_000;

interface BalanceServices {
  readonly nodes: StorageNodes;
  readonly partitions: PartitionWriter;
  readonly records: StorageNodeRecords;
  readonly reassignments: Reassignments;
}

/**
 * The moves that nobody asks for one by one: a new node gets its share of replicas, a
 * drained one gives all away, the system's own topics get as many replicas as others. A
 * few at a time; each step plans anew from what is there, so whoever coordinates goes on.
 */
export class ReplicaBalance {
  readonly #term: Term;
  readonly #services: BalanceServices;
  /** Since when nodes that replicas are moved to are away. */
  readonly #awaySinceMs = new Map<number, number>();

  constructor(term: Term, services: BalanceServices) {
    this.#term = term;
    this.#services = services;
  }

  /** Ends the moves that can be ended and begins the next ones. */
  async step(): Promise<number | undefined> {
    const { reassignments, records } = this.#services;
    await reassignments.completeAll();
    this.#noteWhoIsAway();
    const nodes = this.#nodes();
    const concerned = nodes.filter(({ state }) => state !== "active");
    const growing = this.#growingTopics(nodes);
    if (concerned.length + growing.size === 0) return undefined;
    const partitions = this.#partitions();
    const held = heldReplicas(partitions);
    for (const { nodeId } of concerned) {
      if (this.#services.nodes.drainOf(nodeId) !== "draining" || held.has(nodeId)) continue;
      await records.change(nodeId, (record) => ({ ...record, drain: "drained" }));
      this.#term.logger.info({ nodeId }, "the storage node is drained: it holds no replicas any more");
    }
    if (this.#term.view.isBalancingPaused) return undefined;
    const planned = await this.#beginMoves(nodes, partitions, growing);
    await this.#endFilling(concerned, partitions, planned);
    if (planned.length > 0) return BUSY_STEP_MS;
    const isIdle = concerned.every(({ nodeId }) => this.#services.nodes.drainOf(nodeId) === "drained");
    return isIdle && growing.size === 0 ? undefined : IDLE_STEP_MS;
  }

  /** Returns the moves that are planned, whether they were begun or wait for others. */
  async #beginMoves(
    nodes: readonly PlanNode[],
    partitions: readonly ClusterPartition[],
    growing: ReadonlyMap<string, number>,
  ): Promise<readonly PlannedMove[]> {
    const { reassignments, partitions: writer } = this.#services;
    const limit = this.#term.limits.maxReplicaMoves;
    await this.#giveUpMoves(partitions);
    // One that waits for a node to come back keeps nobody busy.
    const busy = partitions.filter((state) => isMoving(state) && !this.#isStuck(state));
    const free = limit - busy.length;
    const plan = planMoves(
      nodes,
      partitions.map((state) => this.#toPlan(state, growing.get(state.topicId))),
    );
    const planned = first(plan, Math.max(1, free));
    // A partition that moves twice does so once here: the rest follows when that is done.
    const begun = new Map<string, PartitionChange>();
    for (const { topicId, partition, replicas } of planned.slice(0, Math.max(0, free))) {
      const key = this.#term.view.keys.partition(topicId, partition);
      if (begun.has(key)) continue;
      const decide = (state: ClusterPartition) =>
        this.#isFixed(state) ? undefined : reassignments.decide(state, replicas);
      begun.set(key, { topicId, partition, decide });
    }
    failUnlessWritten(await writer.apply([...begun.values()]));
    if (begun.size > 0) this.#term.logger.info({ partitions: begun.size }, "began to move replicas");
    return planned;
  }

  /** When the target has been away for so long, a move is stuck, which need not be one for ever. */
  #isStuck({ addingReplicas = [] }: ClusterPartition): boolean {
    const longAgoMs = this.#term.clock.monotonic() - STUCK_AFTER_MS;
    return addingReplicas.some((nodeId) => (this.#awaySinceMs.get(nodeId) ?? Infinity) <= longAgoMs);
  }

  #noteWhoIsAway(): void {
    const { clock, view } = this.#term;
    const targets = new Set(this.#partitions().flatMap(({ addingReplicas }) => addingReplicas ?? []));
    for (const nodeId of this.#awaySinceMs.keys()) if (!targets.has(nodeId)) this.#awaySinceMs.delete(nodeId);
    for (const nodeId of targets) {
      if (view.node("partition-storage", nodeId) !== undefined) this.#awaySinceMs.delete(nodeId);
      else if (!this.#awaySinceMs.has(nodeId)) this.#awaySinceMs.set(nodeId, clock.monotonic());
    }
  }

  /**
   * Ends moves that were to fill a node that is away: it gets its share when it is back, and until then
   * others may. What an operator has asked for, of nodes that are not being filled, waits for the operator.
   */
  async #giveUpMoves(partitions: readonly ClusterPartition[]): Promise<void> {
    const { reassignments, partitions: writer } = this.#services;
    const { view, logger } = this.#term;
    const isForFilling = ({ addingReplicas = [] }: ClusterPartition): boolean =>
      addingReplicas.some((nodeId) => view.storageNode(nodeId)?.filling === true);
    const changes = partitions
      .filter((state) => this.#isStuck(state) && isForFilling(state))
      .map(({ topicId, partition }): PartitionChange => {
        const decide = (state: ClusterPartition) =>
          this.#isStuck(state) ? reassignments.decide(state, undefined) : undefined;
        return { topicId, partition, decide };
      });
    if (changes.length === 0) return;
    failUnlessWritten(await writer.apply(changes));
    const nodeIds = [...this.#awaySinceMs.keys()];
    logger.warn({ partitions: changes.length, nodeIds }, "gave up moves of replicas to nodes that are away");
  }

  /** A node has its share when nothing is planned any more and nothing is on its way to it. */
  async #endFilling(
    concerned: readonly PlanNode[],
    partitions: readonly ClusterPartition[],
    planned: readonly PlannedMove[],
  ): Promise<void> {
    if (planned.length > 0) return;
    const coming = new Set(partitions.flatMap(({ addingReplicas }) => addingReplicas ?? []));
    const fixed = partitions.some((state) => this.#isFixed(state));
    for (const { nodeId, state, isReady } of concerned) {
      if (state !== "filling" || !isReady || coming.has(nodeId) || fixed) continue;
      await this.#services.records.change(nodeId, ({ filling: _done, ...record }) => record);
      this.#term.logger.info({ nodeId }, "the storage node has its share of replicas");
    }
  }

  #nodes(): PlanNode[] {
    const { nodes } = this.#services;
    const { view } = this.#term;
    const nodeIds = new Set(view.nodes("partition-storage").map(({ nodeId }) => nodeId));
    for (const { replicas } of view.partitions()) for (const nodeId of replicas) nodeIds.add(nodeId);
    for (const nodeId of this.#services.records.nodeIds()) nodeIds.add(nodeId);
    return [...nodeIds].map((nodeId) => ({
      nodeId,
      zone: view.node("partition-storage", nodeId)?.zone ?? "",
      state: stateOf(nodes.drainOf(nodeId), view.storageNode(nodeId)?.filling === true),
      isReady: nodes.electable(nodeId) !== undefined && nodes.drainOf(nodeId) !== "cordoned",
    }));
  }

  #toPlan(state: ClusterPartition, wantedCount: number | undefined): PlanPartition {
    const { topicId, partition } = state;
    const isFixed = this.#isFixed(state);
    const entry = { topicId, partition, replicas: targetReplicas(state), isFixed };
    return wantedCount === undefined ? entry : { ...entry, wantedCount };
  }

  /**
   * The system's own topics that have fewer replicas than topics get by default, and how
   * many they are to have: they may be older than most of the nodes.
   */
  #growingTopics(nodes: readonly PlanNode[]): Map<string, number> {
    const { view, defaults } = this.#term;
    const ready = nodes.filter(({ state, isReady }) => state !== "draining" && isReady).length;
    const wanted = Math.min(ready, defaults.defaultReplicationFactor ?? defaultReplicationFactor(view));
    const growing = new Map<string, number>();
    for (const { topicId, internal, replicationFactor } of view.topics()) {
      if (!internal || replicationFactor >= wanted || this.#services.nodes.isGoing(topicId)) continue;
      growing.set(topicId, wanted);
    }
    return growing;
  }

  /**
   * Its replicas are being moved, though not to a node that is to be emptied, or there is no leader to copy
   * from.
   */
  #isFixed(state: ClusterPartition): boolean {
    if (state.leader < 0) return true;
    const toDrained = targetReplicas(state).some((id) => this.#services.nodes.isEmptied(id));
    return isMoving(state) && !toDrained;
  }

  #partitions(): ClusterPartition[] {
    const { nodes, partitions } = this.#services;
    return [...partitions.latest.all()]
      .filter(({ topicId }) => !nodes.isGoing(topicId))
      .sort((left, right) => left.topicId.localeCompare(right.topicId) || left.partition - right.partition);
  }
}

function stateOf(drain: DrainState, isFilling: boolean): PlanNode["state"] {
  if (drain === "draining" || drain === "drained") return "draining";
  return isFilling ? "filling" : "active";
}

function heldReplicas(partitions: readonly ClusterPartition[]): Set<number> {
  const held = new Set<number>();
  for (const { replicas } of partitions) for (const nodeId of replicas) held.add(nodeId);
  return held;
}

function first<T>(items: Iterable<T>, count: number): T[] {
  const taken: T[] = [];
  for (const item of items) {
    taken.push(item);
    if (taken.length >= count) break;
  }
  return taken;
}
