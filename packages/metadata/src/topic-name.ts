import { OttlaError } from "@ottla/errors";

/** Kafka's limit: leaves room for "-<partition>" in a file name of 255 bytes. */
export const MAX_TOPIC_NAME_LENGTH = 249;

const TOPIC_NAME = /^[a-zA-Z0-9._-]+$/;

/** Where groups keep their members and committed offsets. */
export const GROUPS_TOPIC = "__consumer_offsets";

/** Kafka's internal topics; clients may read but not write them. */
const INTERNAL_TOPICS: ReadonlySet<string> = new Set([
  GROUPS_TOPIC,
  "__transaction_state",
  "__share_group_state",
]);

/** Throws INVALID_TOPIC_EXCEPTION that names the rule broken. Kafka's rules. */
export function validateTopicName(name: string): void {
  if (name.length === 0) throw invalidName(name, "it is empty", "1");
  if (name.length > MAX_TOPIC_NAME_LENGTH) {
    throw invalidName(
      `${name.slice(0, 20)}…`,
      `it is ${name.length} characters long, the limit is ${MAX_TOPIC_NAME_LENGTH}`,
      String(MAX_TOPIC_NAME_LENGTH),
    );
  }
  if (name === "." || name === "..") throw invalidName(name, 'it cannot be "." or ".."');
  if (!TOPIC_NAME.test(name)) {
    throw invalidName(name, 'only letters a-z A-Z, digits, ".", "_" and "-" are allowed');
  }
}

export function isInternalTopicName(name: string): boolean {
  return INTERNAL_TOPICS.has(name);
}

/**
 * Two names that differ only in "." and "_" would share their metric names, so Kafka refuses the second:
 * names with the same collision key collide.
 */
export function topicNameCollisionKey(name: string): string {
  return name.replaceAll(".", "_");
}

function invalidName(name: string, rule: string, limit?: string): OttlaError {
  const metadata: Record<string, string> = { field: "name" };
  if (limit !== undefined) metadata["limit"] = limit;
  return new OttlaError("INVALID_TOPIC_EXCEPTION", `topic name "${name}" is not allowed: ${rule}`, {
    metadata,
  });
}
