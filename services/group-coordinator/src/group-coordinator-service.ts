import type { OttlaError } from "@ottla/errors";
import type { GroupCoordinatorService } from "@ottla/proto/ottla/internal/v1/groups";
import type { ServiceImplementation } from "@ottla/rpc";
import { errorToMessage } from "@ottla/rpc";
import type { Random } from "@ottla/runtime";
import { unknownMember } from "./classic/classic-errors.ts";
import type { JoinOutcome } from "./classic/classic-member.ts";
import { heartbeat } from "./classic/heartbeat.ts";
import { checkJoin, joinGroup } from "./classic/join-group.ts";
import { leaveGroup } from "./classic/leave-group.ts";
import { syncGroup } from "./classic/sync-group.ts";
import { commitOffsets } from "./commit-offsets.ts";
import { deleteGroup, deleteOffsets } from "./delete-groups.ts";
import { type DescribedMember, describeGroup, listGroups } from "./describe-groups.ts";
import { fetchOffsets } from "./fetch-offsets.ts";
import type { Group } from "./group.ts";
import type { GroupLimits } from "./group-limits.ts";
import type { GroupTable } from "./group-table.ts";
import type { OwnedPartitions } from "./owned-partitions.ts";

export interface GroupCoordinatorServiceOptions {
  readonly partitions: OwnedPartitions;
  readonly limits: GroupLimits;
  readonly random: Random;
}

/** `ottla.internal.v1.GroupCoordinatorService`: turns messages into calls of the group's table. */
export function groupCoordinatorService(
  options: GroupCoordinatorServiceOptions,
): ServiceImplementation<typeof GroupCoordinatorService> {
  const { partitions, limits, random } = options;
  const tableOf = (groupId: string): GroupTable => partitions.tableOf(groupId);
  return {
    joinGroup: async (request) => {
      const table = tableOf(request.groupId);
      checkJoin(request, limits);
      const isNew = request.memberId === "";
      const group = isNew ? table.findOrCreate(request.groupId) : knownGroup(table, request);
      return joinedMessage(
        await joinGroup(group.rebalance, request, { random, limits, journal: table.options.journal }),
      );
    },
    syncGroup: async (request) => syncGroup(knownGroup(tableOf(request.groupId), request).rebalance, request),
    heartbeat: async (request) => {
      heartbeat(knownGroup(tableOf(request.groupId), request).classic, request);
      return {};
    },
    leaveGroup: async (request) => {
      const group = tableOf(request.groupId).find(request.groupId);
      const left =
        group === undefined
          ? request.members.map(({ memberId }) => ({ memberId, error: unknownMember(memberId) }))
          : leaveGroup(group.rebalance, request.members);
      return { members: left.map(({ memberId, error }) => ({ memberId, ...(error && failed(error)) })) };
    },
    commitOffsets: async (request) => {
      const offsets = request.offsets.map((offset) => ({ ...offset, offset: Number(offset.offset) }));
      const { groupId, memberId, instanceId, generationOrEpoch } = request;
      const refusals = await commitOffsets(tableOf(groupId), {
        groupId,
        memberId,
        instanceId,
        generationOrEpoch,
        offsets,
        retentionMs: Number(request.retentionMs),
      });
      return { errors: refusals.map(messageOf) };
    },
    fetchOffsets: async (request) => ({ offsets: fetchOffsets(tableOf(request.groupId), request) }),
    deleteOffsets: async ({ groupId, partitions: places }) => {
      const refusals = await deleteOffsets(tableOf(groupId), groupId, places);
      return { errors: refusals.map(messageOf) };
    },
    describeGroup: async ({ groupId }) => {
      const group = describeGroup(tableOf(groupId), groupId);
      return { ...group, members: group.members.map(describedMessage) };
    },
    listGroups: async ({ states, types }) => ({
      groups: [...partitions.tables()].flatMap((table) => listGroups(table, states, types)),
    }),
    deleteGroup: async ({ groupId }) => {
      await deleteGroup(tableOf(groupId), groupId);
      return {};
    },
  };
}

/** A group that nobody knows has no members: UNKNOWN_MEMBER_ID makes its clients join anew. */
function knownGroup(
  table: GroupTable,
  request: { readonly groupId: string; readonly memberId: string },
): Group {
  const group = table.find(request.groupId);
  if (group === undefined) throw unknownMember(request.memberId);
  return group;
}

const NO_ERROR = { reason: "" };

function messageOf(error: OttlaError | undefined) {
  return error === undefined ? NO_ERROR : errorToMessage(error);
}

function failed(error: OttlaError) {
  return { error: errorToMessage(error) };
}

/** Protobuf's optional fields are absent, never undefined. */
function joinedMessage({ protocolName, members, ...outcome }: JoinOutcome) {
  return {
    ...outcome,
    ...(protocolName !== undefined && { protocolName }),
    members: members.map(({ instanceId, ...member }) => ({
      ...member,
      ...(instanceId !== undefined && { instanceId }),
    })),
  };
}

function describedMessage({ instanceId, ...member }: DescribedMember) {
  return { ...member, ...(instanceId !== undefined && { instanceId }) };
}
