/** How a setting is written. `long` goes up to 2^63 − 1, which Kafka uses for "never". */
export type TopicSettingType =
  | { readonly kind: "boolean" }
  | { readonly kind: "integer"; readonly min: number; readonly max: number }
  | { readonly kind: "long"; readonly min: bigint }
  | { readonly kind: "double"; readonly min: number; readonly max: number }
  /** One of these words. */
  | { readonly kind: "choice"; readonly allowed: readonly string[] }
  /** A comma list of different words out of these; `allowed` undefined: anything. */
  | { readonly kind: "list"; readonly allowed: readonly string[] | undefined };

export interface TopicSetting {
  /** Kafka's name. */
  readonly name: string;
  readonly type: TopicSettingType;
  readonly default: string;
  /** The unit or meaning and what the setting does, for users. */
  readonly documentation: string;
  /** When only some values of the type are served, these are. */
  readonly servedValues?: readonly string[];
}

const INT_MAX = 2 ** 31 - 1;
const LONG_MAX = 2n ** 63n - 1n;
const LONG_MIN = -(2n ** 63n);
const FOREVER = String(LONG_MAX);

function integer(min: number, max = INT_MAX): TopicSettingType {
  return { kind: "integer", min, max };
}

function long(min: bigint): TopicSettingType {
  return { kind: "long", min };
}

function served(
  name: string,
  type: TopicSettingType,
  defaultValue: string,
  documentation: string,
): TopicSetting {
  return { name, type, default: defaultValue, documentation };
}

/** Taken, kept and described, so that tools made for Kafka need no change, but nothing acts on it. */
function withoutEffect(
  name: string,
  type: TopicSettingType,
  defaultValue: string,
  documentation: string,
): TopicSetting {
  return served(name, type, defaultValue, `${documentation} Without effect in Ottla.`);
}

/** Only Kafka's default may be set: any other value asks for what Ottla does not do. */
function defaultOnly(
  name: string,
  type: TopicSettingType,
  defaultValue: string,
  documentation: string,
): TopicSetting {
  const shown = defaultValue === "" ? "the empty list" : defaultValue;
  const setting = served(name, type, defaultValue, `${documentation} Only ${shown} is served yet.`);
  return { ...setting, servedValues: [defaultValue] };
}

