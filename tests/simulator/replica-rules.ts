import type { PartitionState } from "@ottla/metadata";
import type { PartitionReplica } from "@ottla/partition-storage";
import type { StorageMachine } from "./cluster.ts";
import type { History } from "./history.ts";
import { isSameBatch, LogMirror, type StoredBatch } from "./log-mirror.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import { broken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

/** All that any leader has ever shown below its high watermark: it grows, and it never changes. */
interface CommittedLog {
  readonly batches: StoredBatch[];
  endOffset: number;
}

/** One replica of a partition on one disk, as the disk has it. */
interface DiskReplica {
  readonly visible: LogMirror;
  readonly durable: LogMirror;
  /** Up to there it was compared with what is committed. */
  visibleTo: number;
  durableTo: number;
  /** Its records may be lost, because its disk was: until it is no member any more, or has them again. */
  isExcused: boolean;
}

interface TermSeen {
  readonly leader: string;
  highWatermark: number;
}

export interface ReplicaRulesOptions {
  readonly simulation: Simulation;
  readonly metadata: MetadataRules;
  readonly history: History;
  readonly machines: readonly StorageMachine[];
}

/** How often the disks of all members are looked at, whatever happened, in virtual time. */
const FULL_CHECK_MS = 50;

/**
 * The rules about replicas, checked after every event: what is in memory of the nodes,
 * and what is on their disks.
 */
export class ReplicaRules {
  readonly #options: ReplicaRulesOptions;
  readonly #committed = new Map<string, CommittedLog>();
  readonly #disks = new Map<string, DiskReplica>();
  readonly #terms = new Map<string, TermSeen>();
  /** The latest offset that was told, by partition, with its epoch. */
  readonly #latest = new Map<string, { epoch: number; offset: number }>();
  readonly #activity = new Map<number, number>();
  #metadataVersion = -1;
  #fullCheckMs = 0;

  constructor(options: ReplicaRulesOptions) {
    this.#options = options;
  }

