import { type DataDirectory, type LogResources, SegmentedLog } from "@ottla/log";
import type { PartitionDirectories } from "./partition-directories.ts";

/** The partitions of a data directory, as the store uses them. */
export function partitionDirectories(
  directory: DataDirectory,
  resources: LogResources,
): PartitionDirectories {
  const openedOnce = new Set<string>();
  return {
    openLog: ({ topicId, partition, config, cutFrom }) => {
      const path = directory.partitionDirectory({ topicId, partition });
      // The mark of the last stop speaks for what it left: a log that fails later is
      // recovered as after a crash.
      const cleanShutdown = directory.cleanShutdown !== undefined && !openedOnce.has(path);
      openedOnce.add(path);
      return SegmentedLog.open({
        directory: path,
        below: directory.topicsDirectory,
        resources,
        config,
        topicId,
        cleanShutdown,
        refuseAppends: () => directory.refusal(),
        ...(cutFrom === undefined ? {} : { cutFrom }),
      });
    },
    list: () => directory.listPartitions(),
    remove: (topicId, partition) => directory.deletePartition({ topicId, partition }),
    setAside: async (topicId, partition) => {
      await directory.setAside({ topicId, partition });
    },
  };
}
