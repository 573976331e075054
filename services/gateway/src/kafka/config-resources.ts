import { OttlaError } from "@ottla/errors";
import type { TopicConfigMap } from "@ottla/metadata";
import type { Topic } from "../topics.ts";
import { checkTopicName } from "../topics.ts";
import { type KafkaServices, knownTopic, lookUp } from "./kafka-services.ts";

/** What settings belong to, by Kafka's numbers. */
export const ResourceType = { TOPIC: 2, BROKER: 4, GROUP: 32 } as const;

export interface ConfigResource {
  readonly resourceType: number;
  readonly resourceName: string;
}

/** The topic that a resource names. Throws INVALID_TOPIC_EXCEPTION or UNKNOWN_TOPIC_OR_PARTITION. */
export async function topicOfResource({ topics }: KafkaServices, name: string): Promise<Topic> {
  checkTopicName(name, "resource");
  const [topic] = await lookUp(topics, [name], () => knownTopic(topics, name));
  if (topic === undefined)
    throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `The topic '${name}' does not exist.`);
  return topic;
}

/** What was set on a group, which need not exist, as in Kafka. Throws INVALID_REQUEST. */
export function configsOfGroup({ view }: KafkaServices, groupId: string): TopicConfigMap {
  if (groupId === "") throw new OttlaError("INVALID_REQUEST", "Default group resources are not allowed.");
  return view.groupConfigs.get(groupId)?.configs ?? {};
}

/** An empty name stands for all brokers. Any gateway answers for any: they share their settings. */
export function checkBrokerResource({ brokers }: KafkaServices, name: string, ids: readonly number[]): void {
  if (name === "" || ids.includes(Number(name))) return;
  const received = name.slice(0, 100);
  const message = `Unexpected broker id, expected ${brokers.ownId} or empty string, but received ${received}`;
  throw new OttlaError("INVALID_REQUEST", message);
}

export function keyOfResource({ resourceType, resourceName }: ConfigResource): string {
  return `${resourceType} ${resourceName}`;
}
