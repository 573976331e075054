import { OttlaError } from "@ottla/errors";
import { TOPIC_SETTINGS, type TopicSetting } from "./topic-config-table.ts";

/** Effective settings of a topic. Sizes and times beyond 2^53 − 1 ("never") are `Number.MAX_SAFE_INTEGER`. */
export interface TopicConfig {
  readonly cleanupPolicy: readonly ("delete" | "compact")[];
  readonly compressionType: "uncompressed" | "zstd" | "lz4" | "snappy" | "gzip" | "producer";
  readonly deleteRetentionMs: number;
  readonly fileDeleteDelayMs: number;
  readonly flushMessages: number;
  readonly flushMs: number;
  readonly indexIntervalBytes: number;
  readonly maxCompactionLagMs: number;
  readonly maxMessageBytes: number;
  readonly messageTimestampAfterMaxMs: number;
  readonly messageTimestampBeforeMaxMs: number;
  readonly messageTimestampType: "CreateTime" | "LogAppendTime";
  readonly minCleanableDirtyRatio: number;
  readonly minCompactionLagMs: number;
  readonly minInsyncReplicas: number;
  /** -1: no limit. */
  readonly retentionBytes: number;
  /** -1: for ever. */
  readonly retentionMs: number;
  readonly segmentBytes: number;
  readonly segmentIndexBytes: number;
  readonly segmentMs: number;
  readonly uncleanLeaderElectionEnable: boolean;
}

/** default: the product's; static: the node's configuration; topic: set on the topic. */
export type TopicConfigSource = "default" | "static" | "topic";

export interface TopicConfigEntry {
  readonly name: string;
  /** As it was written, without blanks around it; a list keeps its order. */
  readonly value: string;
  readonly source: TopicConfigSource;
  readonly documentation: string;
}

export type TopicConfigMap = Readonly<Record<string, string>>;

/**
 * The effective settings of a topic out of what was set on it and the cluster's defaults, for the node that
 * acts on them. Throws INVALID_CONFIG that names the setting, the value and what is allowed.
 */
export function parseTopicConfig(
  overrides: TopicConfigMap,
  clusterDefaults: TopicConfigMap = {},
): TopicConfig {
  checkTopicConfig(overrides);
  checkTopicConfig(clusterDefaults);
  const text = (name: string): string => settingText(name, overrides, clusterDefaults);
  const number = (name: string): number => topicSettingNumber(name, overrides, clusterDefaults);
  return {
    // The check above has made sure that the words are among those of the type.
    cleanupPolicy: splitList(text("cleanup.policy")) as ("delete" | "compact")[],
    compressionType: text("compression.type") as TopicConfig["compressionType"],
    deleteRetentionMs: number("delete.retention.ms"),
    fileDeleteDelayMs: number("file.delete.delay.ms"),
    flushMessages: number("flush.messages"),
    flushMs: number("flush.ms"),
    indexIntervalBytes: number("index.interval.bytes"),
    maxCompactionLagMs: number("max.compaction.lag.ms"),
    maxMessageBytes: number("max.message.bytes"),
    messageTimestampAfterMaxMs: number("message.timestamp.after.max.ms"),
    messageTimestampBeforeMaxMs: number("message.timestamp.before.max.ms"),
    messageTimestampType: text("message.timestamp.type") as TopicConfig["messageTimestampType"],
    minCleanableDirtyRatio: Number(text("min.cleanable.dirty.ratio")),
    minCompactionLagMs: number("min.compaction.lag.ms"),
    minInsyncReplicas: number("min.insync.replicas"),
    retentionBytes: Math.max(-1, number("retention.bytes")),
    retentionMs: number("retention.ms"),
    segmentBytes: number("segment.bytes"),
    segmentIndexBytes: number("segment.index.bytes"),
    segmentMs: number("segment.ms"),
    uncleanLeaderElectionEnable: topicSettingBoolean(
      "unclean.leader.election.enable",
      overrides,
      clusterDefaults,
    ),
  };
}

/** The effective value of one integer setting out of settings that were checked before; cheap. */
export function topicSettingNumber(
  name: string,
  overrides: TopicConfigMap,
  clusterDefaults: TopicConfigMap = {},
): number {
  return toSafeInteger(settingText(name, overrides, clusterDefaults));
}

/** The same of a boolean setting. */
export function topicSettingBoolean(
  name: string,
  overrides: TopicConfigMap,
  clusterDefaults: TopicConfigMap = {},
): boolean {
  return settingText(name, overrides, clusterDefaults) === "true";
}

function settingText(name: string, overrides: TopicConfigMap, clusterDefaults: TopicConfigMap): string {
  const setting = TOPIC_SETTINGS.get(name);
  const value = overrides[name] ?? clusterDefaults[name] ?? setting?.default ?? "";
  return setting === undefined ? value : normalized(setting, value);
}

/**
 * All settings with their effective values and where those come from, by name. Where the
 * number of replicas is given, a default of min.insync.replicas is what it means for so many.
 */
