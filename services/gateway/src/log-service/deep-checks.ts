import { type BatchHeader, validateRecords } from "@ottla/records";
import type { Topic } from "../topics.ts";

/** Kafka's defaults, which the batch's header is trusted with. */
const DEFAULT_AFTER_MAX_MS = 3_600_000;
const DEFAULT_BEFORE_MAX_MS = Number.MAX_SAFE_INTEGER;

/** What a batch of a topic may decompress to: sixteen times its largest batch, and 8 MiB at least. */
export function maxDecompressedBytes({ config }: Pick<Topic, "config">): number {
  return Math.max(8 * 1024 * 1024, 16 * config.maxMessageBytes);
}

/**
 * Decodes a batch's records where the topic asks something of each of them: bounds for timestamps that are
 * not the defaults, or keys because it is compacted. All other batches stay opaque: this is off the hot path.
 */
export function checkRecordsDeeply(
  topic: Pick<Topic, "config">,
  batch: Uint8Array,
  header: BatchHeader,
  nowMs: number,
): void {
  const { config } = topic;
  const requireKeys = config.cleanupPolicy.includes("compact");
  const isTimed =
    config.messageTimestampType === "CreateTime" &&
    (config.messageTimestampAfterMaxMs !== DEFAULT_AFTER_MAX_MS ||
      config.messageTimestampBeforeMaxMs !== DEFAULT_BEFORE_MAX_MS);
  if (header.recordCount === 0 || !(requireKeys || isTimed)) return;
  const times = isTimed
    ? {
        minTimestampMs: nowMs - config.messageTimestampBeforeMaxMs,
        maxTimestampMs: nowMs + config.messageTimestampAfterMaxMs,
      }
    : {};
  validateRecords(batch, { requireKeys, maxDecompressedBytes: maxDecompressedBytes(topic), ...times });
}

/** A compacted topic has no place for a record without a key. */
export function checkKeys(topic: Pick<Topic, "config">, batch: Uint8Array): void {
  if (!topic.config.cleanupPolicy.includes("compact")) return;
  validateRecords(batch, { requireKeys: true, maxDecompressedBytes: maxDecompressedBytes(topic) });
}
