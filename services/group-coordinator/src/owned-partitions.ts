import { OttlaError } from "@ottla/errors";
import { type ClusterView, GROUPS_TOPIC, type GroupConfig, groupConfig } from "@ottla/metadata";
import { groupPartition } from "@ottla/routing";
import { expireOffsets } from "./expire-offsets.ts";
import type { GroupTable } from "./group-table.ts";
import { OwnedPartition, type PartitionOwnerOptions } from "./owned-partition.ts";
import { ViewCatalog } from "./view-catalog.ts";

export interface OwnedPartitionsOptions
  extends Omit<PartitionOwnerOptions, "groupCount" | "configOf" | "isDeleted" | "catalog"> {
  readonly view: ClusterView;
  readonly nodeId: number;
}

/** The partitions of the groups' topic that the metadata gives to this registration of this node. */
export class OwnedPartitions {
  readonly #options: OwnedPartitionsOptions;
  readonly #partitions = new Map<number, OwnedPartition>();
  readonly #catalog: ViewCatalog;
  readonly #closing = new AbortController();
  readonly #unsubscribe: () => void;
  /** Of the present registration; -1 while there is none: then nothing is owned. */
  #nodeEpoch = -1;

  constructor(options: OwnedPartitionsOptions) {
    this.#options = options;
    this.#catalog = new ViewCatalog(options.view);
    this.#unsubscribe = options.view.onChange((change) => {
      if (change.groupPartitions.length > 0 || this.#concerns(change.topicIds)) this.#follow();
      if (change.topicIds.size === 0) return;
      this.#catalog.changed();
      this.#forgetDeleted(change.topicIds);
    });
  }

  /** The node has registered (again): what it owned in an earlier registration is over. */
  registered(nodeEpoch: number): void {
    this.#nodeEpoch = nodeEpoch;
    this.#follow();
  }

  get owned(): ReadonlyMap<number, OwnedPartition> {
    return this.#partitions;
  }

  get groupCount(): number {
    let count = 0;
    for (const { table } of this.#partitions.values()) count += table?.size ?? 0;
    return count;
  }

  /** The groups among which this one is. Throws NOT_COORDINATOR, or COORDINATOR_LOAD_IN_PROGRESS. */
  tableOf(groupId: string): GroupTable {
    const topic = this.#options.view.topicByName(GROUPS_TOPIC);
    const owned = topic && this.#partitions.get(groupPartition(groupId, topic.partitionCount));
    if (owned === undefined) {
      throw new OttlaError("NOT_COORDINATOR", `this node does not own group "${groupId.slice(0, 300)}"`);
    }
    return owned.requireTable();
  }

  /** Those that are loaded. */
  *tables(): Generator<GroupTable> {
    for (const { table } of this.#partitions.values()) if (table !== undefined) yield table;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#unsubscribe();
    const partitions = [...this.#partitions.values()];
    this.#partitions.clear();
    await Promise.all(partitions.map((partition) => partition.close()));
  }

  /** Opens and closes what has come and gone, by the view. */
  #follow(): void {
    if (this.#closing.signal.aborted) return;
    const { view, nodeId } = this.#options;
    const topic = view.topicByName(GROUPS_TOPIC);
    for (const [partition, owned] of this.#partitions) {
      const owner = view.groupOwner(partition);
      const isOurs = owner?.nodeId === nodeId && owner.nodeEpoch === this.#nodeEpoch;
      if (isOurs && owned.topicId === topic?.topicId && owned.ownerEpoch === owner.ownerEpoch) continue;
      this.#partitions.delete(partition);
      void owned.close();
    }
    if (topic === undefined) return;
    for (const { partition, nodeId: ownerId, nodeEpoch, ownerEpoch } of view.groupOwners()) {
      if (ownerId !== nodeId || nodeEpoch !== this.#nodeEpoch || this.#partitions.has(partition)) continue;
      if (partition >= topic.partitionCount) continue;
      this.#partitions.set(
        partition,
        new OwnedPartition({
          ...this.#options,
          topicId: topic.topicId,
          partition,
          ownerEpoch,
          catalog: this.#catalog,
          configOf: (groupId) => this.#configOf(groupId),
          groupCount: () => this.groupCount,
          isDeleted: (topicId) => this.#isDeleted(topicId),
        }),
      );
    }
  }

  #configOf(groupId: string): GroupConfig {
    const { view, limits } = this.#options;
    return groupConfig(view.groupConfigs.get(groupId)?.configs ?? {}, limits);
  }

  #concerns(topicIds: ReadonlySet<string>): boolean {
    const topic = this.#options.view.topicByName(GROUPS_TOPIC);
    return topic !== undefined && topicIds.has(topic.topicId);
  }

  /** The tombstone says it for sure; a topic that the view lacks may be newer than the view. */
  #isDeleted(topicId: string): boolean {
    const phase = this.#options.view.topicById(topicId)?.phase;
    return phase === "deleting" || phase === "deleted";
  }

  /** Offsets of a deleted topic go at once; those who miss it come to it with the next round of expiry. */
  #forgetDeleted(topicIds: ReadonlySet<string>): void {
    const isAny = [...topicIds].some((topicId) => this.#isDeleted(topicId));
    if (!isAny) return;
    for (const table of this.tables()) void expireOffsets(table, this.#closing.signal).catch(() => undefined);
  }
}