export function describeTopicConfig(
  overrides: TopicConfigMap,
  clusterDefaults: TopicConfigMap = {},
  replicationFactor = Number.POSITIVE_INFINITY,
): TopicConfigEntry[] {
  const entries: TopicConfigEntry[] = [];
  for (const setting of TOPIC_SETTINGS.values()) {
    const { name, documentation } = setting;
    const text = settingText(name, overrides, clusterDefaults);
    const isTooMany = name === "min.insync.replicas" && Number(text) > replicationFactor;
    const value = isTooMany ? String(replicationFactor) : text;
    const source = overrides[name] === undefined ? undefined : "topic";
    const fallback = clusterDefaults[name] === undefined ? "default" : "static";
    entries.push({ name, value, source: source ?? fallback, documentation });
  }
  return entries;
}

/** Refuses the first setting that is unknown, malformed, out of bounds or of a value that is not served. */
export function checkTopicConfig(settings: TopicConfigMap): void {
  for (const [name, value] of Object.entries(settings)) {
    const setting = servedSetting(name);
    checkSetting(setting, normalized(setting, value));
  }
  checkCompactionLags(settings);
}

/** As Kafka does: a record must not have to be compacted before it may be. */
function checkCompactionLags(settings: TopicConfigMap): void {
  const [min, max] = ["min.compaction.lag.ms", "max.compaction.lag.ms"];
  if (min === undefined || max === undefined) return;
  if (settings[min] === undefined && settings[max] === undefined) return;
  const [minMs, maxMs] = [topicSettingNumber(min, settings), topicSettingNumber(max, settings)];
  if (minMs <= maxMs) return;
  throw invalidConfig(max, `${max} = ${maxMs} is below ${min} = ${minMs}`, String(minMs));
}

/** As Kafka reads values: blanks around them do not count, nor does the case of a boolean. */
function normalized({ type }: TopicSetting, value: string): string {
  const trimmed = value.trim();
  return type.kind === "boolean" ? trimmed.toLowerCase() : trimmed;
}

/** The setting of that name; throws INVALID_CONFIG where there is none. */
export function servedSetting(name: string): TopicSetting {
  const setting = TOPIC_SETTINGS.get(name);
  if (setting === undefined) {
    const nearest = nearestName(name);
    const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
    throw invalidConfig(name, `unknown topic setting "${name.slice(0, 100)}"${hint}`);
  }
  return setting;
}

function checkSetting(setting: TopicSetting, value: string): void {
  const { name, servedValues } = setting;
  const expected = typeProblem(setting, value);
  if (expected !== undefined) {
    throw invalidConfig(
      name,
      `${name} = "${value.slice(0, 100)}" is not allowed: it must be ${expected}`,
      expected,
    );
  }
  if (servedValues === undefined) return;
  const notServed = splitList(value).find((word) => !servedValues.includes(word));
  if (notServed !== undefined) {
    const limit = servedValues.join(", ") || "the empty list";
    throw invalidConfig(
      name,
      `${name} = "${value}": "${notServed}" is known to Kafka, but not served by Ottla yet; served: ${limit}`,
      limit,
    );
  }
}

/** What the value must be, when it is not that. */
function typeProblem(setting: TopicSetting, value: string): string | undefined {
  const { type } = setting;
  switch (type.kind) {
    case "boolean":
      return unless(value === "true" || value === "false", "true or false");
    case "integer":
      return unless(isIntegerWithin(value, type.min, type.max), `an integer from ${type.min} to ${type.max}`);
    case "long":
      return unless(isIntegerWithin(value, type.min, LONG_MAX), `an integer from ${type.min} to ${LONG_MAX}`);
    case "double": {
      const number = /^[0-9]+(\.[0-9]+)?$/.test(value) ? Number(value) : Number.NaN;
      return unless(number >= type.min && number <= type.max, `a number from ${type.min} to ${type.max}`);
    }
    case "choice":
      return unless(type.allowed.includes(value), `one of ${type.allowed.join(", ")}`);
    case "list":
      return type.allowed === undefined ? undefined : listProblem(type.allowed, value);
    default:
      return undefined;
  }
}

function listProblem(allowed: readonly string[], value: string): string | undefined {
  const words = splitList(value);
  const good = words.every((word) => allowed.includes(word)) && new Set(words).size === words.length;
  return unless(good && words.length > 0, `a comma list out of ${allowed.join(", ")}`);
}

function unless(good: boolean, expected: string): string | undefined {
  return good ? undefined : expected;
}

function isIntegerWithin(value: string, min: number | bigint, max: number | bigint): boolean {
  if (!/^-?[0-9]{1,19}$/.test(value)) return false;
  const number = BigInt(value);
  return number >= min && number <= max;
}

const LONG_MAX = 2n ** 63n - 1n;

function toSafeInteger(value: string): number {
  const number = BigInt(value);
  return number > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(number);
}

function splitList(value: string): string[] {
  return value
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word.length > 0);
}

function invalidConfig(name: string, message: string, limit?: string): OttlaError {
  const metadata: Record<string, string> = { field: `configs[${name.slice(0, 100)}]` };
  if (limit !== undefined) metadata["limit"] = limit;
  return new OttlaError("INVALID_CONFIG", message, { metadata });
}

/** The known setting with the fewest letters changed, if it is near at all. */
function nearestName(name: string): string | undefined {
  if (name.length > 60) return undefined;
  const wanted = name.toLowerCase().replaceAll(/[_-]/g, ".");
  let nearest: string | undefined;
  let smallest = 4;
  for (const known of TOPIC_SETTINGS.keys()) {
    const distance = editDistance(wanted, known);
    if (distance < smallest) {
      smallest = distance;
      nearest = known;
    }
  }
  return nearest;
}

function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const substitute = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
