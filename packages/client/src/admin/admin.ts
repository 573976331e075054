import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import type { AdminService } from "@ottla/proto/ottla/v1/admin";
import type { LogService, OffsetQuerySchema } from "@ottla/proto/ottla/v1/log";
import { type CallOptions, errorFromMessage, type RpcClient } from "@ottla/rpc";
import type {
  AlterTopicConfigInput,
  ClusterDescription,
  ClusterUpgrade,
  ConfigEntry,
  CreateTopicInput,
  DescribeClusterOptions,
  ElectionResult,
  ElectLeadersInput,
  OffsetAnswer,
  OffsetQuery,
  OngoingReassignment,
  PartitionName,
  PartitionReassignment,
  ReassignmentResult,
  RecoverClusterInput,
  RecoveryPlan,
  TopicConfig,
  TopicDescription,
  TopicSummary,
  UpgradeClusterInput,
} from "./admin-types.ts";
import { describeCluster, describeConfig, describeTopic, describeUpgrade, missing } from "./describe.ts";

export interface AdminDependencies {
  readonly admin: RpcClient<typeof AdminService>;
  readonly log: RpcClient<typeof LogService>;
  readonly callOptions: CallOptions;
}

const LIST_PAGE_SIZE = 1000;

/** Storage nodes open their logs first, and thousands of partitions are written. */
const RECOVERY_TIMEOUT_MS = 300_000;

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
    const assignments = (input.assignments ?? []).map((replicas) => ({ replicas: [...replicas] }));
    const request = { name, partitions, replicationFactor, configs, validateOnly, assignments };
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

  async describeCluster(options: DescribeClusterOptions = {}): Promise<ClusterDescription> {
    const { includeStorage = false, ...callOptions } = options;
    const request = { includeStorage };
    return describeCluster(
      await this.#admin.describeCluster(request, { ...this.#callOptions, ...callOptions }),
    );
  }

  /**
   * Gives partitions their preferred leaders back, or a leader at all. One result for each partition asked
   * for, in their order; of all partitions, for those that needed an election.
   */
  async electLeaders(input: ElectLeadersInput = {}): Promise<ElectionResult[]> {
    const partitions = input.partitions?.map(({ topic, partition }) => ({ topic, partition })) ?? [];
    // Nothing asked for is nothing, and not all.
    if (input.partitions?.length === 0) return [];
    const request = { partitions, unclean: input.unclean ?? false };
    const { results } = await this.#admin.electLeaders(request, this.#callOptions);
    return results.map(({ partition, leader, error }) => ({
      ...nameOf(partition),
      leader,
      error: error && errorFromMessage(error),
    }));
  }

  /** Begins, replaces or cancels moves of replicas, each by itself; they go on after this resolves. */
  async reassignPartitions(
    reassignments: readonly PartitionReassignment[],
    options: { allowReplicationFactorChange?: boolean } = {},
  ): Promise<ReassignmentResult[]> {
    const request = {
      reassignments: reassignments.map(({ topic, partition, replicas }) => ({
        partition: { topic, partition },
        replicas: replicas === "cancel" ? [] : [...replicas],
        cancel: replicas === "cancel",
      })),
      allowReplicationFactorChange: options.allowReplicationFactorChange ?? false,
    };
    const { results } = await this.#admin.reassignPartitions(request, this.#callOptions);
    return results.map(({ partition, error }) => ({
      ...nameOf(partition),
      error: error && errorFromMessage(error),
    }));
  }

  /** The moves of replicas that are under way, of all topics or of those named. */
  async listReassignments(topics: readonly string[] = []): Promise<OngoingReassignment[]> {
    const { reassignments } = await this.#admin.listReassignments({ topics: [...topics] }, this.#callOptions);
    return reassignments.map(({ partition, replicas, addingReplicas, removingReplicas }) => ({
      ...nameOf(partition),
      replicas,
      addingReplicas,
      removingReplicas,
    }));
  }

  /** Begins to empty a storage node; resolves to how many replicas it still has. */
  async drainNode(nodeId: number): Promise<number> {
    const { replicaCount } = await this.#admin.drainNode({ nodeId }, this.#callOptions);
    return replicaCount;
  }

  /** Keeps new replicas away from a storage node, which keeps those that it has. Needs feature level 2. */
  async cordonNode(nodeId: number): Promise<void> {
    await this.#admin.cordonNode({ nodeId }, this.#callOptions);
  }

  /** Lets a storage node take replicas again. */
  async resumeNode(nodeId: number): Promise<void> {
    await this.#admin.resumeNode({ nodeId }, this.#callOptions);
  }

  /** Stops the moves of replicas that the cluster plans itself: to new nodes, and away from drained ones. */
  async pauseBalancing(): Promise<void> {
    await this.#admin.pauseBalancing({}, this.#callOptions);
  }

  async resumeBalancing(): Promise<void> {
    await this.#admin.resumeBalancing({}, this.#callOptions);
  }

  /**
   * Raises the cluster's feature level, which all nodes must support. It is never lowered. Throws
   * FEATURE_UPDATE_FAILED where it cannot be; a dry run says so in `refusal`.
   */
  async upgradeCluster(input: UpgradeClusterInput = {}): Promise<ClusterUpgrade> {
    const request = { level: input.level ?? 0, dryRun: input.dryRun ?? false };
    return describeUpgrade(await this.#admin.upgradeCluster(request, this.#callOptions));
  }

  /** After a backup of the cluster's metadata was restored: see `ClusterDescription.recoveryNeed`. */
  async recoverCluster(input: RecoverClusterInput = {}): Promise<RecoveryPlan> {
    const { execute = false, withoutNodes = [] } = input;
    const options = { ...this.#callOptions, timeoutMs: RECOVERY_TIMEOUT_MS };
    const { plan } = await this.#admin.recoverCluster({ execute, withoutNodes: [...withoutNodes] }, options);
    if (plan === undefined) throw missing("plan of the recovery");
    const { nodeIds, partitionCount, notable, unknown } = plan;
    return {
      nodeIds,
      partitionCount,
      notable: notable.map(({ topic, partition, inSyncReplicas, note }) => ({
        topic,
        partition,
        inSyncReplicas,
        note,
      })),
      unknown: unknown.map(({ topicId, partition, nodeIds: on, logEndOffset }) => ({
        topicId,
        partition,
        nodeIds: on,
        logEndOffset,
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

function nameOf(partition: PartitionName | undefined): PartitionName {
  if (partition === undefined) throw missing("partition of a result");
  return { topic: partition.topic, partition: partition.partition };
}

function wireQuery({ topic, partition, at }: OffsetQuery): MessageInitShape<typeof OffsetQuerySchema> {
  if (typeof at === "object") {
    return { topic, partition, at: { case: "timestampMs", value: BigInt(at.timestampMs) } };
  }
  return { topic, partition, at: { case: at, value: true } };
}
