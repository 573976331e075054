import { OttlaError } from "@ottla/errors";
import type { ClusterView, TopicConfigMap } from "@ottla/metadata";
import type {
  CoordinatorService,
  ElectLeadersResponse,
  ReassignmentAnswer,
} from "@ottla/proto/ottla/internal/v1/coordinator";
import type { ControllerClient, PartitionRef, PartitionRouter } from "@ottla/routing";
import type { RpcClient } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import { checkConfigs, LIMITS } from "../checks.ts";
import { refuseWhenDisksAreFull } from "../full-disks.ts";

export interface TopicChangesOptions {
  readonly controller: ControllerClient;
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  readonly clock: Clock;
}

/** How a client wants a change to be made. */
export interface ChangeTerms {
  readonly timeoutMs: number;
  readonly validateOnly: boolean;
}

export interface NewTopic {
  readonly name: string;
  /** 0 means the cluster's default. */
  readonly partitions: number;
  /** 0 means the cluster's default. */
  readonly replicationFactor: number;
  readonly configs: TopicConfigMap;
  /** The storage nodes of each partition; empty: the coordinator places them. */
  readonly assignments: Assignments;
}

/** Storage nodes of partitions, the preferred leader first. */
export type Assignments = readonly (readonly number[])[];

export interface Election {
  /** Undefined means all. */
  readonly partitions: readonly PartitionRef[] | undefined;
  readonly unclean: boolean;
}

export interface WantedReassignment {
  readonly partition: PartitionRef;
  readonly replicas: readonly number[];
  readonly cancel: boolean;
}

export interface CreatedTopic {
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
}

type Controller = RpcClient<typeof CoordinatorService>;

const SHORTEST_TIMEOUT_MS = 1_000;
const LONGEST_TIMEOUT_MS = 60_000;

/**
 * Changes of topics through the coordinator. Each resolves when this gateway's view shows
 * the change, so that the client's next request meets it, and rejects with
 * REQUEST_TIMED_OUT when that takes too long: the change may still come.
 */
export class TopicChanges {
  readonly #options: TopicChangesOptions;

  constructor(options: TopicChangesOptions) {
    this.#options = options;
  }

  async create(topic: NewTopic, terms: ChangeTerms): Promise<CreatedTopic> {
    checkConfigs("configs", topic.configs);
    refuseAbsurd("INVALID_PARTITIONS", "partitions", topic.partitions, LIMITS.partitions);
    const factor = topic.replicationFactor;
    refuseAbsurd("INVALID_REPLICATION_FACTOR", "replication factor", factor, LIMITS.replicationFactor);
    const { validateOnly } = terms;
    await refuseWhenDisksAreFull(this.#options);
    const { name, partitions, replicationFactor } = topic;
    const configs = { ...topic.configs };
    const assignments = messagesOf(topic.assignments);
    return this.#change(terms, (client) =>
      client.createTopic({ name, partitions, replicationFactor, configs, assignments, validateOnly }),
    );
  }

  /**
   * With a topic id, only the topic of that id: rejects with UNKNOWN_TOPIC_ID when another has the name now.
   */
  async delete(name: string, topicId: string | undefined, terms: ChangeTerms): Promise<void> {
    await this.#change(terms, (client) => client.deleteTopic({ name, topicId: topicId ?? "" }));
  }

  async createPartitions(
    name: string,
    totalPartitions: number,
    added: Assignments,
    terms: ChangeTerms,
  ): Promise<void> {
    refuseAbsurd("INVALID_PARTITIONS", "partitions", totalPartitions, LIMITS.partitions);
    const { validateOnly } = terms;
    await refuseWhenDisksAreFull(this.#options);
    const assignments = messagesOf(added);
    await this.#change(terms, (client) =>
      client.createPartitions({ name, totalPartitions, assignments, validateOnly }),
    );
  }

  /** One answer for each partition asked for. */
  elect({ partitions, unclean }: Election, terms: ChangeTerms): Promise<ElectLeadersResponse> {
    return this.#change(terms, (client) =>
      client.electLeaders({ partitions: partitions?.map((ref) => ({ ...ref })) ?? [], unclean }),
    );
  }

  /** One answer for each, in their order. */
  async reassign(
    wanted: readonly WantedReassignment[],
    allowReplicationFactorChange: boolean,
    terms: ChangeTerms,
  ): Promise<readonly ReassignmentAnswer[]> {
    const reassignments = wanted.map(({ partition, replicas, cancel }) => ({
      partition: { ...partition },
      replicas: [...replicas],
      cancel,
    }));
    const { answers } = await this.#change(terms, (client) =>
      client.alterReassignments({ reassignments, allowReplicationFactorChange }),
    );
    return answers;
  }

  async alterConfig(
    name: string,
    change: { readonly set: TopicConfigMap; readonly remove: readonly string[] },
    terms: ChangeTerms,
  ): Promise<void> {
    checkConfigs("configs", change.set);
    const { validateOnly } = terms;
    const { set, remove } = change;
    await this.#change(terms, (client) =>
      client.alterTopicConfig({ name, set: { ...set }, remove: [...remove], validateOnly }),
    );
  }

  async alterGroupConfig(
    groupId: string,
    change: { readonly set: TopicConfigMap; readonly remove: readonly string[] },
    terms: ChangeTerms,
  ): Promise<void> {
    checkConfigs("configs", change.set);
    const { validateOnly } = terms;
    const { set, remove } = change;
    await this.#change(terms, (client) =>
      client.alterGroupConfig({ groupId, set: { ...set }, remove: [...remove], validateOnly }),
    );
  }

  async #change<T extends { readonly revision: bigint }>(
    { timeoutMs, validateOnly }: ChangeTerms,
    ask: (client: Controller) => Promise<T>,
  ): Promise<T> {
    const { controller, view, clock } = this.#options;
    const boundedMs = Math.min(LONGEST_TIMEOUT_MS, Math.max(SHORTEST_TIMEOUT_MS, timeoutMs));
    const deadline = new AbortController();
    const late = new OttlaError(
      "REQUEST_TIMED_OUT",
      `the change did not show within ${boundedMs} ms; it may still come`,
    );
    const timer = clock.setTimer(boundedMs, () => deadline.abort(late));
    const passed = new Promise<never>((_, reject) => {
      deadline.signal.addEventListener("abort", () => reject(late), { once: true });
    });
    try {
      const changed = await Promise.race([controller.call(ask), passed]);
      if (!validateOnly)
        await Promise.race([view.waitForRevision(Number(changed.revision), deadline.signal), passed]);
      return changed;
    } finally {
      timer.cancel();
    }
  }
}

function messagesOf(assignments: Assignments): { replicas: number[] }[] {
  return assignments.map((replicas) => ({ replicas: [...replicas] }));
}

function refuseAbsurd(
  code: "INVALID_PARTITIONS" | "INVALID_REPLICATION_FACTOR",
  what: string,
  value: number,
  limit: number,
): void {
  if (value <= limit) return;
  throw new OttlaError(code, `${what}: ${value} exceeds the limit ${limit}`, {
    metadata: { limit: String(limit) },
  });
}
