import { OttlaError, toOttlaError } from "@ottla/errors";
import type { CommitOffsetsRequest, GroupCoordinatorService } from "@ottla/proto/ottla/internal/v1/groups";
import type { ServiceImplementation } from "@ottla/rpc";
import { errorToMessage } from "@ottla/rpc";
import type { Random } from "@ottla/runtime";
import { unknownMember } from "./classic/classic-errors.ts";
import type { JoinOutcome } from "./classic/classic-member.ts";
import type { ClassicRebalance } from "./classic/classic-rebalance.ts";
import { heartbeat } from "./classic/heartbeat.ts";
import { checkJoin, joinGroup } from "./classic/join-group.ts";
import { leaveGroup } from "./classic/leave-group.ts";
import { syncGroup } from "./classic/sync-group.ts";
import { commitOffsets } from "./commit-offsets.ts";
import { checkHeartbeat } from "./consumer/check-heartbeat.ts";
import { consumerHeartbeat } from "./consumer/consumer-heartbeat.ts";
import { JOIN_EPOCH } from "./consumer/consumer-member.ts";
import type { ConsumerMembership } from "./consumer/consumer-membership.ts";
import type { TopicPartitionList } from "./consumer/topic-partitions.ts";
import { deleteGroup, deleteOffsets } from "./delete-groups.ts";
import { describeGroup, listGroups } from "./describe-groups.ts";
import { fetchOffsets } from "./fetch-offsets.ts";
import type { GroupLimits } from "./group-limits.ts";
import type { DescribedMember } from "./group-membership.ts";
import { checkGroupId, type GroupTable } from "./group-table.ts";
import { requireRoomToJoin, requireRoomToSubscribe } from "./member-room.ts";
import {
  heartbeatMixedGroup,
  joinMixedGroup,
  leaveMixedGroup,
  syncMixedGroup,
} from "./migration/classic-requests.ts";
import type { OwnedPartitions } from "./owned-partitions.ts";

export interface GroupCoordinatorServiceOptions {
  readonly partitions: {
    readonly tableOf: OwnedPartitions["tableOf"];
    readonly tables: () => Iterable<GroupTable>;
  };
  readonly limits: GroupLimits;
  readonly random: Random;
}

