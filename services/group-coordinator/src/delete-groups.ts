import { OttlaError } from "@ottla/errors";
import type { OffsetPlace } from "./committed-offsets.ts";
import type { Group } from "./group.ts";
import type { GroupRecord } from "./group-record.ts";
import type { GroupTable } from "./group-table.ts";

/** Deletes a group without members, with all its offsets. */
export async function deleteGroup(table: GroupTable, groupId: string): Promise<void> {
  const group = table.get(groupId);
  if (!group.membership.isEmpty) {
    throw new OttlaError("NON_EMPTY_GROUP", `group "${groupId}" has members: stop them first`);
  }
  const tombstones = tombstonesOf(group);
  table.remove(group);
  await table.options.journal.append(tombstones);
}

/** What takes a group back altogether. Commits that are under way are in the log before it. */
export function tombstonesOf(group: Group): GroupRecord[] {
  const { groupId } = group;
  const offsets = [...group.offsets.places()].map((place) => offsetTombstone(groupId, place));
  return [...offsets, ...group.membership.tombstones()];
}

export function offsetTombstone(groupId: string, { topic, partition }: OffsetPlace): GroupRecord {
  return { kind: "offset", groupId, topic, partition, value: null };
}

/** Removes committed offsets; for each place why it was refused, if it was. */
export async function deleteOffsets(
  table: GroupTable,
  groupId: string,
  places: readonly OffsetPlace[],
): Promise<(OttlaError | undefined)[]> {
  const group = table.get(groupId);
  const { membership } = group;
  if (places.some(({ topic }) => membership.uses(topic) === undefined)) {
    throw new OttlaError("NON_EMPTY_GROUP", `group "${groupId}" has members: stop them first`);
  }
  const refusals = places.map(({ topic }) =>
    membership.uses(topic) === true
      ? new OttlaError("GROUP_SUBSCRIBED_TO_TOPIC", `group "${groupId}" is subscribed to topic "${topic}"`)
      : undefined,
  );
  const removed = places.filter((place, index) => refusals[index] === undefined && group.offsets.has(place));
  await removeOffsets(table, group, removed);
  return refusals;
}

export async function removeOffsets(
  table: GroupTable,
  group: Group,
  places: readonly OffsetPlace[],
): Promise<void> {
  if (places.length === 0) return;
  await table.options.journal.append(places.map((place) => offsetTombstone(group.groupId, place)));
  for (const { topic, partition } of places) group.offsets.remove(topic, partition);
}
