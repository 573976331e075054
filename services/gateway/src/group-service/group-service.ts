import { invalidRequest } from "@ottla/errors";
import type { GroupService } from "@ottla/proto/ottla/v1/group";
import type { ServiceImplementation } from "@ottla/rpc";
import { guarded } from "../guarded.ts";
import { type ConsumeOptions, serveConsume } from "./consume.ts";
import { commitOffsets, describeGroup } from "./group-admin.ts";

/** Serves ottla.v1.GroupService. */
export function createGroupService(options: ConsumeOptions): ServiceImplementation<typeof GroupService> {
  const { groups } = options;
  return {
    consume: (stream, context) => guarded(() => serveConsume(options, stream, context)),
    listGroups: ({ states }, { signal }) =>
      guarded(async () => {
        const lists = await groups.callAll((owner) => owner.listGroups({ states, types: [] }, { signal }));
        const listed = lists.flatMap((list) => list.groups);
        return {
          groups: listed.map(({ groupId, ...group }) => ({ group: groupId, ...publicListing(group) })),
        };
      }),
    describeGroup: ({ group }, { signal }) =>
      guarded(() => describeGroup(options, checkGroup(group), signal)),
    commitOffsets: (request, context) =>
      guarded(() => commitOffsets(options, checkGroup(request.group), request.offsets, context)),
    deleteGroup: ({ group }, { signal }) =>
      guarded(async () => {
        const groupId = checkGroup(group);
        await groups.call(groupId, (owner) => owner.deleteGroup({ groupId }, { signal }), signal);
        return {};
      }),
  };
}

function checkGroup(group: string): string {
  if (group === "") throw invalidRequest("group", "is empty");
  return group;
}

function publicListing(group: {
  readonly state: string;
  readonly type: string;
  readonly protocolType: string;
}) {
  const { state, type, protocolType } = group;
  return { state, type, protocolType };
}
