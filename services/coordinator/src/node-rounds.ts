import {
  type ClusterNode,
  type ClusterPartition,
  type ClusterTopic,
  type PartitionRef,
  type Revision,
  type StorageNodeState,
  type TopicState,
  topicSettingNumber,
} from "@ottla/metadata";
import {
  changedState,
  type LiveNodes,
  type ReturnedLog,
  withMinInsyncReplicas,
  withoutLostNode,
  withReturnedNode,
} from "./partition-leadership.ts";
import {
  failUnlessWritten,
  type PartitionChange,
  type PartitionDecision,
  type PartitionWriter,
} from "./partition-writer.ts";
import type { StorageNodeRecords } from "./storage-node-records.ts";
import type { StorageNodes } from "./storage-nodes.ts";
import type { Term } from "./term.ts";

/** A node whose present registration the coordinator has not dealt with yet. */
interface ReturnedNode {
  readonly node: ClusterNode;
  /** What was known about it before; undefined for a new node. */
  readonly before: StorageNodeState | undefined;
}

type ReturnedNodes = ReadonlyMap<number, ReturnedNode>;

/** Brings every partition's state in line with the storage nodes that are registered. */
export class NodeRounds {
  readonly #term: Term;
  readonly #nodes: StorageNodes;
  readonly #records: StorageNodeRecords;
  readonly #partitions: PartitionWriter;
  readonly #graceEndsAtMs: number;
  /** Who was registered at the last round. */
  #present: ReadonlySet<number> = new Set<number>();
  readonly #seen = new Set<number>();

  constructor(term: Term, nodes: StorageNodes, records: StorageNodeRecords, partitions: PartitionWriter) {
    this.#term = term;
    this.#nodes = nodes;
    this.#records = records;
    this.#partitions = partitions;
    this.#graceEndsAtMs = term.clock.monotonic() + term.limits.absentNodeGraceMs;
  }

