import { DEFAULT_LOG_CONFIG, type LogConfig } from "@ottla/log";
import { parseTopicConfig, type TopicConfigMap } from "@ottla/metadata";

/** What the log needs of a topic's effective settings. */
export function logConfigOf(configs: TopicConfigMap, clusterDefaults: TopicConfigMap): LogConfig {
  const topic = parseTopicConfig(configs, clusterDefaults);
  return {
    ...DEFAULT_LOG_CONFIG,
    segmentBytes: topic.segmentBytes,
    segmentMs: topic.segmentMs,
    indexIntervalBytes: topic.indexIntervalBytes,
    segmentIndexBytes: topic.segmentIndexBytes,
    retentionMs: topic.retentionMs,
    retentionBytes: topic.retentionBytes,
    maxMessageBytes: topic.maxMessageBytes,
    flushMessages: topic.flushMessages,
    flushMs: topic.flushMs,
    messageTimestampType: topic.messageTimestampType,
    timestampBeforeMaxMs: topic.messageTimestampBeforeMaxMs,
    timestampAfterMaxMs: topic.messageTimestampAfterMaxMs,
    cleanupPolicy: topic.cleanupPolicy.includes("compact") ? ["compact"] : ["delete"],
    fileDeleteDelayMs: topic.fileDeleteDelayMs,
  };
}
