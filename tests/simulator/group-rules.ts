import type { GroupTable, OwnedPartition } from "@ottla/group-coordinator/testing";
import { GROUPS_TOPIC } from "@ottla/metadata";
import { groupPartition } from "@ottla/routing";
import type { DiskReplicas } from "./disk-replicas.ts";
import { GroupLog, type LoggedGroup } from "./group-log.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import { broken } from "./rule-broken.ts";
import type { SimulatedNode } from "./simulated-node.ts";
import type { Simulation } from "./simulation.ts";

export interface GroupRulesOptions {
  readonly simulation: Simulation;
  readonly metadata: MetadataRules;
  readonly disks: DiskReplicas;
  readonly nodes: readonly SimulatedNode[];
}

interface Followed {
  /** Of the replicas: topicId-partition. */
  readonly name: string;
  readonly log: GroupLog;
  /** Of the committed batches, how many the log has read. */
  batches: number;
}

/** The rules about groups, checked after every event: what is committed of their log, and what owners say. */
export class GroupRules {
  readonly #options: GroupRulesOptions;
  readonly #followed: Followed[] = [];
  readonly #activity = new Map<number, number>();
  /** Who served under an owner epoch of a partition. */
  readonly #servers = new Map<string, string>();
  #metadataVersion = -1;

  constructor(options: GroupRulesOptions) {
    this.#options = options;
  }

  /** The log in which the group is; undefined while there is none. */
  logOf(groupId: string): GroupLog | undefined {
    const count = this.#followed.length;
    return count === 0 ? undefined : this.#followed[groupPartition(groupId, count)]?.log;
  }

  check(): void {
    this.#findPartitions();
    let hasGrown = false;
    for (const followed of this.#followed) if (this.#follow(followed)) hasGrown = true;
    for (const node of this.#options.nodes) {
      const { process, runs } = node;
      const activity = process === undefined ? -1 : runs + process.entries / 2 ** 32;
      if (!hasGrown && this.#activity.get(node.nodeId) === activity) continue;
      this.#activity.set(node.nodeId, activity);
      for (const [partition, owned] of node.owned()) {
        const { table } = owned;
        if (table !== undefined) this.#checkTable(node, partition, owned, table);
      }
    }
  }

  #findPartitions(): void {
    const { metadata, simulation } = this.#options;
    if (metadata.version === this.#metadataVersion) return;
    this.#metadataVersion = metadata.version;
    for (const [name] of metadata.partitions()) {
      const dash = name.lastIndexOf("-");
      const partition = Number(name.slice(dash + 1));
      if (this.#followed[partition] !== undefined) continue;
      if (metadata.topicName(name.slice(0, dash)) !== GROUPS_TOPIC) continue;
      this.#followed[partition] = { name, log: new GroupLog(partition, simulation), batches: 0 };
    }
  }

  /** Whether more was committed. */
  #follow(followed: Followed): boolean {
    const { disks } = this.#options;
    const { batches } = disks.committed(followed.name);
    const before = followed.batches;
    for (let batch = batches[before]; batch !== undefined; batch = batches[followed.batches]) {
      const bytes = disks.bytesOf(followed.name, batch);
      if (bytes === undefined) break;
      followed.log.append(bytes);
      followed.batches += 1;
    }
    return followed.batches > before;
  }

  #checkTable(node: SimulatedNode, partition: number, owned: OwnedPartition, table: GroupTable): void {
    const followed = this.#followed[partition];
    const log = followed?.log;
    if (log === undefined || followed === undefined) return;
    // What was committed and could not be read yet would be missed here.
    if (followed.batches < this.#options.disks.committed(followed.name).batches.length) return;
    const { tableEpoch } = owned;
    const who = `${node.name}, run ${node.runs}`;
    const key = `${partition}/${tableEpoch}`;
    const server = this.#servers.get(key);
    if (server !== undefined && server !== who) {
      broken("R13", `${server} and ${who} serve groups ${partition} in owner epoch ${tableEpoch}`);
    }
    if (tableEpoch > log.ownerEpoch) {
      broken("R13", `${who} serves groups ${partition} in owner epoch ${tableEpoch}, which is not committed`);
    }
    if (server === undefined) {
      this.#servers.set(key, who);
      if (tableEpoch === log.ownerEpoch) this.#checkLoaded(who, log, table);
    }
    const nextFence = log.fences.find(({ ownerEpoch }) => ownerEpoch > tableEpoch)?.logOffset;
    if (nextFence !== undefined && owned.newestOffset > nextFence) {
      broken(
        "R13",
        `${who}, fenced at ${nextFence} of groups ${partition}, has stored something at ${owned.newestOffset}`,
      );
    }
    this.#checkOffsets(who, log, table, nextFence);
    if (nextFence === undefined && owned.isSettled) this.#checkSettled(who, log, table);
  }

  /**
   * The one who writes has no other members than the log while nothing is on its way there (R13): what it
   * could not store, or does not know to be stored, it must not go on with. Members of classic groups join in
   * memory.
   */
  #checkSettled(who: string, log: GroupLog, table: GroupTable): void {
    this.#options.simulation.checked("R13 settled");
    for (const [groupId, logged] of log.groups) {
      const known = table.find(groupId)?.membership.describe();
      const why = known?.type === "consumer" ? differs(logged, known) : undefined;
      if (why !== undefined) broken("R13", `${who} serves ${groupId}, nothing is on its way, and it ${why}`);
    }
  }

  /** A new owner knows all that is in the log, and nothing else. */
  #checkLoaded(who: string, log: GroupLog, table: GroupTable): void {
    this.#options.simulation.checked("R13 loaded");
    for (const [groupId, logged] of log.groups) {
      const why = differs(logged, table.find(groupId)?.membership.describe());
      if (why !== undefined) broken("R13", `${who} has loaded ${groupId} and ${why}`);
    }
  }

