import { RECORD_BATCH_MAGIC } from "@ottla/records";

/**
 * The versions in which this program writes the files of a data directory, each by the file's name. Whoever
 * changes one gates it by a feature level, goes on reading the version before, and adds a golden directory
 * (tests/golden): a test holds that.
 */
export const LOG_FORMATS = {
  "meta.properties": 2,
  "clean-shutdown": 1,
  "record batch": RECORD_BATCH_MAGIC,
  snapshot: 1,
  "leader-epoch-checkpoint": 0,
  "owner-epoch-checkpoint": 0,
  "log-checkpoint": 1,
  "cleaner-offset-checkpoint": 0,
  "partition.metadata": 0,
} as const;
