/**
 * Heartbeat (12), versions 0 to 4: a member of a classic group lives.
 *
 * - REBALANCE_IN_PROGRESS makes it join again; ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID and
 *   FENCED_INSTANCE_ID say that it is out.
 *
 * Deliberately not here: nothing.
 */
import { heartbeat } from "@ottla/kafka-protocol";
import { optionalInstance } from "./group-requests.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

export function heartbeatHandler({ groups }: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: heartbeat,
    versions: { min: 0, max: 4 },
    async handle({ groupId, memberId, generationId, groupInstanceId }, { signal }) {
      const request = { groupId, memberId, generation: generationId, ...optionalInstance(groupInstanceId) };
      await groups.call(groupId, (owner) => owner.heartbeat(request, { signal }), signal);
      return { throttleTimeMs: 0, errorCode: NO_ERROR };
    },
    failure: (_, { errorCode }) => ({ throttleTimeMs: 0, errorCode }),
  });
}
