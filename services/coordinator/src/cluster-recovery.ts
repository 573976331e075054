import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  GROUPS_TOPIC,
  groupOwnerStateCodec,
  OWNER_LOADINGS,
  partitionStateCodec,
  producerIdStateCodec,
  type Revision,
  recoveryStateCodec,
  storageNodeStateCodec,
} from "@ottla/metadata";
import { StorageService } from "@ottla/proto/ottla/internal/v1/storage";
import { createClient, type Transport } from "@ottla/rpc";
import { noteTerm } from "./note-term.ts";
import { type NodeReport, type PartitionPlan, planPartitions } from "./recovery-plan.ts";
import { reportFields } from "./recovery-report.ts";
import { stripStorageNode } from "./storage-nodes.ts";
import { type Term, type WriteUnit, writeInBatches } from "./term.ts";

/** How long a storage node may take to say what it has: logs may have to be recovered first. */
const REPORT_TIMEOUT_MS = 60_000;

/** The store's revision goes this far beyond the highest that was seen: a node that was left out saw more. */
const REVISION_MARGIN = 1_000;

/** More than so many revisions are not written one by one. */
const MAX_WRITTEN_REVISIONS = 200_000;
const CONCURRENT_WRITES = 64;

/** Blocks that were handed out and not used yet lie beyond what logs know. */
const PRODUCER_ID_MARGIN = 1_000_000;
const OWNER_EPOCH_MARGIN = 1_000;

export interface Recovery {
  readonly plan: PartitionPlan;
  readonly nodeIds: readonly number[];
  /** Undefined when nothing was done. */
  readonly revision: Revision | undefined;
}

export interface RecoveryRequest {
  readonly execute: boolean;
  readonly withoutNodes: readonly number[];
}

/**
 * Recovers the cluster after a backup of its metadata was restored: while the storage nodes wait, and nobody
 * writes, it raises all that must not come again beyond what they have seen, and gives each partition the
 * replicas that have most of it. The last write is the generation, on which all go on. It may be repeated.
 */
export class ClusterRecovery {
  readonly #term: Term;
  readonly #transportTo: ((address: string) => Transport) | undefined;

  constructor(term: Term, transportTo: ((address: string) => Transport) | undefined) {
    // The rest of the term may not write now.
    this.#term = { ...term, writer: term.recoveryWriter };
    this.#transportTo = transportTo;
  }

  async recover({ execute, withoutNodes }: RecoveryRequest): Promise<Recovery> {
    const { view, logger } = this.#term;
    await view.refresh(this.#term.ended);
    if (view.recoveryNeed === undefined) {
      throw new OttlaError(
        "INVALID_REQUEST",
        "there is nothing to recover: no node has seen a later state of the metadata store than this one",
      );
    }
    this.#checkAllAreThere(withoutNodes);
    const reports = await this.#gather(withoutNodes);
    const plan = planPartitions(view.partitions(), reports, withoutNodes);
    const nodeIds = reports.map(({ nodeId }) => nodeId);
    const known = {
      ...plan,
      unknown: plan.unknown.filter(({ topicId }) => !this.#isDeleted(topicId)),
    };
    if (!execute) return { plan: known, nodeIds, revision: undefined };
    const partitions = plan.partitions.length;
    logger.warn({ nodeIds, withoutNodes, partitions }, "recovering the cluster from a restored backup");
    const revision = await this.#write(plan, reports);
    logger.warn({ revision, partitions }, "the cluster is recovered");
    return { plan: known, nodeIds, revision };
  }

  #isDeleted(topicId: string): boolean {
    const phase = this.#term.view.topicById(topicId)?.phase;
    return phase === "deleting" || phase === "deleted";
  }

  /** What only an absent node has would be lost: that is for an operator to say. */
  #checkAllAreThere(withoutNodes: readonly number[]): void {
    const { view } = this.#term;
    const waiting = new Set([...view.awaitingNodes()].map(({ nodeId }) => nodeId));
    const holding = new Set([...view.partitions()].flatMap(({ replicas }) => replicas));
    const wanted = view
      .storageNodeIds()
      .filter((nodeId) => holding.has(nodeId) || view.storageNode(nodeId)?.drain !== "drained");
    const missing = wanted.filter((nodeId) => !waiting.has(nodeId) && !withoutNodes.includes(nodeId));
    if (missing.length === 0) return;
    const isOne = missing.length === 1;
    const flags = missing.map((nodeId) => `--without-node ${nodeId}`).join(" ");
    throw new OttlaError(
      "INVALID_REQUEST",
      `storage ${isOne ? "node" : "nodes"} ${missing.join(", ")} ${isOne ? "is" : "are"} not there, or ` +
        `${isOne ? "does" : "do"} not know that the metadata went back (a new disk): start ` +
        `${isOne ? "it" : "them"}, or go on without what only ${isOne ? "it has" : "they have"} (${flags})`,
      { metadata: { field: "without_nodes" } },
    );
  }

