import { defaultReplicationFactor } from "@ottla/metadata";
import { ConfigSource, ConfigType, type DescribedConfig, describedTopicDefaults } from "./config-entries.ts";
import type { KafkaServices } from "./kafka-services.ts";
import type { VirtualBroker } from "./virtual-brokers.ts";

/**
 * The settings of a virtual broker under Kafka's names: what clients and tools look for,
 * as far as Ottla has it.
 */
export function describedBrokerConfigs(services: KafkaServices, broker: VirtualBroker): DescribedConfig[] {
  const { cluster, limits, topicDefaults, view } = services;
  const own: DescribedConfig[] = [
    entry(
      "advertised.listeners",
      `PLAINTEXT://${broker.host}:${broker.port}`,
      ConfigType.STRING,
      "The address that clients are told.",
    ),
    entry(
      "auto.create.topics.enable",
      cluster.autoCreateTopics,
      ConfigType.BOOLEAN,
      "Whether a topic is created when a client first asks for it.",
    ),
    entry("broker.id", broker.nodeId, ConfigType.INT, "The id of this virtual broker."),
    entry(
      "connections.max.idle.ms",
      cluster.idleTimeoutMs,
      ConfigType.LONG,
      "Silent connections are closed after this time.",
    ),
    entry(
      "default.replication.factor",
      cluster.defaultReplicationFactor ?? defaultReplicationFactor(view),
      ConfigType.INT,
      "Replicas per partition of a topic that is created without a replication factor.",
    ),
    entry("delete.topic.enable", true, ConfigType.BOOLEAN, "Whether topics may be deleted."),
    entry("fetch.max.bytes", limits.maxFetchBytes, ConfigType.INT, "What a fetch answers with at most."),
    entry("max.connections", cluster.maxConnections, ConfigType.INT, "Connections served at once."),
    entry("node.id", broker.nodeId, ConfigType.INT, "The id of this virtual broker."),
    entry(
      "num.partitions",
      cluster.numPartitions,
      ConfigType.INT,
      "Partitions of a topic that is created without a count.",
    ),
    entry("socket.request.max.bytes", cluster.maxRequestBytes, ConfigType.INT, "The largest request taken."),
  ];
  return [...own, ...describedTopicDefaults(topicDefaults)].toSorted((left, right) =>
    left.name < right.name ? -1 : 1,
  );
}

function entry(
  name: string,
  value: string | number | boolean,
  type: number,
  documentation: string,
): DescribedConfig {
  const text = String(value);
  const source = ConfigSource.STATIC_BROKER;
  return { name, value: text, source, type, documentation, synonyms: [{ name, value: text, source }] };
}
