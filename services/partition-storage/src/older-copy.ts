import { OttlaError } from "@ottla/errors";
import type { PartitionStorageOptions } from "./storage-options.ts";

/**
 * R9: a clean-shutdown mark that is older than the node's last run says that this is a copy, or a restored
 * backup, of the directory that ran last: with its id, and without what was acknowledged since. It would
 * keep its place in the ISR and could be elected. Throws INVALID_DATA_DIRECTORY.
 */
export function refuseOlderCopy({
  nodeId,
  view,
  directory,
}: Pick<PartitionStorageOptions, "nodeId" | "view" | "directory">): void {
  const { directoryId, cleanShutdown, root } = directory;
  const known = view.storageNode(nodeId);
  if (known === undefined || cleanShutdown === undefined || known.directoryId !== directoryId) return;
  if (cleanShutdown.nodeEpoch >= known.lastNodeEpoch) return;
  throw new OttlaError(
    "INVALID_DATA_DIRECTORY",
    `${root} was closed by an earlier run of node ${nodeId} (epoch ${cleanShutdown.nodeEpoch}) than its last one ` +
      `(epoch ${known.lastNodeEpoch}): it is a copy or a backup that lacks what was acknowledged since. Start with ` +
      "the directory that ran last, or with an empty one, which is filled from the other replicas. Removing " +
      `${root}/clean-shutdown makes the node take it as it is, at the risk of losing those records`,
    { metadata: { field: "dataDir" } },
  );
}
