import {
  type ClusterNode,
  type ClusterPartition,
  type ClusterTopic,
  type StorageNodeState,
  storageNodeStateCodec,
  topicSettingNumber,
} from "@ottla/metadata";
import type { LeavingNodes } from "./leaving-nodes.ts";
import {
  changedState,
  type LiveNodes,
  type ReturnedLog,
  withElectedLeader,
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
import type { PlacementNode } from "./placement.ts";
import { type Term, writeAndSee } from "./term.ts";

/** A node whose present registration the coordinator has not dealt with yet. */
interface ReturnedNode {
  readonly node: ClusterNode;
  /** What was known about it before; undefined for a new node. */
  readonly before: StorageNodeState | undefined;
}

/**
 * The storage nodes in one term, and who leads what: brings every partition's state in line with the nodes
 * that are registered. It works from the state that it finds, not from events, so it can be run again at any
 * time.
 */
export class StorageNodes {
  readonly #term: Term;
  readonly #partitions: PartitionWriter;
  readonly #leaving: LeavingNodes;
  readonly #graceEndsAtMs: number;
  readonly #seen = new Set<number>();

  constructor(term: Term, partitions: PartitionWriter, leaving: LeavingNodes) {
    this.#term = term;
    this.#partitions = partitions;
    this.#leaving = leaving;
    this.#graceEndsAtMs = term.clock.monotonic() + term.limits.absentNodeGraceMs;
  }

  /** The registered nodes whose registration was dealt with: these may lead new partitions. */
  readonly live: LiveNodes = (nodeId) => {
    const node = this.#term.view.node("partition-storage", nodeId);
    const known = this.#term.view.storageNode(nodeId);
    return node !== undefined && known?.lastNodeEpoch === node.nodeEpoch ? node.nodeEpoch : undefined;
  };

  isLive(nodeId: number): boolean {
    return this.live(nodeId) !== undefined;
  }

  /** Whether there is such a node, alive or not. */
  isKnown(nodeId: number): boolean {
    return this.#term.view.storageNode(nodeId) !== undefined;
  }

  /** Whether the topic is being deleted, or is gone: its partitions change no more. */
  isGoing(topicId: string): boolean {
    const phase = this.#term.view.topicById(topicId)?.phase;
    return phase === undefined || phase === "deleting" || phase === "deleted";
  }

  /**
   * An election outside of a round: a registration that was not dealt with may have come without data (R9).
   */
  elect(state: ClusterPartition, notThisOne?: number): ClusterPartition {
    return this.#electAmong(state, this.live, notThisOne);
  }

  #electAmong(state: ClusterPartition, live: LiveNodes, notThisOne?: number): ClusterPartition {
    const isUnclean = this.#term.mutants.has("unclean-election");
    return withElectedLeader(state, live, { notThisOne, isLeaving: this.#leaving.has, isUnclean });
  }

  /** The nodes that can take new replicas, with what they hold. */
  placementNodes(): PlacementNode[] {
    const { view } = this.#term;
    const leaders = new Map<number, number>();
    const replicas = new Map<number, number>();
    for (const partition of view.partitions()) {
      const preferred = partition.replicas[0];
      if (preferred !== undefined) increment(leaders, preferred);
      for (const nodeId of partition.replicas) increment(replicas, nodeId);
    }
    return view
      .nodes("partition-storage")
      .filter(({ nodeId }) => this.live(nodeId) !== undefined && view.storageNode(nodeId)?.drain === "none")
      .map(({ nodeId, zone }) => ({
        nodeId,
        zone,
        leaderCount: leaders.get(nodeId) ?? 0,
        replicaCount: replicas.get(nodeId) ?? 0,
      }));
  }

  /**
   * One round: leaders for all partitions that lack a live one (R8), new epochs for nodes that have
   * registered again (R2), their logs judged (R9). The registration is noted as dealt with only after all
   * partitions are written, so that a coordinator that is replaced half-way leaves the rest to the next.
   */
  async reconcile(): Promise<void> {
    const { view, logger } = this.#term;
    const registered = view.nodes("partition-storage");
    for (const { nodeId } of registered) this.#seen.add(nodeId);
    const returned = this.#returnedNodes();
    const changes: PartitionChange[] = [];
    for (const latest of this.#partitions.latest.all()) {
      const { topicId, partition } = latest;
      const decide = (state: ClusterPartition) => this.#decide(state, returned);
      // Most need nothing; one that is being written is decided on what comes out of that.
      if (!this.#partitions.isBusy(latest) && decide(latest) === undefined) continue;
      changes.push({ topicId, partition, decide });
    }
    const outcomes = await this.#partitions.apply(changes);
    const written = outcomes.filter(({ kind }) => kind === "written").length;
    if (written > 0)
      logger.info({ partitions: written }, "brought partitions in line with the storage nodes");
    failUnlessWritten(outcomes);
    for (const { node, before } of returned.values()) await this.#noteRegistration(node, before);
  }

  #decide(state: ClusterPartition, returned: ReadonlyMap<number, ReturnedNode>): PartitionDecision {
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

  #wantedState(partition: ClusterPartition, returned: ReadonlyMap<number, ReturnedNode>): ClusterPartition {
    const { view, defaults, mutants } = this.#term;
    const topic = view.topicById(partition.topicId);
    if (topic === undefined || this.isGoing(partition.topicId)) return partition;
    const minInsyncReplicas = topicSettingNumber(
      "min.insync.replicas",
      topic.configs,
      defaults.topicDefaults,
    );
    const keepsEligible = mutants.has("min-change-keeps-eligible");
    let state = withMinInsyncReplicas(partition, minInsyncReplicas, keepsEligible);
    for (const nodeId of partition.replicas) {
      const back = returned.get(nodeId);
      if (back !== undefined) state = this.#withReturned(state, back, topic);
      else if (this.#isLost(nodeId)) state = withoutLostNode(state, nodeId);
      // A leader that may still come back after a restart of everything keeps its place for a moment.
      else if (nodeId === partition.leader && this.#isAbsent(nodeId)) return state;
    }
    // A node that registers during the round is judged by the next one before it may lead (R9).
    const live: LiveNodes = (nodeId) => {
      const nodeEpoch = view.node("partition-storage", nodeId)?.nodeEpoch;
      return nodeEpoch === returned.get(nodeId)?.node.nodeEpoch ? nodeEpoch : this.live(nodeId);
    };
    return this.#electAmong(state, live);
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
    const { topicDefaults } = this.#term.defaults;
    const isSynced = topicSettingNumber("flush.messages", topic.configs, topicDefaults) === 1;
    return { kind: stoppedCleanly || isSynced ? "complete" : "incomplete", directoryId };
  }

  #isAbsent(nodeId: number): boolean {
    return this.#term.view.node("partition-storage", nodeId) === undefined;
  }

  #isLost(nodeId: number): boolean {
    const graceIsOver = this.#term.clock.monotonic() >= this.#graceEndsAtMs;
    return this.#isAbsent(nodeId) && (graceIsOver || this.#seen.has(nodeId));
  }

  async #noteRegistration(node: ClusterNode, before: StorageNodeState | undefined): Promise<void> {
    const { view, logger } = this.#term;
    const { nodeId, nodeEpoch, directoryId } = node;
    const key = view.keys.storageNode(nodeId);
    const state: StorageNodeState = {
      drain: "none",
      ...stripStorageNode(before),
      directoryId,
      lastNodeEpoch: nodeEpoch,
    };
    await writeAndSee(this.#term, {
      compare: [
        { key, modRevision: view.storageNode(nodeId)?.modRevision ?? 0 },
        // Had the node registered once more meanwhile, this registration would not have been dealt with.
        { key: view.keys.node("partition-storage", nodeId), createRevision: nodeEpoch },
      ],
      success: [{ kind: "put", key, value: storageNodeStateCodec.encode(state) }],
    });
    if (before !== undefined && before.directoryId !== directoryId) {
      logger.error(
        { nodeId, directoryId, formerDirectoryId: before.directoryId },
        "a storage node came back with another data directory: its replicas are not used until they are " +
          "filled again from a leader, and partitions that had no other replica in sync stay without leader. " +
          "If the old directory still exists, start the node with it; else those records are lost: delete the " +
          "topics and create them anew",
      );
    } else {
      logger.info({ nodeId, nodeEpoch }, "storage node registered");
    }
  }
}

/** Without the fields that the view adds, but with those of newer versions. */
function stripStorageNode(
  state: (StorageNodeState & { nodeId?: number; modRevision?: number }) | undefined,
): object {
  if (state === undefined) return {};
  const { nodeId: _nodeId, modRevision: _modRevision, ...stored } = state;
  return stored;
}

function increment(counts: Map<number, number>, nodeId: number): void {
  counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
}
