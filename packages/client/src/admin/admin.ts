import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { Partition as WirePartition, Topic as WireTopic } from "@ottla/proto/ottla/v1/admin";
import { type AdminService, ConfigSource, type ConfigEntry as WireConfig } from "@ottla/proto/ottla/v1/admin";
import type { LogService, OffsetQuerySchema } from "@ottla/proto/ottla/v1/log";
import { type CallOptions, errorFromMessage, type RpcClient } from "@ottla/rpc";
import type {
  AlterTopicConfigInput,
  ClusterDescription,
  ConfigEntry,
  ConfigSourceName,
  CreateTopicInput,
  OffsetAnswer,
  OffsetQuery,
  PartitionDescription,
  TopicConfig,
  TopicDescription,
  TopicSummary,
} from "./admin-types.ts";

export interface AdminDependencies {
  readonly admin: RpcClient<typeof AdminService>;
  readonly log: RpcClient<typeof LogService>;
  readonly callOptions: CallOptions;
}

const LIST_PAGE_SIZE = 1000;

/** Topics, their settings and the cluster. Every method throws `OttlaError`. */
export class Admin {
  readonly #admin: RpcClient<typeof AdminService>;
  readonly #log: RpcClient<typeof LogService>;
  readonly #callOptions: CallOptions;

  constructor(dependencies: AdminDependencies) {
    this.#admin = dependencies.admin;
    this.#log = dependencies.log;
    this.#callOptions = dependencies.callOptions;
  }

  /** Creates a topic and resolves when its partitions have leaders. */
  async createTopic(input: CreateTopicInput): Promise<TopicDescription> {
    const { name, partitions = 0, replicationFactor = 0, validateOnly = false } = input;
    const configs = configTexts(input.configs);
    const request = { name, partitions, replicationFactor, configs, validateOnly };
    const { topic } = await this.#admin.createTopic(request, this.#callOptions);
    return describeTopic(topic, name);
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#admin.deleteTopic({ name }, this.#callOptions);
  }

