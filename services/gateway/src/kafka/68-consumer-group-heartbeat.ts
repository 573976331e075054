/**
 * ConsumerGroupHeartbeat (68), versions 0 and 1: the consumer protocol of KIP-848, all of it in one request.
 *
 * - The server assigns, by `uniform` or `range`. A member gives partitions up first and gets others only when
 *   nobody has them any more; members that nothing changes for are not disturbed.
 * - Static members that leave for a while (epoch -2) keep their partitions until their session is over.
 * - Regular expressions (version 1) are RE2's, without what RE2 lacks, and match whole names.
 * - In version 0 the server gives a member its id.
 *
 * Deliberately not here: groups that have members of both protocols at a time: a group changes its protocol
 * while it has no members (GROUP_ID_NOT_FOUND until then).
 */
import { consumerGroupHeartbeat, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { groupClient } from "./group-requests.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Request = RequestOf<typeof consumerGroupHeartbeat>;
type Response = ResponseOf<typeof consumerGroupHeartbeat>;

export function consumerGroupHeartbeatHandler({ groups, random }: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: consumerGroupHeartbeat,
    versions: { min: 0, max: 1 },
    async handle(request, context): Promise<Response> {
      const givesId = request.memberId === "" && context.apiVersion === 0 && request.memberEpoch === 0;
      const memberId = givesId ? random.uuid() : request.memberId;
      const message = internalRequest(request, memberId, context);
      const { signal } = context;
      const answer = await groups.call(
        request.groupId,
        (owner) => owner.consumerHeartbeat(message, { signal }),
        signal,
      );
      return {
        throttleTimeMs: 0,
        errorCode: NO_ERROR,
        memberId: answer.memberId,
        memberEpoch: answer.memberEpoch,
        heartbeatIntervalMs: answer.heartbeatIntervalMs,
        assignment: answer.assignment === undefined ? null : { topicPartitions: answer.assignment.topics },
      };
    },
    failure: ({ memberId, memberEpoch }, { errorCode, errorMessage }) => ({
      throttleTimeMs: 0,
      errorCode,
      errorMessage,
      memberId: memberId === "" ? null : memberId,
      memberEpoch,
      heartbeatIntervalMs: 0,
    }),
  });
}

function internalRequest(request: Request, memberId: string, context: KafkaRequestContext) {
  const { instanceId, rackId, serverAssignor, subscribedTopicNames, subscribedTopicRegex, topicPartitions } =
    request;
  return {
    groupId: request.groupId,
    memberId,
    memberEpoch: request.memberEpoch,
    client: groupClient(context),
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    ...(instanceId !== null && { instanceId }),
    ...(rackId !== null && { rackId }),
    ...(serverAssignor !== null && { serverAssignor }),
    ...(subscribedTopicNames !== null && { subscribedTopics: { names: subscribedTopicNames } }),
    ...(subscribedTopicRegex !== null && { subscribedRegex: subscribedTopicRegex }),
    ...(topicPartitions !== null && { owned: { topics: topicPartitions } }),
  };
}
