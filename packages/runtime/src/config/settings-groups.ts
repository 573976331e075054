import * as z from "zod";
import { bytes, durationMs, optionalDurationMs, wholeNumber } from "./setting-kinds.ts";

/** The settings of consumer groups: a part of the schema in settings-schema.ts. */

const GROUPS_ONLY = { targets: ["group-coordinator"] } as const;
/** A group may have its own: the coordinator checks it, and gateways describe it. */
const OF_GROUPS = { targets: ["gateway", "coordinator", "group-coordinator"] } as const;
const BOUNDS = { targets: ["coordinator"] } as const;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export const groups = z.strictObject({
  offsetsTopicPartitions: wholeNumber({
    min: 1,
    max: 1_000,
    default: 50,
    targets: ["coordinator"],
    documentation:
      "Partitions of the internal topic that keeps groups, when it is created (Kafka's " +
      "offsets.topic.num.partitions). Groups are spread over them, and they over the group-coordinators.",
  }),
  initialRebalanceDelayMs: optionalDurationMs({
    min: 0,
    max: HOUR_MS,
    defaultDocumentation: "3s; 0 where one process is the whole cluster",
    ...GROUPS_ONLY,
    documentation:
      "How long an empty group waits for more members after the first has joined, before it shares out " +
      "partitions (Kafka's group.initial.rebalance.delay.ms).",
  }),
  minSessionTimeoutMs: durationMs({
    min: 1,
    max: DAY_MS,
    default: 6_000,
    ...GROUPS_ONLY,
    documentation: "Shortest session timeout a member may ask for (Kafka's group.min.session.timeout.ms).",
  }),
  maxSessionTimeoutMs: durationMs({
    min: 1,
    max: DAY_MS,
    default: 1_800_000,
    ...GROUPS_ONLY,
    documentation: "Longest session timeout a member may ask for (Kafka's group.max.session.timeout.ms).",
  }),
  maxSize: wholeNumber({
    min: 1,
    max: 100_000,
    default: 10_000,
    ...GROUPS_ONLY,
    documentation: "Members of one group. Further ones are refused (Kafka's group.max.size).",
  }),
  maxGroups: wholeNumber({
    min: 1,
    max: 10_000_000,
    default: 100_000,
    ...GROUPS_ONLY,
    documentation: "Groups that one group-coordinator keeps. Further ones are refused.",
  }),
  maxMemberBytes: bytes({
    min: 1024 * 1024,
    max: 64 * 1024 ** 3,
    default: 256 * 1024 ** 2,
    ...GROUPS_ONLY,
    documentation:
      "What the members of all groups of one group-coordinator bring: subscriptions and assignments. New " +
      "members are refused above four fifths of it, until there is room; the rest is for those that are members.",
  }),
  offsetsRetentionMs: durationMs({
    min: 60_000,
    max: 3_650 * DAY_MS,
    default: 7 * DAY_MS,
    ...GROUPS_ONLY,
    documentation:
      "How long committed offsets outlive the last member of their group (Kafka's offsets.retention.minutes).",
  }),
  offsetsRetentionCheckIntervalMs: durationMs({
    min: 100,
    max: DAY_MS,
    default: 600_000,
    ...GROUPS_ONLY,
    documentation:
      "How often offsets are checked for their end (Kafka's offsets.retention.check.interval.ms).",
  }),
  offsetMetadataMaxBytes: wholeNumber({
    min: 0,
    max: 32_767,
    default: 4_096,
    ...GROUPS_ONLY,
    documentation: "Largest text committed beside an offset (Kafka's offset.metadata.max.bytes).",
  }),
  consumerSessionTimeoutMs: durationMs({
    min: 1_000,
    max: DAY_MS,
    default: 45_000,
    ...OF_GROUPS,
    documentation:
      "How long a member of the consumer protocol (KIP-848) may be silent (Kafka's " +
      "group.consumer.session.timeout.ms). A group may have its own (consumer.session.timeout.ms).",
  }),
  consumerMinSessionTimeoutMs: durationMs({
    min: 1_000,
    max: DAY_MS,
    default: 45_000,
    ...BOUNDS,
    documentation:
      "Shortest that may be set on a group (Kafka's group.consumer.min.session.timeout.ms, its default too).",
  }),
  consumerMaxSessionTimeoutMs: durationMs({
    min: 1_000,
    max: DAY_MS,
    default: 60_000,
    ...BOUNDS,
    documentation:
      "Longest that may be set on a group (Kafka's group.consumer.max.session.timeout.ms, its default too).",
  }),
  consumerHeartbeatIntervalMs: durationMs({
    min: 100,
    max: HOUR_MS,
    default: 5_000,
    ...OF_GROUPS,
    documentation:
      "How often members of the consumer protocol say that they live (Kafka's " +
      "group.consumer.heartbeat.interval.ms). A group may have its own (consumer.heartbeat.interval.ms).",
  }),
  consumerMinHeartbeatIntervalMs: durationMs({
    min: 100,
    max: HOUR_MS,
    default: 5_000,
    ...BOUNDS,
    documentation:
      "Shortest that may be set on a group (Kafka's group.consumer.min.heartbeat.interval.ms, its default too).",
  }),
  consumerMaxHeartbeatIntervalMs: durationMs({
    min: 100,
    max: HOUR_MS,
    default: 15_000,
    ...BOUNDS,
    documentation:
      "Longest that may be set on a group (Kafka's group.consumer.max.heartbeat.interval.ms, its default too).",
  }),
});
