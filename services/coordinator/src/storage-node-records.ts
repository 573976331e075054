import { OttlaError } from "@ottla/errors";
import {
  balancingStateCodec,
  type Revision,
  type StorageNodeState,
  storageNodeStateCodec,
} from "@ottla/metadata";
import type { SerialQueue } from "./serial-queue.ts";
import { stripStorageNode } from "./storage-nodes.ts";
import { type Term, writeAndSee } from "./term.ts";

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
   * Empties a node, or lets it take replicas again; returns when that is noted, the moves
   * follow. Refuses what cannot be: topics that need more nodes than would be left.
   */
  async drain(nodeId: number, drain: boolean): Promise<Revision> {
    const { view, logger } = this.#term;
    if (view.storageNode(nodeId) === undefined) throw unknownNode(nodeId);
    if (drain) this.#checkEnoughNodes(nodeId);
    const revision = await this.change(nodeId, ({ filling: _filling, ...record }) => {
      if (drain) return record.drain === "none" ? { ...record, drain: "draining" } : record;
      return record.drain === "none" ? record : { ...record, drain: "none", filling: true };
    });
    logger.info({ nodeId }, drain ? "draining the storage node" : "the storage node takes replicas again");
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

function unknownNode(nodeId: number): OttlaError {
  return new OttlaError("INVALID_REQUEST", `node_id: there is no storage node ${nodeId}`, {
    metadata: { field: "node_id" },
  });
}
