/** The names of a partition directory's files, as Kafka gives them. */

export const LOG_SUFFIX = ".log";
export const INDEX_SUFFIX = ".index";
export const TIME_INDEX_SUFFIX = ".timeindex";
export const SNAPSHOT_SUFFIX = ".snapshot";
/** Compaction writes it; it counts for nothing yet. */
export const CLEANED_SUFFIX = ".cleaned";
/** Compaction has written it whole: it takes its segments' place, now or at the next start. */
export const SWAP_SUFFIX = ".swap";
export const DELETED_SUFFIX = ".deleted";
export const TEMPORARY_SUFFIX = ".tmp";
export const LEADER_EPOCH_CHECKPOINT = "leader-epoch-checkpoint";
export const PARTITION_METADATA = "partition.metadata";
/** Ottla's own: the owners of a single-writer log. */
export const OWNER_EPOCH_CHECKPOINT = "owner-epoch-checkpoint";
/** Ottla's own: recovery point, log start offset and high watermark of the partition. */
export const LOG_CHECKPOINT = "log-checkpoint";

export function offsetFileName(offset: number, suffix: string): string {
  return String(offset).padStart(20, "0") + suffix;
}

/** The offset in a name such as `00000000000000000042.log`; undefined for any other name. */
export function parseOffsetFileName(name: string, suffix: string): number | undefined {
  if (name.length !== 20 + suffix.length || !name.endsWith(suffix)) return undefined;
  const digits = name.slice(0, 20);
  if (!/^\d{20}$/.test(digits)) return undefined;
  const offset = Number(digits);
  return Number.isSafeInteger(offset) ? offset : undefined;
}
