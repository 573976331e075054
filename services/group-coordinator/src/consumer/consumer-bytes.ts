import { protocolsBytes } from "../classic/classic-member.ts";
import type { ConsumerMember } from "./consumer-member.ts";
import type { TopicPartitions } from "./topic-partitions.ts";

/*
 * About how much memory a group of the consumer protocol takes. Its members' metadata is parsed, so that it
 * takes more than the bytes that came.
 */

/** Of a string beside its characters, and of its place in a list. */
const STRING_BYTES = 24;
/** Of a topic's id and its set. */
const TOPIC_BYTES = 200;
/** Of a partition in a set. */
const PARTITION_BYTES = 16;

export function memberBytes(member: ConsumerMember): number {
  const { memberId, instanceId, rackId, clientId, clientHost, subscribedTopicRegex, classic } = member;
  let bytes = namesBytes(member.subscribedTopicNames);
  for (const text of [memberId, instanceId, rackId, clientId, clientHost, subscribedTopicRegex]) {
    bytes += text === null ? 0 : STRING_BYTES + text.length;
  }
  bytes += partitionsBytes(member.assigned) + partitionsBytes(member.pendingRevocation);
  return bytes + (classic === null ? 0 : protocolsBytes(classic.supportedProtocols));
}

export function namesBytes(names: Iterable<string>): number {
  let bytes = 0;
  for (const name of names) bytes += STRING_BYTES + name.length;
  return bytes;
}

export function partitionsBytes(partitions: TopicPartitions): number {
  let bytes = 0;
  for (const ofTopic of partitions.values()) bytes += TOPIC_BYTES + PARTITION_BYTES * ofTopic.size;
  return bytes;
}