const SERVED: readonly TopicSetting[] = [
  served(
    "cleanup.policy",
    { kind: "list", allowed: ["delete", "compact"] },
    "delete",
    'What happens to old segments: "delete" removes them by age and size, "compact" keeps the last record ' +
      'of each key (records without a key are refused then), "compact,delete" does both.',
  ),
  served(
    "compression.type",
    { kind: "choice", allowed: ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"] },
    "producer",
    'How batches are stored: "producer" keeps what the producer chose; any other value compresses ' +
      "with that codec.",
  ),
  served(
    "delete.retention.ms",
    long(0n),
    "86400000",
    "How long in milliseconds a compacted topic keeps tombstones (records without a value) after compaction " +
      "has come to them, so that readers that are behind see them.",
  ),
  served(
    "file.delete.delay.ms",
    long(0n),
    "60000",
    "Milliseconds between taking a segment out of the log and removing its files, so that readers " +
      "can finish.",
  ),
  served(
    "flush.messages",
    long(1n),
    "1",
    "How many records may be written before they are forced to disk. 1, Ottla's default, means that" +
      " a record is on disk before it is acknowledged (writes are grouped, so this is cheap); Kafka's" +
      " default leaves it to the operating system.",
  ),
  served(
    "flush.ms",
    long(0n),
    FOREVER,
    "The longest time in milliseconds that a written record may wait before it is forced to disk, " +
      "where flush.messages allows waiting at all.",
  ),
  served(
    "index.interval.bytes",
    integer(0),
    "4096",
    "How many bytes of records lie between two entries of a segment's offset index.",
  ),
  served(
    "max.compaction.lag.ms",
    long(1n),
    FOREVER,
    "The longest time in milliseconds that a record of a compacted topic may stay uncompacted; segments are " +
      "closed after it, too.",
  ),
  served(
    "max.message.bytes",
    integer(0),
    "1048588",
    "The largest record batch in bytes, after compression, that the topic takes.",
  ),
  served(
    "message.timestamp.after.max.ms",
    long(0n),
    "3600000",
    "How far in milliseconds a record's CreateTime may be ahead of the leader's clock; a batch " +
      "beyond it is refused.",
  ),
  served(
    "message.timestamp.before.max.ms",
    long(0n),
    FOREVER,
    "How far in milliseconds a record's CreateTime may be behind the leader's clock; a batch beyond" +
      " it is refused.",
  ),
  served(
    "message.timestamp.type",
    { kind: "choice", allowed: ["CreateTime", "LogAppendTime"] },
    "CreateTime",
    "Whether a record carries the producer's time or the time at which the leader appended it.",
  ),
  served(
    "min.cleanable.dirty.ratio",
    { kind: "double", min: 0, max: 1 },
    "0.5",
    "The share of a compacted log that must be uncompacted before it is compacted.",
  ),
  served(
    "min.compaction.lag.ms",
    long(0n),
    "0",
    "The shortest time in milliseconds that a record of a compacted topic stays uncompacted.",
  ),
  served(
    "min.insync.replicas",
    integer(1),
    "2",
    "How many replicas, the leader included, must have a record on disk before acks=all is " +
      "answered. At most the replication factor (Kafka takes more and then refuses every write): the " +
      "default is 1 for topics with one replica. With fewer in sync, writes are refused.",
  ),
  served(
    "retention.bytes",
    long(LONG_MIN),
    "-1",
    "The size in bytes that each partition may grow to before its oldest segments are deleted. " +
      "Below 0 means no limit.",
  ),
  served(
    "retention.ms",
    long(-1n),
    "604800000",
    "The age in milliseconds after which a segment is deleted, counted from its newest record. -1 " +
      "means never.",
  ),
  served(
    "segment.bytes",
    integer(1024 * 1024),
    "1073741824",
    "The size in bytes at which a segment is closed and the next one begins. Retention works on " +
      "whole segments.",
  ),
  served(
    "segment.index.bytes",
    integer(4),
    "10485760",
    "The largest size in bytes of a segment's index; a segment whose index is full is closed.",
  ),
  served(
    "segment.ms",
    long(1n),
    "604800000",
    "The age in milliseconds at which a segment is closed even when it is not full, so that " +
      "retention can reach it.",
  ),
  served(
    "unclean.leader.election.enable",
    { kind: "boolean" },
    "false",
    "Whether a replica that may lack acknowledged records can become leader when no other is left: " +
      "the partition can be used again, and those records are lost.",
  ),
];

const ACCEPTED: readonly TopicSetting[] = [
  withoutEffect(
    "compression.gzip.level",
    integer(-1, 9),
    "-1",
    "The level at which the broker compresses with gzip: 1 to 9, or -1 for the codec's own default.",
  ),
  withoutEffect(
    "compression.lz4.level",
    integer(1, 17),
    "9",
    "The level at which the broker compresses with lz4.",
  ),
  withoutEffect(
    "compression.zstd.level",
    integer(-131072, 22),
    "3",
    "The level at which the broker compresses with zstd.",
  ),
  defaultOnly(
    "follower.replication.throttled.replicas",
    { kind: "list", allowed: undefined },
    "",
    "The replicas whose replication is throttled on the follower's side.",
  ),
  defaultOnly(
    "leader.replication.throttled.replicas",
    { kind: "list", allowed: undefined },
    "",
    "The replicas whose replication is throttled on the leader's side.",
  ),
  defaultOnly(
    "local.retention.bytes",
    long(-2n),
    "-2",
    "How many bytes of a tiered partition stay on the local disk; -2 follows retention.bytes.",
  ),
  defaultOnly(
    "local.retention.ms",
    long(-2n),
    "-2",
    "How long in milliseconds a tiered partition's segments stay on the local disk; -2 follows retention.ms.",
  ),
  defaultOnly(
    "preallocate",
    { kind: "boolean" },
    "false",
    "Whether a new segment's file is given its full size at once.",
  ),
  defaultOnly(
    "remote.copy.disable",
    { kind: "boolean" },
    "false",
    "Whether a tiered topic stops copying segments to remote storage.",
  ),
  defaultOnly(
    "remote.log.delete.on.disable",
    { kind: "boolean" },
    "false",
    "Whether a topic's remote segments are deleted when tiered storage is turned off for it.",
  ),
  defaultOnly(
    "remote.storage.enable",
    { kind: "boolean" },
    "false",
    "Whether closed segments are moved to remote storage.",
  ),
  withoutEffect(
    "segment.jitter.ms",
    long(0n),
    "0",
    "The largest random time in milliseconds taken off segment.ms, so that not all segments are " +
      "closed at once.",
  ),
];

/** All topic settings of Kafka 4, by name. */
export const TOPIC_SETTINGS: ReadonlyMap<string, TopicSetting> = new Map(
  [...SERVED, ...ACCEPTED]
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map((setting) => [setting.name, setting] as const),
);
