import { OttlaError } from "@ottla/errors";
import {
  balancingStateCodec,
  type Revision,
  requireFeature,
  type StorageNodeState,
  storageNodeStateCodec,
} from "@ottla/metadata";
import type { SerialQueue } from "./serial-queue.ts";
import { stripStorageNode } from "./storage-nodes.ts";
import { type Term, writeAndSee } from "./term.ts";

/** What can be asked for; a node that is draining becomes drained by itself. */
export type WantedDrain = "none" | "cordoned" | "draining";

const DRAIN_WORDS: Readonly<Record<WantedDrain, string>> = {
  none: "the storage node takes replicas again",
  cordoned: "the storage node takes no more replicas",
  draining: "draining the storage node",
};

/** What is kept about storage nodes beyond their leases; one change after another. */
export class StorageNodeRecords {
  readonly #term: Term;
  readonly #queue: SerialQueue;

  constructor(term: Term, queue: SerialQueue) {
    this.#term = term;
    this.#queue = queue;
  }

  nodeIds(): number[] {
    return this.#term.view.storageNodeIds();
  }

  /** Changes what is kept about a node that is known. */
  change(nodeId: number, change: (record: StorageNodeState) => StorageNodeState): Promise<Revision> {
    return this.#queue.run(async () => {
      const { view } = this.#term;
      const before = view.storageNode(nodeId);
      if (before === undefined) throw unknownNode(nodeId);
      const key = view.keys.storageNode(nodeId);
      return await writeAndSee(this.#term, {
        compare: [{ key, modRevision: before.modRevision }],
        success: [
          { kind: "put", key, value: storageNodeStateCodec.encode(change(stripStorageNode(before))) },
        ],
      });
    });
  }

  /** Notes that a registration was dealt with. */
  noteRegistration(nodeId: number, nodeEpoch: number, record: StorageNodeState): Promise<Revision> {
    return this.#queue.run(async () => {
      const { view } = this.#term;
      const key = view.keys.storageNode(nodeId);
      const before = view.storageNode(nodeId);
      const { directoryId, lastNodeEpoch } = record;
      const after = { ...record, ...(before && stripStorageNode(before)), directoryId, lastNodeEpoch };
      return await writeAndSee(this.#term, {
        compare: [
          { key, modRevision: before?.modRevision ?? 0 },
          // Had the node registered once more meanwhile, this registration would not have been dealt with.
          { key: view.keys.node("partition-storage", nodeId), createRevision: nodeEpoch },
        ],
        success: [{ kind: "put", key, value: storageNodeStateCodec.encode(after) }],
      });
    });
  }

  /**
   * Empties a node, keeps new replicas away from it, or lets it take them again; returns when that is noted,
   * the moves follow. Refuses what cannot be: topics that need more nodes than would be left, and cordoned
   * nodes while others may not know that word.
   */
  async setDrain(nodeId: number, wanted: WantedDrain): Promise<Revision> {
    const { view, logger } = this.#term;
    if (view.storageNode(nodeId) === undefined) throw unknownNode(nodeId);
    if (wanted === "draining") this.#checkEnoughNodes(nodeId);
    if (wanted === "cordoned") requireFeature(view.featureLevel, "cordonedNodes", "a cordoned storage node");
    const revision = await this.change(nodeId, (record) => withDrain(record, wanted));
    logger.info({ nodeId }, DRAIN_WORDS[wanted]);
    return revision;
  }

  #checkEnoughNodes(nodeId: number): void {
    const { view } = this.#term;
    const left = this.nodeIds().filter(
      (id) => id !== nodeId && view.storageNode(id)?.drain === "none",
    ).length;
    for (const { name, replicationFactor, phase } of view.topics()) {
      if (phase === "deleting" || phase === "deleted" || replicationFactor <= left) continue;
      throw new OttlaError(
        "INVALID_REPLICATION_FACTOR",
        `cannot drain storage node ${nodeId}: topic "${name}" has ${replicationFactor} replicas, ` +
          `and ${left} other nodes that are not drained are left: add a node first`,
        { metadata: { field: "node_id", limit: String(left) } },
      );
    }
  }

  /** Pauses or resumes the moves that the coordinator begins by itself. */
  pauseBalancing(paused: boolean): Promise<Revision> {
    return this.#queue.run(async () => {
      const { store, view, logger } = this.#term;
      const key = view.keys.balancing;
      const entry = await store.get(key);
      const revision = await writeAndSee(this.#term, {
        compare: [{ key, modRevision: entry?.modRevision ?? 0 }],
        success: [{ kind: "put", key, value: balancingStateCodec.encode({ paused }) }],
      });
      logger.info({ paused }, paused ? "balancing is paused" : "balancing goes on");
      return revision;
    });
  }
}

function withDrain({ filling, ...record }: StorageNodeState, wanted: WantedDrain): StorageNodeState {
  if (wanted === "none") {
    if (record.drain === "none") return filling === undefined ? record : { ...record, filling };
    return { ...record, drain: "none", filling: true };
  }
  return wanted === "draining" && record.drain === "drained" ? record : { ...record, drain: wanted };
}

function unknownNode(nodeId: number): OttlaError {
  return new OttlaError("INVALID_REQUEST", `node_id: there is no storage node ${nodeId}`, {
    metadata: { field: "node_id" },
  });
}