  /**
   * One round: leaders for all partitions that lack a live one (R8), new epochs for nodes that have
   * registered again (R2), their logs judged (R9). The registration is noted as dealt with only after all
   * partitions are written, so that a coordinator that is replaced half-way leaves the rest to the next.
   */
  async run(): Promise<undefined> {
    const { view, logger } = this.#term;
    const registered = view.nodes("partition-storage");
    for (const { nodeId } of registered) this.#seen.add(nodeId);
    this.#sayWhoIsGone(registered);
    const returned = this.#returnedNodes();
    // Those without a leader come first: somebody waits for them.
    const offline: PartitionChange[] = [];
    const others: PartitionChange[] = [];
    for (const latest of this.#partitions.latest.all()) {
      const { topicId, partition } = latest;
      const decide = (state: ClusterPartition) => this.#decide(state, returned);
      // Most need nothing; one that is being written is decided on what comes out of that.
      if (!this.#partitions.isBusy(latest) && decide(latest) === undefined) continue;
      const isLed = view.node("partition-storage", latest.leader)?.nodeEpoch === latest.leaderNodeEpoch;
      (isLed ? others : offline).push({ topicId, partition, decide });
    }
    const parts = [this.#partitions.apply(offline, "first"), this.#partitions.apply(others)];
    const outcomes = (await Promise.all(parts)).flat();
    const written = outcomes.filter(({ kind }) => kind === "written").length;
    if (written > 0)
      logger.info({ partitions: written }, "brought partitions in line with the storage nodes");
    failUnlessWritten(outcomes);
    for (const { node, before } of returned.values()) await this.#noteRegistration(node, before);
  }

  /**
   * Brings a topic's settings to its partitions: min.insync.replicas (R4), and a leader
   * where an unclean one is allowed now. Returns the last revision that was written.
   */
  async applySettings(topicId: string): Promise<Revision> {
    const returned = this.#returnedNodes();
    const decide = (state: ClusterPartition) => this.#decide(state, returned);
    const changes: PartitionChange[] = [];
    for (const { partition } of this.#term.view.partitionsOf(topicId)) {
      changes.push({ topicId, partition, decide });
    }
    return failUnlessWritten(await this.#partitions.apply(changes));
  }

  /** Whether a round would change one of them: a node went while they were being written, for instance. */
  wouldChange(refs: readonly PartitionRef[]): boolean {
    const returned = this.#returnedNodes();
    return refs.some(({ topicId, partition }) => {
      const latest = this.#partitions.latest.get(topicId, partition);
      return latest !== undefined && this.#decide(latest, returned) !== undefined;
    });
  }

  #decide(state: ClusterPartition, returned: ReturnedNodes): PartitionDecision {
    const after = changedState(state, this.#wantedState(state, returned));
    return after === undefined ? undefined : { kind: "put", state: after };
  }

  #returnedNodes(): Map<number, ReturnedNode> {
    const { view } = this.#term;
    const returned = new Map<number, ReturnedNode>();
    for (const node of view.nodes("partition-storage")) {
      const before = view.storageNode(node.nodeId);
      if (before?.lastNodeEpoch !== node.nodeEpoch) returned.set(node.nodeId, { node, before });
    }
    return returned;
  }

  #wantedState(partition: ClusterPartition, returned: ReturnedNodes): ClusterPartition {
    const { view } = this.#term;
    const topic = view.topicById(partition.topicId);
    if (topic === undefined || this.#nodes.isGoing(partition.topicId)) return partition;
    let state = this.#withSettings(partition, topic);
    let mayLeaderReturn = false;
    for (const nodeId of partition.replicas) {
      const back = returned.get(nodeId);
      if (back !== undefined) state = this.#withReturned(state, back, topic);
      else if (this.#isLost(nodeId)) state = withoutLostNode(state, nodeId);
      // A leader that may still come back after a restart of everything keeps its place for a moment.
      else if (nodeId === partition.leader && this.#isAbsent(nodeId)) mayLeaderReturn = true;
    }
    if (mayLeaderReturn) return state;
    // A node that registers during the round is judged by the next one before it may lead (R9).
    const live: LiveNodes = (nodeId) => {
      const nodeEpoch = view.node("partition-storage", nodeId)?.nodeEpoch;
      return nodeEpoch === returned.get(nodeId)?.node.nodeEpoch ? nodeEpoch : this.#nodes.live(nodeId);
    };
    // Nobody leads uncleanly while one who has everything may still come back.
    const mayReturn = [...state.isr, ...state.eligibleReplicas].some(
      (nodeId) => this.#isAbsent(nodeId) && !this.#isLost(nodeId),
    );
    return this.#nodes.elect(state, mayReturn ? { live, unclean: false } : { live });
  }

  #withSettings(state: ClusterPartition, topic: ClusterTopic): ClusterPartition {
    const keepsEligible = this.#term.mutants.has("min-change-keeps-eligible");
    return withMinInsyncReplicas(state, this.#nodes.minInsyncReplicas(topic), keepsEligible);
  }

  #withReturned(state: ClusterPartition, back: ReturnedNode, topic: ClusterTopic): ClusterPartition {
    const { nodeId, nodeEpoch } = back.node;
    // Dealt with before this coordinator, or in a round that failed half-way.
    if (state.leader === nodeId && state.leaderNodeEpoch === nodeEpoch) return state;
    return withReturnedNode(state, nodeId, this.#judgeLog(back, topic));
  }

  /** R9: what the node still has of a topic's acknowledged records. */
  #judgeLog({ node, before }: ReturnedNode, topic: ClusterTopic): ReturnedLog {
    const { directoryId } = node;
    const formerDirectoryId = before?.directoryId ?? "";
    const keepsPlace = this.#term.mutants.has("lost-disk-keeps-place");
    if (!keepsPlace && (directoryId === "" || directoryId !== formerDirectoryId)) {
      return { kind: "empty", directoryId, formerDirectoryId };
    }
    const stoppedCleanly = node.cleanShutdownNodeEpoch === before?.lastNodeEpoch;
    const ranSynced =
      this.isSynced(topic) && (before?.lastNodeEpoch ?? 0) > (topic.relaxedUntilRevision ?? 0);
    return { kind: stoppedCleanly || ranSynced ? "complete" : "incomplete", directoryId };
  }

  /** Whether records of the topic are on disk before they are acknowledged. */
  isSynced({ configs }: Pick<TopicState, "configs">): boolean {
    return topicSettingNumber("flush.messages", configs, this.#term.defaults.topicDefaults) === 1;
  }

  #isAbsent(nodeId: number): boolean {
    return this.#term.view.node("partition-storage", nodeId) === undefined;
  }

  #isLost(nodeId: number): boolean {
    const graceIsOver = this.#term.clock.monotonic() >= this.#graceEndsAtMs;
    return this.#isAbsent(nodeId) && (graceIsOver || this.#seen.has(nodeId));
  }

  #sayWhoIsGone(registered: readonly ClusterNode[]): void {
    const now = new Set(registered.map(({ nodeId }) => nodeId));
    for (const nodeId of this.#present.difference(now)) {
      this.#term.logger.warn({ nodeId }, "the storage node is gone: its registration has ended");
    }
    this.#present = now;
  }

  async #noteRegistration(node: ClusterNode, before: StorageNodeState | undefined): Promise<void> {
    const { view, logger } = this.#term;
    const { nodeId, nodeEpoch, directoryId } = node;
    const isFirst = view.partitions().next().done === true;
    await this.#records.noteRegistration(nodeId, nodeEpoch, {
      directoryId,
      lastNodeEpoch: nodeEpoch,
      drain: "none",
      // What is there already is spread over the nodes that were there.
      ...(isFirst ? {} : { filling: true }),
    });
    if (before !== undefined && before.directoryId !== directoryId) {
      logger.error(
        { nodeId, directoryId, formerDirectoryId: before.directoryId },
        "a storage node came back with another data directory: its replicas are not used until they are " +
          "filled again from a leader, and partitions that had no other replica in sync stay without leader. " +
          "If the old directory still exists, start the node with it; else those records are lost: delete the " +
          "topics, or elect leaders uncleanly (ottla topic elect-leaders) and go on with what is left",
      );
    } else {
      logger.info({ nodeId, nodeEpoch }, "storage node registered");
    }
  }
}
