/**
 * ConsumerGroupDescribe (69), versions 0 and 1: groups of the consumer protocol (KIP-848) with their members,
 * what each has and what each is to have.
 *
 * - A group that does not exist, and one of the classic protocol, is GROUP_ID_NOT_FOUND:
 *   clients then ask with DescribeGroups.
 *
 * Deliberately not here: nothing.
 */
import { consumerGroupDescribe, type ResponseOf } from "@ottla/kafka-protocol";
import type { AssignedTopic, DescribeGroupResponse } from "@ottla/proto/ottla/internal/v1/groups";
import { ALL_GROUP_OPERATIONS, OPERATIONS_NOT_ASKED, outcomeOf } from "./group-requests.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { failureOf, type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { checkItemCount, inSlices } from "./request-items.ts";

type DescribedGroup = ResponseOf<typeof consumerGroupDescribe>["groups"][number];

const CONSUMER = "consumer";
/** A member that uses the consumer protocol itself. */
const CONSUMER_MEMBER = 1;
const CLASSIC_MEMBER = 0;

export function consumerGroupDescribeHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: consumerGroupDescribe,
    versions: { min: 0, max: 1 },
    async handle({ groupIds, includeAuthorizedOperations }, { signal }) {
      checkItemCount("group_ids", groupIds.length);
      const authorizedOperations = includeAuthorizedOperations ? ALL_GROUP_OPERATIONS : OPERATIONS_NOT_ASKED;
      const groups = await inSlices(services.clock, groupIds, async (groupId) => {
        const call = services.groups.call(
          groupId,
          (owner) => owner.describeGroup({ groupId }, { signal }),
          signal,
        );
        const outcome = await outcomeOf(services, consumerGroupDescribe.name, call);
        if (outcome.failure !== undefined) return refused(groupId, outcome.failure);
        if (outcome.result.type === CONSUMER) return described(groupId, outcome.result);
        return refused(groupId, failureOf("GROUP_ID_NOT_FOUND", `group "${groupId}" is no consumer group`));
      });
      return { throttleTimeMs: 0, groups: groups.map((group) => ({ ...group, authorizedOperations })) };
    },
    failure: ({ groupIds }, failure) => ({
      throttleTimeMs: 0,
      groups: groupIds.map((groupId) => refused(groupId, failure)),
    }),
  });
}

function described(groupId: string, group: DescribeGroupResponse): DescribedGroup {
  return {
    errorCode: NO_ERROR,
    groupId,
    groupState: group.state,
    groupEpoch: group.generation,
    assignmentEpoch: group.assignmentEpoch,
    assignorName: group.protocol,
    members: group.members.map((member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId ?? null,
      rackId: member.rackId ?? null,
      memberEpoch: member.epoch,
      clientId: member.clientId,
      clientHost: member.clientHost,
      subscribedTopicNames: member.subscribedTopics,
      subscribedTopicRegex: member.subscribedRegex ?? null,
      assignment: { topicPartitions: member.assigned.map(namedTopic) },
      targetAssignment: { topicPartitions: member.target.map(namedTopic) },
      memberType: member.isClassic ? CLASSIC_MEMBER : CONSUMER_MEMBER,
    })),
  };
}

function namedTopic({ topicId, topic, partitions }: AssignedTopic) {
  return { topicId, topicName: topic, partitions };
}

function refused(groupId: string, { errorCode, errorMessage }: KafkaFailure): DescribedGroup {
  return {
    errorCode,
    errorMessage,
    groupId,
    groupState: "",
    groupEpoch: 0,
    assignmentEpoch: 0,
    assignorName: "",
    members: [],
  };
}
