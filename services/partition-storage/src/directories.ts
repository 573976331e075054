import { type DataDirectory, type LogResources, SegmentedLog } from "@ottla/log";
import type { Mutants } from "@ottla/replication";
import type { PartitionDirectories } from "./partition-directories.ts";

/** The partitions of a data directory, as the store uses them. */
export function partitionDirectories(
  directory: DataDirectory,
  resources: LogResources,
  mutants: Mutants | undefined,
): PartitionDirectories {
  const openedOnce = new Set<string>();
  return {
    openLog: async ({ topicId, partition, config, cutFrom }) => {
      const name = { topicId, partition };
      const path = directory.partitionDirectory(name);
      // The mark of the last stop speaks for what it left: a log that fails later is
      // recovered as after a crash.
      const cleanShutdown = directory.cleanShutdown !== undefined && !openedOnce.has(path);
      openedOnce.add(path);
      const log = await SegmentedLog.open({
        directory: path,
        below: directory.topicsDirectory,
        resources,
        config,
        topicId,
        cleanShutdown,
        wasThere: directory.wasOpened(name) && mutants?.has("lost-directory-unnoticed") !== true,
        refuseAppends: () => directory.refusal(),
        ...(cutFrom === undefined ? {} : { cutFrom }),
      });
      try {
        await directory.noteOpened(name);
      } catch (error) {
        await log.abandon();
        throw error;
      }
      return log;
    },
    list: () => directory.listPartitions(),
    remove: (topicId, partition) => directory.deletePartition({ topicId, partition }),
    setAside: async (topicId, partition) => {
      await directory.setAside({ topicId, partition });
    },
  };
}