  /**
   * Of everything that nodes hold in memory, and of the disks where something was
   * committed or changed its members.
   */
  check(): void {
    const { machines, metadata, simulation } = this.#options;
    const grown = new Set<string>();
    for (const { node } of machines) {
      const { process, runs } = node;
      // Nothing reached it, so nothing has changed in it.
      const activity = process === undefined ? -1 : runs + process.entries / 2 ** 32;
      if (this.#activity.get(node.nodeId) === activity) continue;
      this.#activity.set(node.nodeId, activity);
      for (const replica of node.replicas()) {
        if (this.#checkReplica(node.nodeId, node.runs, replica)) grown.add(nameOf(replica));
      }
    }
    const isDue = metadata.version !== this.#metadataVersion || simulation.nowMs >= this.#fullCheckMs;
    if (!isDue && grown.size === 0) return;
    if (isDue) {
      this.#metadataVersion = metadata.version;
      this.#fullCheckMs = simulation.nowMs + FULL_CHECK_MS;
    }
    for (const [name, state] of metadata.partitions()) {
      if (isDue || grown.has(name)) this.#checkMembers(name, state);
    }
  }

  /** Its disk was lost, or damaged at rest. */
  excuse(nodeId: number): void {
    for (const [name] of this.#options.metadata.partitions()) this.#disk(nodeId, name).isExcused = true;
  }

  /** Whether any member lacks what a fault of its disk has taken: then no other disk may fail. */
  isAnyExcused(): boolean {
    for (const [name, { eligibleReplicas, isr }] of this.#options.metadata.partitions()) {
      for (const nodeId of [...isr, ...eligibleReplicas]) if (this.#disk(nodeId, name).isExcused) return true;
    }
    return false;
  }

  /** At the end: the same records below the high watermark on every replica. */
  checkIdentical(): void {
    for (const [name, { replicas }] of this.#options.metadata.partitions()) {
      const committed = this.#committedOf(name);
      for (const nodeId of replicas) {
        const disk = this.#disk(nodeId, name);
        if (!disk.isExcused)
          this.#holds(nodeId, name, disk, "durable", committed.endOffset, "replicas alike");
      }
    }
  }

  /** Whether the replica's high watermark has committed more. */
  #checkReplica(nodeId: number, run: number, replica: PartitionReplica): boolean {
    const state = replica.open?.state;
    if (state === undefined) return false;
    const name = nameOf(replica);
    const committed = this.#committedOf(name);
    const before = committed.endOffset;
    const { role } = state;
    if (role.kind === "leader") {
      this.#checkLeader(nodeId, run, name, role.leader);
    } else if (replica.leader !== undefined) {
      broken("R15", `node ${nodeId} serves ${name} as leader and is ${role.kind}`);
    }
    if (state.highWatermark > committed.endOffset) {
      broken(
        "R5",
        `node ${nodeId} shows ${name} up to ${state.highWatermark}, committed is ${committed.endOffset}`,
      );
    }
    return committed.endOffset > before;
  }

  #checkLeader(nodeId: number, run: number, name: string, leader: LeaderSeen): void {
    const { simulation } = this.#options;
    const { highWatermark, leaderEpoch } = leader;
    const term = `${name}/${leaderEpoch}`;
    const who = `node ${nodeId}, run ${run}`;
    const seen = this.#terms.get(term) ?? { leader: who, highWatermark: 0 };
    this.#terms.set(term, seen);
    if (seen.leader !== who) broken("R2", `${term} is led by ${seen.leader} and by ${who}`);
    if (highWatermark < seen.highWatermark) {
      broken("R4", `the high watermark of ${term} went from ${seen.highWatermark} to ${highWatermark}`);
    }
    this.#checkLatest(name, leader);
    if (highWatermark === seen.highWatermark) return;
    seen.highWatermark = highWatermark;
    simulation.checked("R4");
    const { isr, minInsyncReplicas } = leader.term;
    const committed = this.#committedOf(name);
    if (highWatermark <= committed.endOffset) return;
    if (isr.length < minInsyncReplicas) {
      broken(
        "R4",
        `${term} advances to ${highWatermark} with ISR ${isr.join()}, min.insync.replicas ${minInsyncReplicas}`,
      );
    }
    this.#commit(nodeId, name, committed, highWatermark);
  }

  /** R5: "latest" never goes back, over all terms. */
  #checkLatest(name: string, leader: LeaderSeen): void {
    const offset = leader.latestOffset();
    if (offset === undefined) return;
    const told = this.#latest.get(name);
    if (told !== undefined && told.epoch < leader.leaderEpoch && told.offset > offset) {
      broken(
        "R5",
        `"latest" of ${name} was ${told.offset} in epoch ${told.epoch}, is ${offset} in ${leader.leaderEpoch}`,
      );
    }
    if (told === undefined || told.epoch <= leader.leaderEpoch) {
      this.#latest.set(name, { epoch: leader.leaderEpoch, offset });
    }
  }

  #commit(nodeId: number, name: string, committed: CommittedLog, highWatermark: number): void {
    const { visible } = this.#refreshed(nodeId, name);
    let offset = committed.endOffset;
    if (committed.batches.length === 0) offset = visible.startOffset ?? 0;
    while (offset < highWatermark) {
      const batch = visible.at(offset);
      if (batch === undefined || batch.baseOffset !== offset) {
        broken("R4", `node ${nodeId} has no batch at ${offset} of ${name}, below its high watermark`);
      }
      committed.batches.push(batch);
      offset = batch.lastOffset + 1;
    }
    committed.endOffset = offset;
    this.#options.simulation.say("committed", () => `${name} up to ${offset} by node ${nodeId}`);
  }

  /** R4, R8: who is in sync or eligible has on disk all that was committed. */
  #checkMembers(name: string, state: PartitionState): void {
    const { machines } = this.#options;
    const committed = this.#committedOf(name);
    for (const { node } of machines) {
      const { nodeId } = node;
      const disk = this.#disk(nodeId, name);
      if (!state.isr.includes(nodeId) && !state.eligibleReplicas.includes(nodeId)) {
        disk.isExcused = false;
        continue;
      }
      if (!disk.isExcused) this.#holds(nodeId, name, disk, "durable", committed.endOffset, "R4");
      else if (this.#lacks(nodeId, name, disk, "durable", committed.endOffset) === undefined)
        disk.isExcused = false;
    }
  }

