import { invalidRequest, type OttlaError, toOttlaError } from "@ottla/errors";
import { type ConsumeRequest, GroupStart, type Subscribe } from "@ottla/proto/ottla/v1/group";
import type { Logger } from "@ottla/runtime";
import { checkInteger, checkReadFormat, LIMITS } from "../checks.ts";
import type { Topics } from "../topics.ts";

/** What a client that consumes in a group asks for, checked. */
export interface Subscription {
  readonly group: string;
  readonly topics: readonly string[];
  readonly topicPattern: string;
  readonly start: "earliest" | "latest";
  readonly format: "records" | "batches";
  readonly maxUnacknowledgedBytes: number;
  readonly maxBytes: number;
  readonly graceMs: number;
  readonly instanceId: string;
  readonly assignor: string;
  /** Empty where the client has none. */
  readonly memberId: string;
}

const MEBIBYTE = 1024 * 1024;
const DEFAULT_UNACKNOWLEDGED_BYTES = 4 * MEBIBYTE;
const MAX_UNACKNOWLEDGED_BYTES = 64 * MEBIBYTE;
const DEFAULT_GRACE_MS = 30_000;
const MAX_GRACE_MS = 600_000;
const MAX_TOPICS = 1_000;
const MAX_LOGGED_TOPICS = 10;

/** Throws INVALID_REQUEST, or UNKNOWN_TOPIC_OR_PARTITION when no topic of it exists. */
export async function checkSubscription(
  first: ConsumeRequest | undefined,
  topics: Topics,
  logger: Logger,
): Promise<Subscription> {
  if (first?.request.case !== "subscribe") {
    throw invalidRequest("request", "the first message has to be subscribe");
  }
  const subscribe = first.request.value;
  if (subscribe.group === "") throw invalidRequest("subscribe.group", "is empty");
  if (subscribe.topics.length === 0 && subscribe.topicPattern === "") {
    throw invalidRequest("subscribe.topics", "is empty, and topic_pattern too");
  }
  checkInteger("subscribe.topics", subscribe.topics.length, 0, MAX_TOPICS);
  await checkTopics(subscribe, topics, logger);
  return { ...sizesOf(subscribe), ...subscribedOf(subscribe) };
}

/**
 * A misspelled topic is seen at once, and not by nothing coming ever. One of several may be missing: it may
 * have been deleted, which is not to stop the rest, and the group takes it when it comes (again).
 */
async function checkTopics(
  { group, topics: names, topicPattern }: Subscribe,
  topics: Topics,
  logger: Logger,
): Promise<void> {
  const missing: OttlaError[] = [];
  for (const [index, name] of names.entries()) {
    try {
      await topics.get(name, `subscribe.topics[${index}]`);
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (error.code !== "UNKNOWN_TOPIC_OR_PARTITION") throw error;
      missing.push(error);
    }
  }
  const [first] = missing;
  if (first === undefined) return;
  if (missing.length === names.length && topicPattern === "") throw first;
  const reasons = missing.map(({ message }) => message).slice(0, MAX_LOGGED_TOPICS);
  logger.warn(
    { group, reasons },
    "a member subscribes to topics that do not exist: it goes on with the rest",
  );
}

function subscribedOf(subscribe: Subscribe) {
  const { group, topics, topicPattern, start, format, instanceId, assignor, memberId } = subscribe;
  return {
    group,
    topics,
    topicPattern,
    start: startOf(start),
    format: checkReadFormat(format),
    instanceId,
    assignor,
    memberId,
  };
}

function sizesOf({ maxUnacknowledgedBytes, maxBytes, revocationGraceMs }: Subscribe) {
  const unacknowledged = checkInteger(
    "subscribe.max_unacknowledged_bytes",
    maxUnacknowledgedBytes,
    0,
    MAX_UNACKNOWLEDGED_BYTES,
  );
  return {
    maxUnacknowledgedBytes: unacknowledged || DEFAULT_UNACKNOWLEDGED_BYTES,
    maxBytes:
      checkInteger("subscribe.max_bytes", maxBytes, 0, LIMITS.readMaxBytes) || LIMITS.fetchDefaultBytes,
    graceMs:
      checkInteger("subscribe.revocation_grace_ms", revocationGraceMs, 0, MAX_GRACE_MS) || DEFAULT_GRACE_MS,
  };
}

function startOf(start: GroupStart): "earliest" | "latest" {
  switch (start) {
    case GroupStart.UNSPECIFIED:
    case GroupStart.EARLIEST:
      return "earliest";
    case GroupStart.LATEST:
      return "latest";
    default:
      throw invalidRequest("subscribe.start", `${String(start)} is no start`, GroupStart.LATEST);
  }
}
