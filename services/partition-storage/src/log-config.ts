import { DEFAULT_LOG_CONFIG, type LogConfig } from "@ottla/log";
import { parseTopicConfig, type TopicConfigMap } from "@ottla/metadata";

/** What the log needs of a topic's effective settings. */
export function logConfigOf(configs: TopicConfigMap, clusterDefaults: TopicConfigMap): LogConfig {
  const topic = parseTopicConfig(configs, clusterDefaults);
  const isCompacted = topic.cleanupPolicy.includes("compact");
  return {
    ...DEFAULT_LOG_CONFIG,
    segmentBytes: topic.segmentBytes,
    // A record is compacted no later than its segment is closed, as in Kafka.
    segmentMs: isCompacted ? Math.min(topic.segmentMs, topic.maxCompactionLagMs) : topic.segmentMs,
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
    cleanupPolicy: topic.cleanupPolicy,
    deleteRetentionMs: topic.deleteRetentionMs,
    minCompactionLagMs: topic.minCompactionLagMs,
    maxCompactionLagMs: topic.maxCompactionLagMs,
    minCleanableDirtyRatio: topic.minCleanableDirtyRatio,
    fileDeleteDelayMs: topic.fileDeleteDelayMs,
  };
}
