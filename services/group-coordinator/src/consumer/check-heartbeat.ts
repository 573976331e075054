import { invalidRequest, OttlaError } from "@ottla/errors";
import { MAX_ID_BYTES } from "../group-limits.ts";
import { ASSIGNORS } from "./assignor.ts";
import { JOIN_EPOCH, LEAVE_EPOCH, LEFT_FOR_A_WHILE_EPOCH } from "./consumer-member.ts";
import type { TopicPartitionList } from "./topic-partitions.ts";

/** What a member says. What is undefined has not changed since it said it last. */
export interface ConsumerHeartbeat {
  readonly groupId: string;
  readonly memberId: string;
  readonly memberEpoch: number;
  readonly instanceId?: string | undefined;
  readonly rackId?: string | undefined;
  readonly client: { readonly clientId: string; readonly clientHost: string };
  /** -1 when it has not changed. */
  readonly rebalanceTimeoutMs: number;
  readonly subscribedTopicNames?: readonly string[] | undefined;
  readonly subscribedTopicRegex?: string | undefined;
  readonly serverAssignor?: string | undefined;
  /** What it has. */
  readonly owned?: readonly TopicPartitionList[] | undefined;
}

const MAX_SUBSCRIBED_TOPICS = 10_000;

/** Throws INVALID_REQUEST for what contradicts itself, UNSUPPORTED_ASSIGNOR for an assignor that is none. */
export function checkHeartbeat(heartbeat: ConsumerHeartbeat): void {
  const { memberId, memberEpoch, instanceId, rackId, serverAssignor, subscribedTopicNames } = heartbeat;
  checkIds(heartbeat);
  if (memberId === "") throw invalidRequest("member_id", "must be set");
  if (instanceId === "") throw invalidRequest("instance_id", "must not be empty");
  if (rackId === "") throw invalidRequest("rack_id", "must not be empty");
  if (memberEpoch === JOIN_EPOCH) checkJoin(heartbeat);
  else if (memberEpoch === LEFT_FOR_A_WHILE_EPOCH) {
    if (instanceId === undefined) throw invalidRequest("instance_id", "must be set to leave for a while");
  } else if (memberEpoch < LEAVE_EPOCH) throw invalidRequest("member_epoch", `${memberEpoch} is no epoch`);
  if ((subscribedTopicNames?.length ?? 0) > MAX_SUBSCRIBED_TOPICS) {
    throw invalidRequest("subscribed_topic_names", "are too many", MAX_SUBSCRIBED_TOPICS);
  }
  if (serverAssignor !== undefined && !ASSIGNORS.has(serverAssignor)) {
    throw new OttlaError(
      "UNSUPPORTED_ASSIGNOR",
      `assignor "${serverAssignor}" is not served: ${[...ASSIGNORS.keys()].join(" and ")} are`,
    );
  }
}

function checkJoin({ rebalanceTimeoutMs, owned, ...subscription }: ConsumerHeartbeat): void {
  if (rebalanceTimeoutMs < 0) throw invalidRequest("rebalance_timeout_ms", "must be set by who joins");
  if (owned === undefined || owned.length > 0) {
    throw invalidRequest("topic_partitions", "must be an empty list from who joins");
  }
  const { subscribedTopicNames, subscribedTopicRegex } = subscription;
  if (subscribedTopicNames !== undefined || subscribedTopicRegex !== undefined) return;
  throw invalidRequest("subscribed_topic_names", "or a regular expression must be set by who joins");
}

function checkIds({ memberId, instanceId, rackId, client, subscribedTopicRegex }: ConsumerHeartbeat): void {
  const ids = { memberId, instanceId, rackId, ...client, subscribedTopicRegex };
  for (const [field, id] of Object.entries(ids)) {
    if (id !== undefined && Buffer.byteLength(id) > MAX_ID_BYTES) {
      throw invalidRequest(field, `is longer than ${MAX_ID_BYTES} bytes`, MAX_ID_BYTES);
    }
  }
}
