import type { ClusterView } from "@ottla/metadata";
import type { Logger } from "@ottla/runtime";
import type { PartitionDirectories } from "./partition-directories.ts";
import type { PartitionReplica } from "./partition-replica.ts";

export interface LeftBehindOptions {
  readonly view: ClusterView;
  readonly directories: PartitionDirectories;
  readonly nodeId: number;
  readonly logger: Logger;
  /** Somebody's work already: a replica has it open, or it is on its way out. */
  readonly isInUse: (topicId: string, partition: number) => boolean;
  readonly onlyTopicId?: string | undefined;
  /** After a recovery partitions that the backup does not know go too, though their topic is there. */
  readonly isRecovered?: boolean;
}

export interface RemoveOptions {
  readonly view: ClusterView;
  readonly directories: Pick<PartitionDirectories, "remove">;
  readonly node: { readonly nodeId: number };
}

/**
 * Looks for directories that no replica uses: left by a topic that was deleted while this node was away. Only
 * a tombstone removes them; all others are put aside.
 */
export async function tidyLeftBehind(options: LeftBehindOptions): Promise<void> {
  const { directories, view, logger, onlyTopicId, isInUse } = options;
  for (const { topicId, partition } of await directories.list()) {
    if (onlyTopicId !== undefined && topicId !== onlyTopicId) continue;
    if (isInUse(topicId, partition)) continue;
    const phase = view.topicById(topicId)?.phase;
    if (phase === "deleted") {
      await directories.remove(topicId, partition);
      continue;
    }
    const reason = whyPutAside(options, topicId, partition);
    if (reason === undefined) continue;
    logger.warn({ topicId, partition }, `a partition on disk is put aside: ${reason}`);
    await directories.setAside(topicId, partition, reason);
  }
}

/** What has moved went while this node was away: nobody can say whether what lies here is of use. */
function whyPutAside(
  { view, nodeId, isRecovered }: LeftBehindOptions,
  topicId: string,
  partition: number,
): string | undefined {
  const phase = view.topicById(topicId)?.phase;
  if (phase === undefined) return "its topic is not in the metadata";
  if (phase !== "live") return undefined;
  const state = view.partition(topicId, partition);
  if (state === undefined) return isRecovered === true ? "it is not in the metadata" : undefined;
  return state.replicas.includes(nodeId) ? undefined : "it has moved to other nodes";
}

/**
 * Removes what is not of this node any more. The view may be old: when the partition has come back meanwhile,
 * its leader may count on what is here already (R4). So this is for a log that is closed, of which nothing is
 * acknowledged any more. Throws where nobody can tell, and the files stay. Those of a log that has failed go
 * in any case: what it holds is not proven to be on disk, and the leader epoch that began when the partition
 * was taken away counts nothing of it (R3).
 */
export async function removeUnlessBack(
  { view, directories, node }: RemoveOptions,
  { topicId, partition, hasFailed }: Pick<PartitionReplica, "topicId" | "partition" | "hasFailed">,
): Promise<void> {
  const isDeleted = (): boolean => view.topicById(topicId)?.phase === "deleted";
  if (!isDeleted() && !hasFailed) {
    await view.refresh();
    if (!isDeleted() && view.partition(topicId, partition)?.replicas.includes(node.nodeId) === true) return;
  }
  await directories.remove(topicId, partition);
}
