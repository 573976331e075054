import { describe, expect, it } from "vitest";
import {
  checkTopicConfig,
  describeTopicConfig,
  parseTopicConfig,
  topicSettingNumber,
} from "./topic-config.ts";
import { TOPIC_SETTINGS } from "./topic-config-table.ts";

function refusal(settings: Record<string, string>): string {
  try {
    checkTopicConfig(settings);
  } catch (thrown) {
    if (thrown instanceof Error) return thrown.message;
  }
  return "";
}

describe("topic settings", () => {
  it("have Kafka's defaults, but acknowledged means on disk, on two of three replicas", () => {
    expect(parseTopicConfig({})).toEqual({
      cleanupPolicy: ["delete"],
      compressionType: "producer",
      deleteRetentionMs: 86_400_000,
      fileDeleteDelayMs: 60_000,
      flushMessages: 1,
      flushMs: Number.MAX_SAFE_INTEGER,
      indexIntervalBytes: 4096,
      maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
      maxMessageBytes: 1_048_588,
      messageTimestampAfterMaxMs: 3_600_000,
      messageTimestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
      messageTimestampType: "CreateTime",
      minCleanableDirtyRatio: 0.5,
      minCompactionLagMs: 0,
      minInsyncReplicas: 2,
      retentionBytes: -1,
      retentionMs: 604_800_000,
      segmentBytes: 1_073_741_824,
      segmentIndexBytes: 10_485_760,
      segmentMs: 604_800_000,
      uncleanLeaderElectionEnable: false,
    });
  });

  it("have defaults that are allowed, for all of Kafka's settings", () => {
    for (const setting of TOPIC_SETTINGS.values()) {
      expect(setting.documentation).not.toBe("");
      expect(refusal({ [setting.name]: setting.default })).toBe("");
    }
    expect(TOPIC_SETTINGS.size).toBe(33);
  });

  it("come from the topic, else from the cluster, else from the default, and say so", () => {
    const overrides = { "retention.ms": "5" };
    const defaults = { "retention.ms": "6", "segment.bytes": "2000000" };
    expect(parseTopicConfig(overrides, defaults)).toMatchObject({ retentionMs: 5, segmentBytes: 2_000_000 });
    const entries = new Map(describeTopicConfig(overrides, defaults).map((entry) => [entry.name, entry]));
    expect(entries.get("retention.ms")).toMatchObject({ value: "5", source: "topic" });
    expect(entries.get("segment.bytes")).toMatchObject({ value: "2000000", source: "static" });
    expect(entries.get("segment.ms")).toMatchObject({ value: "604800000", source: "default" });
    expect(entries.get("preallocate")).toMatchObject({ value: "false", source: "default" });
    expect(topicSettingNumber("segment.bytes", overrides, defaults)).toBe(2_000_000);
    expect(topicSettingNumber("flush.ms", {})).toBe(Number.MAX_SAFE_INTEGER);
  });

  it.each([
    ["retention.ms", "-2", "an integer from -1 to 9223372036854775807"],
    ["retention.ms", "9223372036854775808", "an integer from -1"],
    ["retention.ms", "1e3", "an integer"],
    ["retention.ms", "", "an integer"],
    ["segment.bytes", "1024", "an integer from 1048576 to 2147483647"],
    ["segment.bytes", "2147483648", "an integer from 1048576 to 2147483647"],
    ["segment.ms", "0", "an integer from 1"],
    ["flush.messages", "0", "an integer from 1"],
    ["min.insync.replicas", "0", "an integer from 1"],
    ["message.timestamp.type", "createtime", "one of CreateTime, LogAppendTime"],
    ["compression.type", "brotli", "one of uncompressed, zstd, lz4, snappy, gzip, producer"],
    ["cleanup.policy", "", "a comma list out of delete, compact"],
    ["cleanup.policy", "delete,delete", "a comma list out of delete, compact"],
    ["unclean.leader.election.enable", "yes", "true or false"],
  ])("refuse %s = %j and say what is allowed", (name, value, expected) => {
    expect(refusal({ [name]: value })).toContain(
      `${name} = "${value}" is not allowed: it must be ${expected}`,
    );
  });

  it("are trimmed, and booleans ignore case, as in Kafka", () => {
    const overrides = {
      "retention.ms": " 5 ",
      "compression.type": " gzip ",
      "unclean.leader.election.enable": "FALSE ",
      "cleanup.policy": " delete ",
    };
    expect(parseTopicConfig(overrides)).toMatchObject({
      retentionMs: 5,
      compressionType: "gzip",
      uncleanLeaderElectionEnable: false,
      cleanupPolicy: ["delete"],
    });
    const described = describeTopicConfig(overrides).find(({ name }) => name === "retention.ms");
    expect(described?.value).toBe("5");
    expect(parseTopicConfig({ "retention.bytes": "-9223372036854775808" }).retentionBytes).toBe(-1);
  });

  it("take what has no effect, and of what Ottla does not do the default only", () => {
    const harmless = {
      "compression.zstd.level": "10",
      "segment.jitter.ms": "1000",
      "remote.storage.enable": "False",
      "local.retention.ms": "-2",
      "leader.replication.throttled.replicas": "",
    };
    expect(refusal(harmless)).toBe("");
    expect(refusal({ preallocate: "true" })).toContain("not served by Ottla yet; served: false");
    expect(refusal({ "local.retention.bytes": "7" })).toContain("not served by Ottla yet; served: -2");
    expect(refusal({ "leader.replication.throttled.replicas": "0:1" })).toContain("served: the empty list");
    expect(refusal({ "min.cleanable.dirty.ratio": "2" })).toContain("a number from 0 to 1");
  });

  it("say how a compacted topic is compacted, with Kafka's defaults", () => {
    expect(
      parseTopicConfig({ "cleanup.policy": "compact,delete", "min.compaction.lag.ms": "5" }),
    ).toMatchObject({
      cleanupPolicy: ["compact", "delete"],
      deleteRetentionMs: 86_400_000,
      minCompactionLagMs: 5,
      maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
      minCleanableDirtyRatio: 0.5,
    });
    expect(refusal({ "min.compaction.lag.ms": "6", "max.compaction.lag.ms": "5" })).toContain(
      "max.compaction.lag.ms = 5 is below min.compaction.lag.ms = 6",
    );
  });

  it("describe a default of min.insync.replicas as what it means for so many replicas", () => {
    const valueFor = (overrides: Record<string, string>, replicas: number) =>
      describeTopicConfig(overrides, {}, replicas).find(({ name }) => name === "min.insync.replicas");
    expect(valueFor({}, 1)).toMatchObject({ value: "1", source: "default" });
    expect(valueFor({}, 3)).toMatchObject({ value: "2", source: "default" });
    expect(valueFor({ "min.insync.replicas": "3" }, 3)).toMatchObject({ value: "3", source: "topic" });
  });

  it("refuse values that Kafka knows and Ottla does not serve yet as such", () => {
    expect(refusal({ "remote.storage.enable": "true" })).toContain(
      "known to Kafka, but not served by Ottla yet",
    );
  });

  it("refuse unknown names with the nearest known one", () => {
    expect(refusal({ "retention.mss": "1" })).toBe(
      'unknown topic setting "retention.mss"; did you mean retention.ms?',
    );
    expect(refusal({ min_insync_replicas: "1" })).toContain("did you mean min.insync.replicas?");
    expect(refusal({ "something.else.entirely": "1" })).toBe(
      'unknown topic setting "something.else.entirely"',
    );
    expect(refusal({ ["x".repeat(100_000)]: "1" }).length).toBeLessThan(200);
    expect(refusal({ constructor: "1" })).toContain("unknown topic setting");
  });
});
