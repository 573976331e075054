/**
 * LeaveGroup (13), versions 0 to 5: members leave a classic group at once, instead of falling silent.
 *
 * - From version 3 on many at a time, also static members by their instance id alone, as tools do (KIP-345).
 *
 * Deliberately not here: reasons for leaving (version 5), which nobody reads.
 */
import { leaveGroup, type RequestOf } from "@ottla/kafka-protocol";
import { itemErrorCode, optionalInstance } from "./group-requests.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { checkItemCount } from "./request-items.ts";

type Request = RequestOf<typeof leaveGroup>;

const FIRST_BATCHED_VERSION = 3;

export function leaveGroupHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: leaveGroup,
    versions: { min: 0, max: 5 },
    async handle(request, { apiVersion, signal }) {
      const isBatched = apiVersion >= FIRST_BATCHED_VERSION;
      const leaving = isBatched ? request.members : [onlyMember(request)];
      checkItemCount("members", leaving.length);
      const { groupId } = request;
      const { members } = await services.groups.call(
        groupId,
        (owner) =>
          owner.leaveGroup(
            {
              groupId,
              members: leaving.map(({ memberId, groupInstanceId }) => ({
                memberId,
                ...optionalInstance(groupInstanceId),
              })),
            },
            { signal },
          ),
        signal,
      );
      const answers = leaving.map(({ memberId, groupInstanceId }, index) => ({
        memberId,
        groupInstanceId,
        errorCode: itemErrorCode(services, members[index]?.error, leaveGroup.name),
      }));
      const errorCode = isBatched ? NO_ERROR : (answers[0]?.errorCode ?? NO_ERROR);
      return { throttleTimeMs: 0, errorCode, members: answers };
    },
    failure: (_, { errorCode }) => ({ throttleTimeMs: 0, errorCode, members: [] }),
  });
}

function onlyMember({ memberId }: Request): Request["members"][number] {
  return { memberId, groupInstanceId: null, reason: null };
}
