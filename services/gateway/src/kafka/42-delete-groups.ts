/**
 * DeleteGroups (42), versions 0 to 2: groups without members go, with all their offsets.
 *
 * - NON_EMPTY_GROUP while it has members; GROUP_ID_NOT_FOUND where there is none.
 *
 * Deliberately not here: nothing.
 */
import { deleteGroups } from "@ottla/kafka-protocol";
import { outcomeOf } from "./group-requests.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { checkItemCount, inSlices } from "./request-items.ts";

export function deleteGroupsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: deleteGroups,
    versions: { min: 0, max: 2 },
    async handle({ groupsNames }, { signal }) {
      checkItemCount("groups_names", groupsNames.length);
      const results = await inSlices(services.clock, [...new Set(groupsNames)], async (groupId) => {
        const call = services.groups.call(
          groupId,
          (owner) => owner.deleteGroup({ groupId }, { signal }),
          signal,
        );
        const { failure } = await outcomeOf(services, deleteGroups.name, call);
        return { groupId, errorCode: failure?.errorCode ?? NO_ERROR };
      });
      return { throttleTimeMs: 0, results };
    },
    failure: ({ groupsNames }, { errorCode }) => ({
      throttleTimeMs: 0,
      results: groupsNames.map((groupId) => ({ groupId, errorCode })),
    }),
  });
}