  /** The only one who writes knows all that is written (R13): its memory is never behind the log. */
  #checkAhead(who: string, log: GroupLog, table: GroupTable): void {
    for (const [groupId, logged] of log.groups) {
      const known = table.find(groupId)?.membership.describe();
      const why = known && isBehind(logged, known);
      if (why !== undefined) broken("R13", `${who} serves ${groupId} and ${why}`);
    }
  }

  /**
   * Readers get what is committed (R13): the newest, apart from commits whose answers are under way. Who was
   * fenced and does not know it yet may be behind, and acknowledges nothing any more.
   */
  #checkOffsets(who: string, log: GroupLog, table: GroupTable, nextFence: number | undefined): void {
    this.#options.simulation.checked("R13 offsets");
    for (const { groupId, offsets } of table.groups()) {
      for (const { topic, partition, committed } of offsets.committed()) {
        const commits = log.commitsOf(groupId, `${topic}/${partition}`);
        const found = commits.some(
          ({ offset, metadata, logOffset }) =>
            offset === committed.offset &&
            metadata === committed.metadata &&
            (nextFence === undefined || logOffset < nextFence),
        );
        if (found) continue;
        broken("R13", `${who} shows ${groupId} ${topic}/${partition} at ${committed.offset}, not committed`);
      }
    }
    if (nextFence !== undefined) return;
    this.#checkAhead(who, log, table);
    for (const [groupId, { commits }] of log.groups) {
      const offsets = table.find(groupId)?.offsets;
      for (const [place, logged] of commits) {
        const slash = place.lastIndexOf("/");
        const topic = place.slice(0, slash);
        const partition = Number(place.slice(slash + 1));
        const shown = offsets?.get(topic, partition)?.offset;
        const underWay = offsets?.underWay(topic, partition) ?? 0;
        const index = logged.findLastIndex(({ offset }) => offset === shown);
        if (logged.length - 1 - index <= underWay) continue;
        broken(
          "R13",
          `${who} shows ${groupId} ${place} at ${shown ?? "nothing"}, committed is ${logged.at(-1)?.offset}`,
        );
      }
    }
  }
}

interface Described {
  readonly type: string;
  readonly generation: number;
  readonly members: readonly { readonly memberId: string; readonly epoch?: number }[];
}

function differs(logged: LoggedGroup, table: Described | undefined): string | undefined {
  const { classic, groupEpoch, members } = logged;
  const generation = classic?.generation ?? groupEpoch;
  const ids = classic === null ? [...members.keys()] : classic.members.map(({ memberId }) => memberId);
  if (generation === 0 && ids.length === 0) return undefined;
  if (table === undefined) return "does not have it";
  if (table.generation !== generation) return `is in ${table.generation}, the log in ${generation}`;
  const found = table.members.map(({ memberId }) => memberId);
  if (found.toSorted().join() !== ids.toSorted().join()) {
    return `has the members ${found.join()}, the log ${ids.join()}`;
  }
  for (const { memberId, epoch } of table.type === "consumer" ? table.members : []) {
    const inLog = members.get(memberId)?.memberEpoch;
    if (epoch !== inLog) return `has ${memberId} in epoch ${epoch}, the log in ${inLog}`;
  }
  return undefined;
}

function isBehind({ classic, groupEpoch, members }: LoggedGroup, table: Described): string | undefined {
  const generation = table.type === "classic" ? (classic?.generation ?? 0) : groupEpoch;
  if (table.generation > generation) return undefined;
  if (table.generation < generation) return `is in ${table.generation}, the log in ${generation}`;
  if (table.type === "classic") return undefined;
  const known = new Map(table.members.map(({ memberId, epoch = 0 }) => [memberId, epoch] as const));
  for (const [memberId, { memberEpoch }] of members) {
    const epoch = known.get(memberId);
    if (epoch === undefined) return `does not know ${memberId}, which the log has`;
    if (epoch >= 0 && epoch < memberEpoch) return `has ${memberId} in ${epoch}, the log in ${memberEpoch}`;
  }
  return undefined;
}