  #holds(
    nodeId: number,
    name: string,
    disk: DiskReplica,
    side: "visible" | "durable",
    endOffset: number,
    rule: string,
  ): void {
    this.#options.simulation.checked(`${rule} on disk`);
    const why = this.#lacks(nodeId, name, disk, side, endOffset);
    if (why !== undefined) broken(rule, `node ${nodeId} is a member of ${name} and ${why}`);
  }

  /** Why the disk does not hold what is committed up to there; undefined when it does. */
  #lacks(
    nodeId: number,
    name: string,
    disk: DiskReplica,
    side: "visible" | "durable",
    endOffset: number,
  ): string | undefined {
    this.#refresh(nodeId, name, disk);
    const mirror = disk[side];
    const committed = this.#committedOf(name);
    const verified = side === "visible" ? disk.visibleTo : disk.durableTo;
    if (verified >= endOffset) return undefined;
    const deletedBefore = this.#deletedBefore(name);
    const start = mirror.startOffset ?? mirror.endOffset ?? 0;
    if (start > Math.max(deletedBefore, committed.batches[0]?.baseOffset ?? 0)) {
      return `begins at ${start}; deleted is what is below ${deletedBefore}`;
    }
    for (
      let index = indexAt(committed.batches, Math.max(verified, start));
      index < committed.batches.length;
      index += 1
    ) {
      const batch = committed.batches[index];
      if (batch === undefined || batch.baseOffset >= endOffset) break;
      if (batch.lastOffset < deletedBefore && batch.lastOffset < start) continue;
      const stored = mirror.at(batch.baseOffset);
      if (!isSameBatch(batch, stored)) return `has ${show(stored)}, committed is ${show(batch)} (${side})`;
    }
    if (side === "visible") disk.visibleTo = endOffset;
    else disk.durableTo = endOffset;
    return undefined;
  }

  #deletedBefore(name: string): number {
    const { history, metadata } = this.#options;
    const dash = name.lastIndexOf("-");
    return history.deletedBefore(metadata.topicName(name.slice(0, dash)), Number(name.slice(dash + 1)));
  }

  #refreshed(nodeId: number, name: string): DiskReplica {
    const disk = this.#disk(nodeId, name);
    this.#refresh(nodeId, name, disk);
    return disk;
  }

  #refresh(nodeId: number, name: string, disk: DiskReplica): void {
    const machine = this.#options.machines[nodeId];
    if (machine === undefined) return;
    const directory = `/data/topics/${name}`;
    const visibleFrom = disk.visible.refresh(machine.disk.inspect(directory, "visible"));
    const durableFrom = disk.durable.refresh(machine.disk.inspect(directory, "durable"));
    disk.visibleTo = Math.min(disk.visibleTo, visibleFrom);
    disk.durableTo = Math.min(disk.durableTo, durableFrom);
  }

  #disk(nodeId: number, name: string): DiskReplica {
    const key = `${nodeId}/${name}`;
    let disk = this.#disks.get(key);
    if (disk === undefined) {
      const mirrors = { visible: new LogMirror(), durable: new LogMirror() };
      disk = { ...mirrors, visibleTo: 0, durableTo: 0, isExcused: false };
      this.#disks.set(key, disk);
    }
    return disk;
  }

  #committedOf(name: string): CommittedLog {
    let committed = this.#committed.get(name);
    if (committed === undefined) {
      committed = { batches: [], endOffset: 0 };
      this.#committed.set(name, committed);
    }
    return committed;
  }
}

/** What the rules look at in a leader's state. */
interface LeaderSeen {
  readonly leaderEpoch: number;
  readonly highWatermark: number;
  readonly term: { readonly isr: readonly number[]; readonly minInsyncReplicas: number };
  latestOffset(): number | undefined;
}

function nameOf({ topicId, partition }: PartitionReplica): string {
  return `${topicId}-${partition}`;
}

/** The first batch that ends at the offset or beyond. */
function indexAt(batches: readonly StoredBatch[], offset: number): number {
  let low = 0;
  let high = batches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((batches[middle]?.lastOffset ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function show(batch: StoredBatch | undefined): string {
  if (batch === undefined) return "nothing there";
  const { baseOffset, crc, epoch, lastOffset } = batch;
  return `${baseOffset}..${lastOffset} of epoch ${epoch} (crc ${crc.toString(16)})`;
}