/** `ottla.internal.v1.GroupCoordinatorService`: turns messages into calls of the group's table. */
export function groupCoordinatorService(options: GroupCoordinatorServiceOptions): Methods {
  const { partitions } = options;
  const tableOf = (groupId: string): GroupTable => partitions.tableOf(groupId);
  return {
    ...classicMethods(options),
    consumerHeartbeat: async (request) => {
      const table = tableOf(request.groupId);
      const said = {
        ...request,
        client: request.client ?? { clientId: "", clientHost: "" },
        subscribedTopicNames: request.subscribedTopics?.names,
        subscribedTopicRegex: request.subscribedRegex,
        owned: request.owned?.topics,
      };
      // Before anything of the group changes: who joins may change its protocol.
      checkHeartbeat(said);
      requireRoomToSubscribe(table.find(request.groupId)?.consumers, said, table.options.budget);
      const answer = await consumerHeartbeat(consumersOf(table, request), said);
      const { assignment, ...rest } = answer;
      return { ...rest, ...(assignment && { assignment: { topics: topicMessages(assignment) } }) };
    },
    ...commitMethods(tableOf),
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

type Methods = ServiceImplementation<typeof GroupCoordinatorService>;

function commitMethods(
  tableOf: (groupId: string) => GroupTable,
): Pick<Methods, "commitOffsets" | "commitOffsetsOfMany"> {
  const commit = async (request: CommitOffsetsRequest, traceparent: string | undefined) => {
    const offsets = request.offsets.map((offset) => ({ ...offset, offset: Number(offset.offset) }));
    const { groupId, memberId, instanceId, generationOrEpoch } = request;
    const refusals = await commitOffsets(tableOf(groupId), {
      groupId,
      memberId,
      instanceId,
      generationOrEpoch,
      offsets,
      retentionMs: Number(request.retentionMs),
      traceparent,
    });
    return { errors: refusals.map(messageOf) };
  };
  return {
    commitOffsets: (request, { span }) => commit(request, span?.traceparent),
    commitOffsetsOfMany: async ({ commits }, { span }) => {
      // All are in line for the partition's log before the first is waited for, so they share an append.
      const outcomes = commits.map(async (request) => {
        try {
          return { outcome: { case: "response", value: await commit(request, span?.traceparent) } } as const;
        } catch (thrown) {
          return { outcome: { case: "error", value: errorToMessage(toOttlaError(thrown)) } } as const;
        }
      });
      return { outcomes: await Promise.all(outcomes) };
    },
  };
}

/** The requests of members of classic groups. */
function classicMethods({
  partitions,
  limits,
  random,
}: GroupCoordinatorServiceOptions): Pick<Methods, "joinGroup" | "syncGroup" | "heartbeat" | "leaveGroup"> {
  const tableOf = (groupId: string): GroupTable => {
    checkGroupId(groupId);
    return partitions.tableOf(groupId);
  };
  return {
    joinGroup: async (request) => {
      const table = tableOf(request.groupId);
      checkJoin(request, limits);
      requireRoomToJoin(table.find(request.groupId), request, table.options.budget);
      const context = { random, limits, journal: table.options.journal };
      table.prepareForClassic(request);
      const mixed = mixedGroup(table, request);
      if (mixed !== undefined) return joinedMessage(await joinMixedGroup(mixed, request, context));
      const isNew = request.memberId === "";
      const rebalance = isNew ? table.classicGroup(request.groupId) : knownGroup(table, request);
      return joinedMessage(await joinGroup(rebalance, request, context));
    },
    syncGroup: async (request) => {
      const table = tableOf(request.groupId);
      const mixed = mixedGroup(table, request);
      if (mixed !== undefined) return syncMixedGroup(mixed, request);
      return syncGroup(knownGroup(table, request), request);
    },
    heartbeat: async (request) => {
      const table = tableOf(request.groupId);
      const mixed = mixedGroup(table, request);
      if (mixed === undefined) heartbeat(knownGroup(table, request).group, request);
      else heartbeatMixedGroup(mixed, request);
      return {};
    },
    leaveGroup: async (request) => {
      const table = tableOf(request.groupId);
      const mixed = mixedGroup(table, request);
      if (mixed !== undefined) return leftMessage(await leaveMixedGroup(mixed, request.members));
      const rebalance = table.find(request.groupId)?.rebalance;
      const left =
        rebalance === undefined
          ? request.members.map(({ memberId }) => ({ memberId, error: unknownMember(memberId) }))
          : leaveGroup(rebalance, request.members);
      return leftMessage(left);
    },
  };
}

/** The group where it has members of the consumer protocol; such a group takes classic ones too. */
function mixedGroup(
  table: GroupTable,
  { groupId }: { readonly groupId: string },
): ConsumerMembership | undefined {
  const consumers = table.find(groupId)?.consumers;
  return consumers === undefined || consumers.isEmpty ? undefined : consumers;
}

/** A group that nobody knows has no members: UNKNOWN_MEMBER_ID makes its clients join anew. */
function knownGroup(
  table: GroupTable,
  request: { readonly groupId: string; readonly memberId: string },
): ClassicRebalance {
  const rebalance = table.find(request.groupId)?.rebalance;
  if (rebalance === undefined) throw unknownMember(request.memberId);
  return rebalance;
}

/** Who joins makes the group; all others have to be in it. */
function consumersOf(
  table: GroupTable,
  { groupId, memberEpoch }: { readonly groupId: string; readonly memberEpoch: number },
): ConsumerMembership {
  if (memberEpoch === JOIN_EPOCH) return table.consumerGroup(groupId);
  const membership = table.get(groupId).consumers;
  if (membership !== undefined) return membership;
  throw new OttlaError("GROUP_ID_NOT_FOUND", `the members of group "${groupId}" use the classic protocol`);
}

const NO_ERROR = { reason: "" };

function leftMessage(left: readonly { readonly memberId: string; readonly error: OttlaError | undefined }[]) {
  return { members: left.map(({ memberId, error }) => ({ memberId, ...(error && failed(error)) })) };
}

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

function describedMessage({ instanceId, rackId, subscribedRegex, ...member }: DescribedMember) {
  const { subscribedTopics = [], assigned = [], target = [], ...rest } = member;
  return {
    ...rest,
    subscribedTopics: [...subscribedTopics],
    assigned: topicMessages(assigned),
    target: topicMessages(target),
    ...(instanceId !== undefined && { instanceId }),
    ...(rackId !== undefined && { rackId }),
    ...(subscribedRegex !== undefined && { subscribedRegex }),
  };
}

function topicMessages<T extends TopicPartitionList>(topics: readonly T[]) {
  return topics.map((topic) => ({ ...topic, partitions: [...topic.partitions] }));
}
