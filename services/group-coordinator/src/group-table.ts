import { OttlaError } from "@ottla/errors";
import type { Clock, Deadlines, Logger, Random } from "@ottla/runtime";
import { ClassicGroup } from "./classic/classic-group.ts";
import { ClassicRebalance } from "./classic/classic-rebalance.ts";
import { Group } from "./group.ts";
import type { GroupJournal } from "./group-journal.ts";
import { type GroupLimits, MAX_ID_BYTES } from "./group-limits.ts";
import type { GroupMetadataValue, ReadRecord } from "./group-record.ts";

export interface GroupTableOptions {
  readonly journal: GroupJournal;
  readonly clock: Clock;
  readonly random: Random;
  readonly deadlines: Deadlines;
  readonly limits: GroupLimits;
  readonly logger: Logger;
  /** How many groups this node keeps in all its partitions. */
  readonly groupCount: () => number;
  /** Whether a topic was deleted: only when that is known for sure. */
  readonly isDeleted: (topicId: string) => boolean;
}

/** The groups of one partition of the internal topic, while this node owns it. */
export class GroupTable {
  readonly options: GroupTableOptions;
  readonly #groups = new Map<string, Group>();
  /** Members as read from the log: they are set up when all is read, and their sessions begin then. */
  #loading: Map<string, GroupMetadataValue> | undefined = new Map();

  constructor(options: GroupTableOptions) {
    this.options = options;
  }

  get size(): number {
    return this.#groups.size;
  }

  groups(): IterableIterator<Group> {
    return this.#groups.values();
  }

  find(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  /** Throws INVALID_GROUP_ID, or GROUP_MAX_SIZE_REACHED where the node has no room for another group. */
  findOrCreate(groupId: string): Group {
    const known = this.#groups.get(groupId);
    if (known !== undefined) return known;
    checkGroupId(groupId);
    const { maxGroups } = this.options.limits;
    if (this.options.groupCount() >= maxGroups) {
      throw new OttlaError(
        "GROUP_MAX_SIZE_REACHED",
        `this node has ${maxGroups} groups, which is groups.max-groups: delete some or add nodes`,
        { metadata: { limit: String(maxGroups) } },
      );
    }
    return this.#add(groupId, new ClassicGroup(groupId, this.options.clock.now()));
  }

  /** Throws GROUP_ID_NOT_FOUND. */
  get(groupId: string): Group {
    const group = this.#groups.get(groupId);
    if (group === undefined) throw new OttlaError("GROUP_ID_NOT_FOUND", `there is no group "${groupId}"`);
    return group;
  }

  remove(group: Group): void {
    if (this.#groups.get(group.groupId) === group) this.#groups.delete(group.groupId);
    group.rebalance.close(new OttlaError("COORDINATOR_NOT_AVAILABLE", "the group was deleted"));
  }

  /** Takes in what the log says, record by record, before `loaded`. */
  replay(record: ReadRecord): void {
    if (record.kind === "group") {
      if (record.value === null) this.#loading?.delete(record.groupId);
      else this.#loading?.set(record.groupId, record.value);
      return;
    }
    const { groupId, topic, partition, value } = record;
    const known = this.#groups.get(groupId);
    if (value === null) {
      known?.offsets.remove(topic, partition);
      return;
    }
    const group = known ?? this.#add(groupId, new ClassicGroup(groupId, -1));
    group.offsets.put(topic, partition, {
      offset: value.offset,
      leaderEpoch: value.leaderEpoch,
      metadata: value.metadata,
      committedAtMs: value.commitTimestamp,
      expiresAtMs: value.expireTimestamp,
      topicId: value.topicId === NO_TOPIC_ID ? undefined : value.topicId,
    });
  }

  /** All is read: members of before may be heard of from now on. */
  loaded(): void {
    const { clock } = this.options;
    for (const [groupId, value] of this.#loading ?? []) {
      const offsets = this.#groups.get(groupId)?.offsets;
      const group = this.#add(groupId, ClassicGroup.fromRecord(groupId, value, clock.now()));
      for (const { topic, partition, committed } of offsets?.committed() ?? []) {
        group.offsets.put(topic, partition, committed);
      }
    }
    this.#loading = undefined;
    for (const group of this.#groups.values())
      if (group.isVoid && group.classic.generation === 0) this.remove(group);
  }

  /** Fails everybody who waits: this node does not own the groups any more, or has to read them anew. */
  close(reason: OttlaError): void {
    for (const group of this.#groups.values()) group.rebalance.close(reason);
    this.#groups.clear();
  }

  #add(groupId: string, classic: ClassicGroup): Group {
    const { journal, clock, deadlines, limits, logger } = this.options;
    const rebalance = new ClassicRebalance({ group: classic, journal, clock, deadlines, limits, logger });
    const group = new Group(groupId, rebalance);
    this.#groups.set(groupId, group);
    return group;
  }
}

const NO_TOPIC_ID = "00000000-0000-0000-0000-000000000000";

function checkGroupId(groupId: string): void {
  if (groupId !== "" && Buffer.byteLength(groupId) <= MAX_ID_BYTES) return;
  throw new OttlaError("INVALID_GROUP_ID", `a group's id must have 1 to ${MAX_ID_BYTES} bytes`, {
    metadata: { field: "group_id", limit: String(MAX_ID_BYTES) },
  });
}
