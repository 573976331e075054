import {
  decodeGroupRecord,
  type GroupMetadataValue,
  type ReadRecord,
} from "@ottla/group-coordinator/testing";
import { decodeControlBatch, decodeRecords, readBatchHeader } from "@ottla/records";
import { broken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

/** An offset that a group has committed, as the log has it; undefined for one that was taken back. */
export interface LoggedCommit {
  readonly logOffset: number;
  readonly offset: number | undefined;
  readonly metadata: string;
}

/** A member of a group of the consumer protocol, as the log has it. */
export interface LoggedMember {
  readonly memberEpoch: number;
  readonly previousMemberEpoch: number;
  /** Partitions as topicId/partition. */
  readonly assigned: ReadonlySet<string>;
  readonly pendingRevocation: ReadonlySet<string>;
}

export interface LoggedGroup {
  /** By topic/partition, in the order of the log. */
  readonly commits: Map<string, LoggedCommit[]>;
  classic: GroupMetadataValue | null;
  /** Of classic groups, by generation and member: all that were ever in force. */
  readonly shares: Map<string, Uint8Array>;
  groupEpoch: number;
  readonly members: Map<string, LoggedMember>;
}

export interface LoggedFence {
  readonly ownerEpoch: number;
  readonly logOffset: number;
}

/** Who committed, and in which generation or epoch, as a member's commit says of itself. */
export interface CommitMark {
  readonly protocol: "classic" | "consumer";
  readonly memberId: string;
  readonly generationOrEpoch: number;
  /** Tells one commit from another. */
  readonly number: number;
}

export function encodeMark({ protocol, memberId, generationOrEpoch, number }: CommitMark): string {
  return [protocol, memberId, generationOrEpoch, number].join(" ");
}

/**
 * What is committed of one partition of the groups' topic, read batch by batch: the truth about its groups.
 * Each record is judged by what was before it.
 */
export class GroupLog {
  readonly partition: number;
  readonly fences: LoggedFence[] = [];
  readonly groups = new Map<string, LoggedGroup>();
  /** All below it has been read. */
  endOffset = 0;
  readonly #simulation: Simulation;

  constructor(partition: number, simulation: Simulation) {
    this.partition = partition;
    this.#simulation = simulation;
  }

  get ownerEpoch(): number {
    return this.fences.at(-1)?.ownerEpoch ?? -1;
  }

  groupOf(groupId: string): LoggedGroup {
    let group = this.groups.get(groupId);
    if (group === undefined) {
      group = { commits: new Map(), classic: null, shares: new Map(), groupEpoch: 0, members: new Map() };
      this.groups.set(groupId, group);
    }
    return group;
  }

  commitsOf(groupId: string, place: string): readonly LoggedCommit[] {
    return this.groups.get(groupId)?.commits.get(place) ?? [];
  }

  /** The next committed batch. */
  append(batch: Uint8Array): void {
    const header = readBatchHeader(batch, 0);
    if (header.isControl) this.#fence(batch, header.baseOffset);
    else {
      const touched = new Set<string>();
      for (const { key, value, offset } of decodeRecords(batch)) {
        const record = decodeGroupRecord(key, value);
        if (record === undefined) continue;
        this.#apply(record, offset);
        touched.add(record.groupId);
      }
      for (const groupId of touched) this.#oneHolder(groupId);
    }
    this.endOffset = header.lastOffset + 1;
  }

  /** R13: each owner, and each loading of its groups, begins with a higher epoch than all before. */
  #fence(batch: Uint8Array, logOffset: number): void {
    const control = decodeControlBatch(batch);
    if (control.type !== "owner") return;
    const { ownerEpoch } = control;
    this.#simulation.checked("R13 fence");
    this.#simulation.say("groups", () => `${this.partition}: owner epoch ${ownerEpoch} at ${logOffset}`);
    if (ownerEpoch <= this.ownerEpoch) {
      broken("R13", `owner epoch ${ownerEpoch} of groups ${this.partition} follows ${this.ownerEpoch}`);
    }
    this.fences.push({ ownerEpoch, logOffset });
  }

  #apply(record: ReadRecord, logOffset: number): void {
    const group = this.groupOf(record.groupId);
    switch (record.kind) {
      case "offset":
        this.#commit(group, record, logOffset);
        return;
      case "group":
        this.#generation(record.groupId, group.classic, record.value);
        group.classic = record.value;
        for (const { memberId, assignment } of record.value?.members ?? []) {
          group.shares.set(shareKey(record.value?.generation ?? -1, memberId), assignment);
        }
        return;
      case "consumer-group":
        group.groupEpoch = record.value?.epoch ?? 0;
        return;
      case "consumer-member":
        if (record.value === null) group.members.delete(record.memberId);
        return;
      case "consumer-current":
        if (record.value === null) group.members.delete(record.memberId);
        else {
          const { memberEpoch, previousMemberEpoch, assignedPartitions, ...rest } = record.value;
          group.members.set(record.memberId, {
            memberEpoch,
            previousMemberEpoch,
            assigned: partitionsOf(assignedPartitions),
            pendingRevocation: partitionsOf(rest.partitionsPendingRevocation),
          });
        }
        return;
      default:
        return;
    }
  }

  #commit(group: LoggedGroup, record: ReadRecord & { kind: "offset" }, logOffset: number): void {
    const { groupId, topic, partition, value } = record;
    const place = `${topic}/${partition}`;
    const commits = group.commits.get(place) ?? [];
    group.commits.set(place, commits);
    const before = commits.at(-1)?.offset;
    this.#simulation.checked("commit goes on");
    this.#simulation.say("groups", () => `${groupId} ${place} at ${value?.offset} (${value?.metadata})`);
    // Nobody here resets a group: what a member commits, it got to from what was committed.
    if (before !== undefined && (value === null || value.offset < before)) {
      broken(
        "at least once",
        `${groupId} ${place} went back from ${before} to ${value?.offset ?? "nothing"}`,
      );
    }
    commits.push({ logOffset, offset: value?.offset, metadata: value?.metadata ?? "" });
    if (value !== null && value.metadata !== "") this.#inItsEpoch(group, groupId, value.metadata);
  }

  /** A member commits in the generation or the epoch that the log says it is in. */
  #inItsEpoch(group: LoggedGroup, groupId: string, metadata: string): void {
    const [protocol, memberId = "", given] = metadata.split(" ");
    this.#simulation.checked("commit in its epoch");
    const isClassic = protocol === "classic";
    const isMember = isClassic
      ? group.classic?.members.some((member) => member.memberId === memberId)
      : group.members.has(memberId);
    const present = isClassic ? group.classic?.generation : group.members.get(memberId)?.memberEpoch;
    if (isMember === true && Number(given) === present) return;
    broken("fenced members", `${groupId} took "${metadata}": the member is in ${present ?? "no group"}`);
  }

  #generation(groupId: string, before: GroupMetadataValue | null, after: GroupMetadataValue | null): void {
    if (before === null || after === null) return;
    this.#simulation.checked("generation grows");
    if (after.generation > before.generation) return;
    broken("R13", `generation ${after.generation} of ${groupId} follows ${before.generation}`);
  }

  /** No partition has two owners: also while its former one has still to give it up. */
  #oneHolder(groupId: string): void {
    this.#simulation.checked("one holder");
    const holders = new Map<string, string>();
    for (const [memberId, { assigned, pendingRevocation }] of this.groupOf(groupId).members) {
      for (const place of [...assigned, ...pendingRevocation]) {
        const other = holders.get(place);
        if (other !== undefined) broken("one owner", `${groupId}: ${other} and ${memberId} have ${place}`);
        holders.set(place, memberId);
      }
    }
  }
}

export function shareKey(generation: number, memberId: string): string {
  return `${generation} ${memberId}`;
}

function partitionsOf(
  lists: readonly { readonly topicId: string; readonly partitions: readonly number[] }[],
): Set<string> {
  return new Set(
    lists.flatMap(({ topicId, partitions }) => partitions.map((number) => `${topicId}/${number}`)),
  );
}