  async listTopics(options: { includeInternal?: boolean } = {}): Promise<TopicSummary[]> {
    const includeInternal = options.includeInternal ?? false;
    const topics: TopicSummary[] = [];
    let pageToken = "";
    do {
      const request = { includeInternal, pageSize: LIST_PAGE_SIZE, pageToken };
      const page = await this.#admin.listTopics(request, this.#callOptions);
      for (const { name, topicId, partitions, replicationFactor, internal } of page.topics) {
        topics.push({ name, topicId, partitions, replicationFactor, internal });
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return topics;
  }

  /** In the order of the names. Throws the error of the first that cannot be described. */
  async describeTopics(
    names: readonly string[],
    options: { includeOffsets?: boolean } = {},
  ): Promise<TopicDescription[]> {
    const request = { names: [...names], includeOffsets: options.includeOffsets ?? false };
    const { topics } = await this.#admin.describeTopics(request, this.#callOptions);
    return names.map((name, index) => describeTopic(topics[index], name));
  }

  async alterTopicConfig(input: AlterTopicConfigInput): Promise<ConfigEntry[]> {
    const { name, remove = [], validateOnly = false } = input;
    const request = { name, set: configTexts(input.set), remove: [...remove], validateOnly };
    const { configs } = await this.#admin.alterTopicConfig(request, this.#callOptions);
    return configs.map(describeConfig);
  }

  /** Makes the topic have that many partitions in all. Keys hash to other partitions from then on. */
  async createPartitions(
    name: string,
    totalPartitions: number,
    options: { validateOnly?: boolean } = {},
  ): Promise<TopicDescription> {
    const request = { name, totalPartitions, validateOnly: options.validateOnly ?? false };
    const { topic } = await this.#admin.createPartitions(request, this.#callOptions);
    return describeTopic(topic, name);
  }

  /**
   * Deletes the records before an offset ("latest": all of them) and resolves to the new log start offset.
   */
  async deleteRecords(topic: string, partition: number, before: bigint | "latest"): Promise<bigint> {
    const beforeOffset = before === "latest" ? -1n : before;
    if (before !== "latest" && before < 0n) {
      throw new OttlaError("INVALID_REQUEST", `before must be an offset from 0 or "latest", not ${before}`, {
        metadata: { field: "before", value: String(before) },
      });
    }
    const response = await this.#admin.deleteRecords({ topic, partition, beforeOffset }, this.#callOptions);
    return response.logStartOffset;
  }

  async describeCluster(options: { timeoutMs?: number } = {}): Promise<ClusterDescription> {
    const { clusterId, controllerId, nodes, version } = await this.#admin.describeCluster(
      {},
      { ...this.#callOptions, ...options },
    );
    return {
      clusterId,
      controllerId,
      version,
      nodes: nodes.map(({ role, nodeId, nodeEpoch, address, zone, version, leaderCount, replicaCount }) => ({
        role,
        nodeId,
        nodeEpoch,
        address,
        zone,
        version,
        leaderCount,
        replicaCount,
      })),
    };
  }

  /** In the order of the queries. Throws the error of the first that failed. */
  async listOffsets(queries: readonly OffsetQuery[]): Promise<OffsetAnswer[]> {
    const { answers } = await this.#log.listOffsets({ queries: queries.map(wireQuery) }, this.#callOptions);
    return queries.map(({ topic, partition }, index) => {
      const answer = answers[index];
      if (answer === undefined) throw missing(`offset of ${topic}-${partition}`);
      if (answer.error !== undefined) throw errorFromMessage(answer.error);
      const { offset, timestampMs, leaderEpoch } = answer;
      return { topic, partition, offset, timestampMs: Number(timestampMs), leaderEpoch };
    });
  }

  /** How many partitions the topic has. Throws UNKNOWN_TOPIC_OR_PARTITION when there is no such topic. */
  async countPartitions(name: string): Promise<number> {
    const [topic] = await this.describeTopics([name]);
    const count = topic?.partitions.length ?? 0;
    if (count === 0) throw noPartitionsYet(name);
    return count;
  }
}

export function noPartitionsYet(name: string): OttlaError {
  return new OttlaError("LEADER_NOT_AVAILABLE", `topic ${name} has no partitions yet`);
}

function configTexts(configs: TopicConfig = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(configs).map(([name, value]) => [name, String(value)]));
}

function describeTopic(topic: WireTopic | undefined, name: string): TopicDescription {
  if (topic === undefined) throw missing(`description of topic ${name}`);
  if (topic.error !== undefined) throw errorFromMessage(topic.error);
  return {
    name: topic.name,
    topicId: topic.topicId,
    internal: topic.internal,
    partitions: topic.partitions.map(describePartition),
    configs: topic.configs.map(describeConfig),
  };
}

function describePartition(wire: WirePartition): PartitionDescription {
  const { partition, leader, leaderEpoch, replicas, inSyncReplicas, offsets } = wire;
  return {
    partition,
    leader,
    leaderEpoch,
    replicas,
    inSyncReplicas,
    offsets: offsets && {
      logStartOffset: offsets.logStartOffset,
      highWatermark: offsets.highWatermark,
      logEndOffset: offsets.logEndOffset,
      sizeBytes: offsets.sizeBytes,
    },
  };
}

function describeConfig({ name, value, source, documentation }: WireConfig): ConfigEntry {
  return { name, value, source: SOURCE_NAMES[source], documentation };
}

const SOURCE_NAMES: Readonly<Record<ConfigSource, ConfigSourceName>> = {
  [ConfigSource.UNSPECIFIED]: "default",
  [ConfigSource.DEFAULT]: "default",
  [ConfigSource.STATIC]: "static",
  [ConfigSource.TOPIC]: "topic",
};

function wireQuery({ topic, partition, at }: OffsetQuery): MessageInitShape<typeof OffsetQuerySchema> {
  if (typeof at === "object") {
    return { topic, partition, at: { case: "timestampMs", value: BigInt(at.timestampMs) } };
  }
  return { topic, partition, at: { case: at, value: true } };
}

function missing(what: string): OttlaError {
  return new OttlaError("UNKNOWN_SERVER_ERROR", `the server's answer lacks the ${what}`);
}
