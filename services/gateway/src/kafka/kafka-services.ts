import { toOttlaError } from "@ottla/errors";
import type { ClusterView, GroupConfig, TopicConfigMap } from "@ottla/metadata";
import type { GroupRouter, PartitionRouter } from "@ottla/routing";
import type { Clock, Random, ReadBuffers } from "@ottla/runtime";
import type { ByteBudget } from "../byte-budget.ts";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { ProducerIds } from "../log-service/producer-ids.ts";
import type { Topic, Topics } from "../topics.ts";
import type { FetchBudget } from "./fetch-budget.ts";
import type { FetchSessions } from "./fetch-session.ts";
import type { KafkaFailures } from "./kafka-failures.ts";
import type { TopicChanges } from "./topic-changes.ts";
import type { VirtualBrokers } from "./virtual-brokers.ts";

/** What the handlers of all APIs share. */
export interface KafkaServices {
  readonly topics: Topics;
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  readonly groups: GroupRouter;
  readonly producerIds: ProducerIds;
  readonly brokers: VirtualBrokers;
  readonly failures: KafkaFailures;
  readonly changes: TopicChanges;
  readonly fetchSessions: FetchSessions;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: GatewayMetrics;
  /** Bytes of batches on their way to leaders, over all connections. */
  readonly produceBudget: ByteBudget;
  /** Bytes of batches on their way to consumers, over all connections. */
  readonly fetchBudget: FetchBudget;
  /** Gets back what was read in this process and has left it. */
  readonly readBuffers: ReadBuffers;
  readonly topicDefaults: TopicConfigMap;
  /** What holds for groups that set nothing. */
  readonly groupDefaults: GroupConfig;
  readonly limits: KafkaServiceLimits;
  readonly cluster: KafkaClusterSettings;
}

export interface KafkaServiceLimits {
  /** What a fetch answers with at most, whatever it asks for: Kafka's fetch.max.bytes of a broker. */
  readonly maxFetchBytes: number;
  /** A fetch or append that asks to wait longer waits so long. */
  readonly maxWaitMs: number;
}

/** Settings of the cluster that clients may ask for, and that auto-creation follows. */
export interface KafkaClusterSettings {
  readonly autoCreateTopics: boolean;
  readonly numPartitions: number;
  /** Undefined: as many as there are storage nodes, three at the most. */
  readonly defaultReplicationFactor: number | undefined;
  readonly maxRequestBytes: number;
  readonly maxConnections: number;
  readonly idleTimeoutMs: number;
}

/** The topic of that name as this gateway's view has it; a name that is not allowed names no topic. */
export function knownTopic(topics: Topics, name: string): Topic | undefined {
  try {
    return topics.find(name);
  } catch (thrown) {
    if (toOttlaError(thrown).code === "INVALID_TOPIC_EXCEPTION") return undefined;
    throw thrown;
  }
}

/** The live topic of that id as this gateway's view has it. */
export function knownTopicId(
  services: Pick<KafkaServices, "view" | "topics">,
  topicId: string,
): Topic | undefined {
  const state = services.view.topicById(topicId);
  return state?.phase === "live" ? knownTopic(services.topics, state.name) : undefined;
}

/** Looks items up in the view, and once more after catching up with the store when one is missing. */
export async function lookUp<Key, Found>(
  topics: Topics,
  keys: readonly Key[],
  find: (key: Key) => Found | undefined,
): Promise<(Found | undefined)[]> {
  const found = keys.map(find);
  if (found.every((item) => item !== undefined)) return found;
  await topics.refresh();
  return keys.map((key, index) => found[index] ?? find(key));
}

/** What one call to a storage node may name. */
const MAX_ITEMS_PER_CALL = 5_000;

/**
 * Asks for many items in calls of bounded size, one after another; the answers are in the order of the items.
 */
export async function askInParts<Item, Answer>(
  items: readonly Item[],
  ask: (part: readonly Item[]) => Promise<readonly Answer[]>,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let first = 0; first < items.length; first += MAX_ITEMS_PER_CALL) {
    for (const answer of await ask(items.slice(first, first + MAX_ITEMS_PER_CALL))) answers.push(answer);
  }
  return answers;
}

export function hasPartition(topic: Topic, partition: number): boolean {
  return partition >= 0 && partition < topic.partitionCount;
}
