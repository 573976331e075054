import type { CommittedOffset, OffsetPlace } from "./committed-offsets.ts";
import { removeOffsets, tombstonesOf } from "./delete-groups.ts";
import type { Group } from "./group.ts";
import type { GroupTable } from "./group-table.ts";

/** So many groups are looked at in one turn. */
const SLICE_GROUPS = 200;

/**
 * Removes offsets that have had their time, those of deleted topics, and groups that have nothing any more.
 * Between slices others have their turn.
 */
export async function expireOffsets(table: GroupTable, signal: AbortSignal): Promise<void> {
  const { clock } = table.options;
  const groups = [...table.groups()];
  for (const [index, group] of groups.entries()) {
    if (signal.aborted) return;
    if (index % SLICE_GROUPS === SLICE_GROUPS - 1) {
      await new Promise<void>((resolve) => clock.nextTurn(resolve));
    }
    await expireGroup(table, group);
  }
}

async function expireGroup(table: GroupTable, group: Group): Promise<void> {
  if (table.find(group.groupId) !== group) return;
  const { clock, limits, journal } = table.options;
  const nowMs = clock.now();
  const gone: OffsetPlace[] = [];
  for (const { topic, partition, committed } of group.offsets.committed()) {
    const isOver =
      isOfDeletedTopic(table, topic, committed, nowMs) ||
      isExpired(group, topic, committed, nowMs, limits.offsetsRetentionMs);
    if (isOver) gone.push({ topic, partition });
  }
  await removeOffsets(table, group, gone);
  if (!group.isVoid || table.find(group.groupId) !== group) return;
  const tombstones = tombstonesOf(group);
  table.remove(group);
  if (tombstones.length > 0) await journal.append(tombstones);
}

/**
 * The tombstone in the metadata says it; when that has gone too, another topic under the same name does. An
 * offset that is new may be of a topic that this node has yet to hear of.
 */
function isOfDeletedTopic(
  { options: { isDeleted, catalog, limits } }: GroupTable,
  topic: string,
  { topicId, committedAtMs }: CommittedOffset,
  nowMs: number,
): boolean {
  if (topicId === undefined) return false;
  if (isDeleted(topicId)) return true;
  const now = catalog.find(topic);
  const isNew = nowMs - committedAtMs < limits.offsetsRetentionCheckIntervalMs;
  return now !== undefined && now.topicId !== topicId && !isNew;
}

function isExpired(
  { membership }: Group,
  topic: string,
  { committedAtMs, expiresAtMs }: CommittedOffset,
  nowMs: number,
  retentionMs: number,
): boolean {
  const sinceMs = membership.unusedSinceMs(topic, committedAtMs);
  if (sinceMs === undefined) return false;
  return expiresAtMs >= 0 ? nowMs >= expiresAtMs : nowMs - sinceMs >= retentionMs;
}
