/** What a log needs to know of its topic's settings, under Kafka's names. All times in milliseconds. */
export interface LogConfig {
  /** `segment.bytes`: a segment is closed before it would grow beyond this. */
  readonly segmentBytes: number;
  /** `segment.ms`: a segment is closed when a batch comes that is this much newer than its first one. */
  readonly segmentMs: number;
  /** `index.interval.bytes`: about so many bytes of log lie between two index entries. */
  readonly indexIntervalBytes: number;
  /** `segment.index.bytes`: a segment is closed when an index would grow beyond this. */
  readonly segmentIndexBytes: number;
  /** `retention.ms`; -1 keeps records for ever. */
  readonly retentionMs: number;
  /** `retention.bytes`; -1 knows no limit. */
  readonly retentionBytes: number;
  /** `max.message.bytes`: the largest record batch taken from a client. */
  readonly maxMessageBytes: number;
  /** `flush.messages`: 1 means that nothing is acknowledged before it is on disk. */
  readonly flushMessages: number;
  /** `flush.ms`: with a relaxed `flush.messages`, records are on disk after this time at the latest. */
  readonly flushMs: number;
  /** `message.timestamp.type`. */
  readonly messageTimestampType: "CreateTime" | "LogAppendTime";
  /** `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past. */
  readonly timestampBeforeMaxMs: number;
  /** `message.timestamp.after.max.ms`: how far a record's timestamp may lie in the future. */
  readonly timestampAfterMaxMs: number;
  /** `cleanup.policy`. */
  readonly cleanupPolicy: readonly ("delete" | "compact")[];
  /** `delete.retention.ms`: how long compaction keeps a tombstone that it has come to. */
  readonly deleteRetentionMs: number;
  /** `min.compaction.lag.ms`: younger records are not compacted. */
  readonly minCompactionLagMs: number;
  /** `max.compaction.lag.ms`: older records are compacted, however few they are. */
  readonly maxCompactionLagMs: number;
  /** `min.cleanable.dirty.ratio`: the share of the log that must wait for compaction before it begins. */
  readonly minCleanableDirtyRatio: number;
  /** `file.delete.delay.ms`: how long a deleted segment's files stay, renamed, for readers that hold them. */
  readonly fileDeleteDelayMs: number;
  /** `producer.id.expiration.ms` of the node: a producer not seen for so long is forgotten. */
  readonly producerIdExpirationMs: number;
  /** The most producers that one partition remembers; beyond it the one not seen for longest is forgotten. */
  readonly maxProducers: number;
}

const DAY_MS = 86_400_000;

/** Kafka's defaults, but for `flush.messages`, which is 1: an acknowledged record is on disk. */
export const DEFAULT_LOG_CONFIG: LogConfig = {
  segmentBytes: 1_073_741_824,
  segmentMs: 7 * DAY_MS,
  indexIntervalBytes: 4096,
  segmentIndexBytes: 10_485_760,
  retentionMs: 7 * DAY_MS,
  retentionBytes: -1,
  maxMessageBytes: 1_048_588,
  flushMessages: 1,
  flushMs: Number.MAX_SAFE_INTEGER,
  messageTimestampType: "CreateTime",
  timestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  timestampAfterMaxMs: 3_600_000,
  cleanupPolicy: ["delete"],
  deleteRetentionMs: DAY_MS,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
  minCleanableDirtyRatio: 0.5,
  fileDeleteDelayMs: 60_000,
  producerIdExpirationMs: DAY_MS,
  maxProducers: 50_000,
};
