import {
  type ClusterPartition,
  type ClusterStorageNode,
  type DrainState,
  type StorageNodeState,
  type TopicState,
  topicSettingBoolean,
  topicSettingNumber,
} from "@ottla/metadata";
import { DamagedReplicas } from "./damaged-replicas.ts";
import { LeavingNodes } from "./leaving-nodes.ts";
import { type LiveNodes, withElectedLeader } from "./partition-leadership.ts";
import type { PlacementNode } from "./placement.ts";
import type { Term } from "./term.ts";

export interface ElectOptions {
  readonly live?: LiveNodes;
  /** Chosen only when the ISR has no other: a leader that resigned. */
  readonly notThisOne?: number | undefined;
  /** Whether a replica may lead that lacks records, when nobody else can; default: what the topic says. */
  readonly unclean?: boolean;
}

/** The storage nodes in one term: who is there, who may lead, who can take replicas. */
export class StorageNodes {
  readonly leaving: LeavingNodes;
  readonly damaged: DamagedReplicas;
  readonly #term: Term;

  constructor(term: Term) {
    this.#term = term;
    this.leaving = new LeavingNodes(term);
    this.damaged = new DamagedReplicas(term.view);
  }

  /** The registered nodes whose registration was dealt with: these may lead new partitions. */
  readonly live: LiveNodes = (nodeId) => {
    const node = this.#term.view.node("partition-storage", nodeId);
    const known = this.#term.view.storageNode(nodeId);
    return node !== undefined && known?.lastNodeEpoch === node.nodeEpoch ? node.nodeEpoch : undefined;
  };

  /** The same without those that are about to stop. */
  readonly electable: LiveNodes = (nodeId) => (this.leaving.has(nodeId) ? undefined : this.live(nodeId));

  drainOf(nodeId: number): DrainState {
    return this.#term.view.storageNode(nodeId)?.drain ?? "none";
  }

  /** It is to have no replicas, or has none any more. */
  isEmptied(nodeId: number): boolean {
    const drain = this.drainOf(nodeId);
    return drain === "draining" || drain === "drained";
  }

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
   * The state with a leader, where there can be one (R8). `live` are those who may lead: outside of a round
   * only nodes whose registration was dealt with, since another one may have come without its data (R9).
   */
  elect(state: ClusterPartition, options: ElectOptions = {}): ClusterPartition {
    const { live = this.live, notThisOne, unclean = this.#allowsUnclean(state.topicId) } = options;
    return withElectedLeader(state, live, {
      notThisOne,
      isLeaving: this.leaving.has,
      isDamaged: (nodeId) => this.damaged.has(state, nodeId),
      allowsUnclean: unclean,
      ignoresIsr: this.#term.mutants.has("unclean-election"),
    });
  }

  #allowsUnclean(topicId: string): boolean {
    const configs = this.#term.view.topicById(topicId)?.configs ?? {};
    return topicSettingBoolean("unclean.leader.election.enable", configs, this.#term.defaults.topicDefaults);
  }

  /** The value of min.insync.replicas that is set for the topic, however many replicas there are. */
  minInsyncReplicas(topic: TopicState): number {
    return topicSettingNumber("min.insync.replicas", topic.configs, this.#term.defaults.topicDefaults);
  }

  /**
   * The nodes that can take new replicas, with what they hold. Where too few are ready for so many replicas,
   * just as many are added that are away: they get their replicas when they are back.
   */
  placementNodes(replicationFactor: number): PlacementNode[] {
    const { view } = this.#term;
    const leaders = new Map<number, number>();
    const replicas = new Map<number, number>();
    for (const partition of view.partitions()) {
      const preferred = partition.replicas[0];
      if (preferred !== undefined) increment(leaders, preferred);
      for (const nodeId of partition.replicas) increment(replicas, nodeId);
    }
    const takers = view.storageNodeIds().filter((nodeId) => this.drainOf(nodeId) === "none");
    const ready = takers.filter((nodeId) => this.electable(nodeId) !== undefined);
    const away = takers.filter((nodeId) => !ready.includes(nodeId));
    const missing = ready.length === 0 ? 0 : Math.max(0, replicationFactor - ready.length);
    return [...ready, ...away.slice(0, missing)].map((nodeId) => ({
      nodeId,
      zone: view.node("partition-storage", nodeId)?.zone ?? "",
      leaderCount: leaders.get(nodeId) ?? 0,
      replicaCount: replicas.get(nodeId) ?? 0,
    }));
  }
}

/** Without the fields that the view adds, but with those of newer versions. */
export function stripStorageNode(node: ClusterStorageNode): StorageNodeState {
  const { nodeId: _nodeId, modRevision: _modRevision, ...stored } = node;
  return stored;
}

function increment(counts: Map<number, number>, nodeId: number): void {
  counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
}
