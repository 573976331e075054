import {
  describeTopicConfig,
  GROUP_SETTINGS,
  type GroupConfig,
  TOPIC_SETTINGS,
  type TopicConfigMap,
  type TopicConfigSource,
  type TopicSettingType,
} from "@ottla/metadata";

/** Where a value comes from, by Kafka's numbers. */
export const ConfigSource = { TOPIC: 1, STATIC_BROKER: 4, DEFAULT: 5, GROUP: 8 } as const;

/** Types of values, by Kafka's numbers. */
export const ConfigType = { BOOLEAN: 1, STRING: 2, INT: 3, LONG: 5, DOUBLE: 6, LIST: 7 } as const;

export interface ConfigSynonym {
  readonly name: string;
  readonly value: string | null;
  readonly source: number;
}

/** One setting as Kafka's answers describe it. */
export interface DescribedConfig {
  readonly name: string;
  readonly value: string | null;
  readonly source: number;
  readonly type: number;
  readonly documentation: string;
  /** Where the value could come from, the strongest first. */
  readonly synonyms: readonly ConfigSynonym[];
}

const SOURCES: Readonly<Record<TopicConfigSource, number>> = {
  topic: ConfigSource.TOPIC,
  static: ConfigSource.STATIC_BROKER,
  default: ConfigSource.DEFAULT,
};

/** What a broker calls the default of a topic setting, where the names differ by more than a prefix. */
const BROKER_NAMES: ReadonlyMap<string, string> = new Map([
  ["cleanup.policy", "log.cleanup.policy"],
  ["compression.type", "compression.type"],
  ["delete.retention.ms", "log.cleaner.delete.retention.ms"],
  ["file.delete.delay.ms", "log.segment.delete.delay.ms"],
  ["flush.messages", "log.flush.interval.messages"],
  ["flush.ms", "log.flush.interval.ms"],
  ["index.interval.bytes", "log.index.interval.bytes"],
  ["local.retention.bytes", "log.local.retention.bytes"],
  ["local.retention.ms", "log.local.retention.ms"],
  ["max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"],
  ["max.message.bytes", "message.max.bytes"],
  ["message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"],
  ["message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"],
  ["message.timestamp.type", "log.message.timestamp.type"],
  ["min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"],
  ["min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"],
  ["min.insync.replicas", "min.insync.replicas"],
  ["preallocate", "log.preallocate"],
  ["retention.bytes", "log.retention.bytes"],
  ["retention.ms", "log.retention.ms"],
  ["segment.bytes", "log.segment.bytes"],
  ["segment.index.bytes", "log.index.size.max.bytes"],
  ["segment.jitter.ms", "log.roll.jitter.ms"],
  ["segment.ms", "log.roll.ms"],
  ["unclean.leader.election.enable", "unclean.leader.election.enable"],
]);

/** The settings of a topic, those it does not set among them. */
export function describedTopicConfigs(
  configs: TopicConfigMap,
  topicDefaults: TopicConfigMap,
  replicationFactor: number,
): DescribedConfig[] {
  const entries = describeTopicConfig(configs, topicDefaults, replicationFactor);
  return entries.map(({ name, value, source, documentation }) => {
    const own = configs[name];
    const synonyms = brokerSynonyms(name, topicDefaults);
    return {
      name,
      value,
      source: SOURCES[source],
      type: typeOf(name),
      documentation,
      synonyms:
        own === undefined ? synonyms : [{ name, value: own, source: ConfigSource.TOPIC }, ...synonyms],
    };
  });
}

/** The settings of a group, those it does not set among them. */
export function describedGroupConfigs(configs: TopicConfigMap, defaults: GroupConfig): DescribedConfig[] {
  return GROUP_SETTINGS.map(({ name, brokerName, defaultMs, default: field, documentation }) => {
    const broker = defaults[field];
    const source = broker === defaultMs ? ConfigSource.DEFAULT : ConfigSource.STATIC_BROKER;
    const own = configs[name];
    const synonyms = [{ name: brokerName, value: String(broker), source }];
    return {
      name,
      value: own ?? String(broker),
      source: own === undefined ? source : ConfigSource.GROUP,
      type: ConfigType.INT,
      documentation,
      synonyms:
        own === undefined ? synonyms : [{ name, value: own, source: ConfigSource.GROUP }, ...synonyms],
    };
  });
}

/** The broker's defaults of topic settings, under the broker's names for them. */
export function describedTopicDefaults(topicDefaults: TopicConfigMap): DescribedConfig[] {
  return describeTopicConfig({}, topicDefaults).map(({ name, value, source, documentation }) => ({
    name: BROKER_NAMES.get(name) ?? name,
    value,
    source: SOURCES[source],
    type: typeOf(name),
    documentation,
    synonyms: brokerSynonyms(name, topicDefaults),
  }));
}

function brokerSynonyms(topicName: string, topicDefaults: TopicConfigMap): ConfigSynonym[] {
  const name = BROKER_NAMES.get(topicName) ?? topicName;
  const synonyms: ConfigSynonym[] = [];
  const configured = topicDefaults[topicName];
  if (configured !== undefined)
    synonyms.push({ name, value: configured, source: ConfigSource.STATIC_BROKER });
  const value = TOPIC_SETTINGS.get(topicName)?.default;
  if (value !== undefined) synonyms.push({ name, value, source: ConfigSource.DEFAULT });
  return synonyms;
}

function typeOf(name: string): number {
  const type = TOPIC_SETTINGS.get(name)?.type;
  return type === undefined ? ConfigType.STRING : TYPE_NUMBERS[type.kind];
}

const TYPE_NUMBERS: Readonly<Record<TopicSettingType["kind"], number>> = {
  boolean: ConfigType.BOOLEAN,
  integer: ConfigType.INT,
  long: ConfigType.LONG,
  double: ConfigType.DOUBLE,
  choice: ConfigType.STRING,
  list: ConfigType.LIST,
};
