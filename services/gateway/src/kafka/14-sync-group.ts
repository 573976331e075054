/**
 * SyncGroup (14), versions 0 to 5: the leader of a generation brings the assignments,
 * every member gets its own.
 *
 * - Answered when the assignments are durable on the in-sync replicas.
 *
 * Deliberately not here: nothing.
 */
import { type ResponseOf, syncGroup } from "@ottla/kafka-protocol";
import { optionalInstance, waitingCall } from "./group-requests.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Response = ResponseOf<typeof syncGroup>;

export function syncGroupHandler({ groups }: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: syncGroup,
    versions: { min: 0, max: 5 },
    async handle(request, context): Promise<Response> {
      const { groupId, memberId, groupInstanceId, generationId, protocolType, protocolName, assignments } =
        request;
      const call = waitingCall(context);
      const synced = await groups.call(
        groupId,
        (owner) =>
          owner.syncGroup(
            {
              groupId,
              memberId,
              ...optionalInstance(groupInstanceId),
              generation: generationId,
              ...(protocolType === null ? {} : { protocolType }),
              ...(protocolName === null ? {} : { protocolName }),
              assignments,
            },
            call,
          ),
        call.signal,
      );
      return {
        throttleTimeMs: 0,
        errorCode: NO_ERROR,
        protocolType: synced.protocolType,
        protocolName: synced.protocolName,
        assignment: synced.assignment,
      };
    },
    failure: (_, { errorCode }) => ({ throttleTimeMs: 0, errorCode, assignment: NO_BYTES }),
  });
}

const NO_BYTES = new Uint8Array(0);
