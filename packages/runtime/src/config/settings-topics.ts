import { boolean, optionalWholeNumber, topicSettings, wholeNumber } from "./setting-kinds.ts";

/** The settings of topics, at the top of the tree: a part of the schema in settings-schema.ts. */

const TOPICS = "Topics";
const GATEWAY_ONLY = { targets: ["gateway"] } as const;
const COORDINATOR_ONLY = { targets: ["coordinator"] } as const;

export const topics = {
  numPartitions: wholeNumber({
    section: TOPICS,
    min: 1,
    max: 10_000,
    default: 1,
    ...COORDINATOR_ONLY,
    documentation: "Partitions of a topic that is created without a count.",
  }),
  defaultReplicationFactor: optionalWholeNumber({
    section: TOPICS,
    min: 1,
    max: 15,
    defaultDocumentation: "3, or as many as there are storage nodes",
    ...COORDINATOR_ONLY,
    documentation: "Replicas per partition of a topic that is created without a replication factor.",
  }),
  autoCreateTopics: boolean({
    section: TOPICS,
    default: true,
    ...GATEWAY_ONLY,
    documentation: "Create a topic when a client first asks for it (Kafka's auto.create.topics.enable).",
  }),
  topicDefaults: topicSettings({
    section: TOPICS,
    flag: "topic-default",
    defaultDocumentation: "Kafka's own defaults",
    documentation:
      "Topic settings, under Kafka's names, for topics that do not set them. The flag may be repeated; " +
      "settings from all sources are put together, name by name.",
  }),
};
