/**
 * JoinGroup (11), versions 0 to 9: a member enters a classic group, or its next generation.
 *
 * - Answered when the generation begins: when all members have joined, or the slowest of them has had its
 *   rebalance timeout. The leader gets all members and shares out the partitions.
 * - From version 4 on a new member gets its id first, with MEMBER_ID_REQUIRED, and joins with it (KIP-394).
 * - Static members (version 5) keep their place over a restart (KIP-345); from version 9 on a leader among
 *   them is told to leave the assignment as it is (KIP-814).
 *
 * Deliberately not here: reasons for joining (version 8), which nobody reads.
 */
import { ERRORS, type OttlaError, toOttlaError } from "@ottla/errors";
import { joinGroup, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { groupClient, optionalInstance, waitingCall } from "./group-requests.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Request = RequestOf<typeof joinGroup>;
type Response = ResponseOf<typeof joinGroup>;

const MEMBER_ID_FIRST_VERSION = 4;
const NULLABLE_PROTOCOL_VERSION = 7;
const SKIPPING_VERSION = 9;

export function joinGroupHandler({ groups }: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: joinGroup,
    versions: { min: 0, max: 9 },
    async handle(request, context): Promise<Response> {
      const call = waitingCall(context);
      try {
        const joined = await groups.call(
          request.groupId,
          (owner) => owner.joinGroup(internalRequest(request, context), call),
          call.signal,
        );
        return {
          throttleTimeMs: 0,
          errorCode: NO_ERROR,
          generationId: joined.generation,
          protocolType: joined.protocolType,
          protocolName: joined.protocolName ?? noProtocol(context),
          leader: joined.leaderId,
          skipAssignment: joined.skipAssignment,
          memberId: joined.memberId,
          members: joined.members.map(({ memberId, instanceId, metadata }) => ({
            memberId,
            groupInstanceId: instanceId ?? null,
            metadata,
          })),
        };
      } catch (thrown) {
        const memberId = requiredMemberId(toOttlaError(thrown));
        if (memberId === undefined) throw thrown;
        return refused(ERRORS.MEMBER_ID_REQUIRED.kafka, memberId, context);
      }
    },
    failure: ({ memberId }, { errorCode }, context) => refused(errorCode, memberId, context),
  });
}

function internalRequest(request: Request, context: KafkaRequestContext) {
  return {
    groupId: request.groupId,
    memberId: request.memberId,
    ...optionalInstance(request.groupInstanceId),
    client: groupClient(context),
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    protocolType: request.protocolType,
    protocols: request.protocols,
    requiresKnownMemberId: context.apiVersion >= MEMBER_ID_FIRST_VERSION,
    supportsSkippingAssignment: context.apiVersion >= SKIPPING_VERSION,
  };
}

function requiredMemberId({ code, metadata }: OttlaError): string | undefined {
  return code === "MEMBER_ID_REQUIRED" ? metadata["member_id"] : undefined;
}

function refused(errorCode: number, memberId: string, context: KafkaRequestContext): Response {
  return {
    throttleTimeMs: 0,
    errorCode,
    generationId: -1,
    protocolName: noProtocol(context),
    leader: "",
    memberId,
    members: [],
  };
}

function noProtocol({ apiVersion }: KafkaRequestContext): string | null {
  return apiVersion >= NULLABLE_PROTOCOL_VERSION ? null : "";
}
