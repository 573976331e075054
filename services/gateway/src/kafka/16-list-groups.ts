/**
 * ListGroups (16), versions 0 to 5: all groups, whichever node owns them.
 *
 * - Filters by state (version 4) and by type (version 5), without regard to case.
 * - While the owner of some of them is away there is no answer but COORDINATOR_NOT_AVAILABLE: a list with
 *   groups missing would be taken for whole.
 *
 * Deliberately not here: nothing.
 */
import { listGroups } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

export function listGroupsHandler({ groups }: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: listGroups,
    versions: { min: 0, max: 5 },
    async handle({ statesFilter, typesFilter }, { signal }) {
      const filters = { states: statesFilter, types: typesFilter };
      const lists = await groups.callAll((owner) => owner.listGroups(filters, { signal }));
      return {
        throttleTimeMs: 0,
        errorCode: NO_ERROR,
        groups: lists
          .flatMap((list) => list.groups)
          .map(({ groupId, protocolType, state, type }) => ({
            groupId,
            protocolType,
            groupState: state,
            groupType: type,
          })),
      };
    },
    failure: (_, { errorCode }) => ({ throttleTimeMs: 0, errorCode, groups: [] }),
  });
}