  async #gather(withoutNodes: readonly number[]): Promise<NodeReport[]> {
    const { view, ended } = this.#term;
    const transportTo = this.#transportTo;
    if (transportTo === undefined) throw new OttlaError("UNSUPPORTED_VERSION", "this node cannot recover");
    const asked = [...view.awaitingNodes()].filter(({ nodeId }) => !withoutNodes.includes(nodeId));
    const reports = asked.map(async ({ nodeId, address }): Promise<NodeReport> => {
      const transport = transportTo(address);
      try {
        const client = createClient(StorageService, transport);
        const options = { timeoutMs: REPORT_TIMEOUT_MS, signal: ended };
        return { nodeId, ...reportFields(await client.describeLogs({}, options)) };
      } catch (thrown) {
        const { message } = toOttlaError(thrown);
        throw new OttlaError("UNAVAILABLE", `storage node ${nodeId} does not say what it has: ${message}`);
      } finally {
        await transport.close();
      }
    });
    return (await Promise.all(reports)).toSorted((a, b) => a.nodeId - b.nodeId);
  }

  async #write(plan: PartitionPlan, reports: readonly NodeReport[]): Promise<Revision> {
    await noteTerm(this.#term);
    await this.#raiseRevision(reports);
    await this.#raiseProducerIds(reports);
    await writeInBatches(this.#term, [
      ...this.#groupOwners(reports),
      ...this.#storageNodes(reports),
      ...this.#partitions(plan),
    ]);
    return this.#writeGeneration(reports);
  }

  /** Epochs of nodes and terms are revisions, which must not come again. */
  async #raiseRevision(reports: readonly NodeReport[]): Promise<void> {
    const { view, writer } = this.#term;
    const seen = Math.max(view.seenStore.revision, ...reports.map(({ revision }) => revision));
    const target = seen + REVISION_MARGIN;
    let { revision } = await writer.write({ compare: [], success: [] });
    if (target - revision > MAX_WRITTEN_REVISIONS) {
      throw new OttlaError(
        "INVALID_REQUEST",
        `the restored store is at revision ${revision}, and nodes have seen ${seen}: restore the backup ` +
          "again with --bump-revision 1000000000 --mark-compacted (etcdutl snapshot restore)",
      );
    }
    while (revision < target) {
      const count = Math.min(CONCURRENT_WRITES, target - revision);
      const writes = Array.from({ length: count }, () => writer.write({ compare: [], success: [] }));
      for (const written of await Promise.all(writes)) revision = Math.max(revision, written.revision);
    }
  }

  async #raiseProducerIds(reports: readonly NodeReport[]): Promise<void> {
    const { store, view, writer } = this.#term;
    const key = view.keys.producerIds;
    const entry = await store.get(key);
    const stored = entry === undefined ? 0 : producerIdStateCodec.parse(entry.value, key).nextProducerId;
    const highest = logsOf(reports).reduce((most, log) => Math.max(most, log.highestProducerId + 1), stored);
    const value = producerIdStateCodec.encode({ nextProducerId: highest + PRODUCER_ID_MARGIN });
    await writer.write({
      compare: [{ key, modRevision: entry?.modRevision ?? 0 }],
      success: [{ kind: "put", key, value }],
    });
  }

  /** Nobody owns a partition of the groups then: the owners are chosen anew, in epochs beyond those seen. */
  #groupOwners(reports: readonly NodeReport[]): WriteUnit[] {
    const { view } = this.#term;
    const topicId = view.topicByName(GROUPS_TOPIC)?.topicId;
    const seen = new Map<number, number>();
    for (const { partition, ownerEpoch, topicId: ofTopic } of logsOf(reports)) {
      if (ofTopic !== topicId) continue;
      seen.set(partition, Math.max(seen.get(partition) ?? -1, Math.floor(ownerEpoch / OWNER_LOADINGS)));
    }
    for (const { partition, ownerEpoch } of view.groupOwners()) {
      seen.set(partition, Math.max(seen.get(partition) ?? -1, ownerEpoch));
    }
    return [...seen].map(([partition, epoch]) => {
      const key = view.keys.groupOwner(partition);
      const state = { nodeId: -1, nodeEpoch: -1, ownerEpoch: epoch + OWNER_EPOCH_MARGIN };
      return {
        compare: [{ key, modRevision: view.groupOwner(partition)?.modRevision ?? 0 }],
        success: [{ kind: "put", key, value: groupOwnerStateCodec.encode(state) }],
      };
    });
  }

  /** The directories that were looked at are those that count when the nodes come back (R9). */
  #storageNodes(reports: readonly NodeReport[]): WriteUnit[] {
    const { view } = this.#term;
    return reports.map(({ nodeId, directoryId, nodeEpoch }) => {
      const key = view.keys.storageNode(nodeId);
      const known = view.storageNode(nodeId);
      const before = known === undefined ? ({ drain: "none" } as const) : stripStorageNode(known);
      const lastNodeEpoch = Math.max(nodeEpoch, known?.lastNodeEpoch ?? -1);
      const state = { ...before, directoryId, lastNodeEpoch };
      return {
        compare: [{ key, modRevision: known?.modRevision ?? 0 }],
        success: [{ kind: "put", key, value: storageNodeStateCodec.encode(state) }],
      };
    });
  }

  #partitions(plan: PartitionPlan): WriteUnit[] {
    const { keys } = this.#term.view;
    return plan.partitions.map(({ before, after }) => {
      const key = keys.partition(before.topicId, before.partition);
      return {
        compare: [{ key, modRevision: before.modRevision }],
        success: [{ kind: "put", key, value: partitionStateCodec.encode(after) }],
      };
    });
  }

  async #writeGeneration(reports: readonly NodeReport[]): Promise<Revision> {
    const { store, view, writer, clock } = this.#term;
    const key = view.keys.recovery;
    const entry = await store.get(key);
    const seen = [view.seenStore, ...reports].map(({ generation }) => generation);
    // The time makes it another one than that of a recovery of which no node here has heard.
    const generation = Math.max(clock.now(), ...seen.map((known) => known + 1), view.recoveryGeneration + 1);
    const { revision } = await writer.write({
      compare: [{ key, modRevision: entry?.modRevision ?? 0 }],
      success: [{ kind: "put", key, value: recoveryStateCodec.encode({ generation }) }],
    });
    return revision;
  }
}

function logsOf(reports: readonly NodeReport[]) {
  return reports.flatMap(({ logs }) => logs);
}
