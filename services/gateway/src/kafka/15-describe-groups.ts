/**
 * DescribeGroups (15), versions 0 to 6: classic groups with their members.
 *
 * - A group that does not exist is one in the state "Dead", as it always was; version 6 says
 *   GROUP_ID_NOT_FOUND. So is one of the consumer protocol (KIP-848), which has ConsumerGroupDescribe.
 *
 * Deliberately not here: nothing.
 */
import { OttlaError } from "@ottla/errors";
import { describeGroups, type ResponseOf } from "@ottla/kafka-protocol";
import { ALL_GROUP_OPERATIONS, OPERATIONS_NOT_ASKED } from "./group-requests.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { failureOf, type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { checkItemCount, inSlices } from "./request-items.ts";

type DescribedGroup = ResponseOf<typeof describeGroups>["groups"][number];

const NOT_FOUND_VERSION = 6;
const DEAD = "Dead";

export function describeGroupsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: describeGroups,
    versions: { min: 0, max: 6 },
    async handle({ groups, includeAuthorizedOperations }, context) {
      checkItemCount("groups", groups.length);
      const authorizedOperations = includeAuthorizedOperations ? ALL_GROUP_OPERATIONS : OPERATIONS_NOT_ASKED;
      const described = await inSlices(services.clock, groups, (groupId) =>
        describe(services, groupId, context),
      );
      return {
        throttleTimeMs: 0,
        groups: described.map((group) => ({ ...group, authorizedOperations })),
      };
    },
    failure: ({ groups }, failure) => ({
      throttleTimeMs: 0,
      groups: groups.map((groupId) => refused(groupId, failure, "")),
    }),
  });
}

async function describe(
  { groups, failures }: KafkaServices,
  groupId: string,
  context: KafkaRequestContext,
): Promise<DescribedGroup> {
  const { signal } = context;
  try {
    const group = await groups.call(groupId, (owner) => owner.describeGroup({ groupId }, { signal }), signal);
    if (group.type !== "classic") return absent(groupId, context);
    return {
      errorCode: NO_ERROR,
      groupId,
      groupState: group.state,
      protocolType: group.protocolType,
      protocolData: group.protocol,
      members: group.members.map((member) => ({
        memberId: member.memberId,
        groupInstanceId: member.instanceId ?? null,
        clientId: member.clientId,
        clientHost: member.clientHost,
        memberMetadata: member.metadata,
        memberAssignment: member.assignment,
      })),
    };
  } catch (thrown) {
    if (thrown instanceof OttlaError && thrown.code === "GROUP_ID_NOT_FOUND") return absent(groupId, context);
    return refused(groupId, failures.of(thrown, describeGroups.name), "");
  }
}

function absent(groupId: string, { apiVersion }: KafkaRequestContext): DescribedGroup {
  const failure =
    apiVersion >= NOT_FOUND_VERSION
      ? failureOf("GROUP_ID_NOT_FOUND", `there is no classic group "${groupId}"`)
      : { errorCode: NO_ERROR, errorMessage: null };
  return refused(groupId, failure, DEAD);
}

function refused(
  groupId: string,
  { errorCode, errorMessage }: KafkaFailure | { readonly errorCode: number; readonly errorMessage: null },
  groupState: string,
): DescribedGroup {
  return { errorCode, errorMessage, groupId, groupState, protocolType: "", protocolData: "", members: [] };
}
