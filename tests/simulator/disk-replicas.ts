import type { StorageMachine } from "./cluster.ts";
import type { History } from "./history.ts";
import { type BatchPlace, isSameBatch, LogMirror, type StoredBatch } from "./log-mirror.ts";
import type { MetadataRules } from "./metadata-rules.ts";

/** All that any leader has ever shown below its high watermark: it grows, and it never changes. */
export interface CommittedLog {
  readonly batches: StoredBatch[];
  endOffset: number;
}

/** One replica of a partition on one disk, as the disk has it. */
interface DiskReplica {
  readonly directory: string;
  readonly visible: LogMirror;
  readonly durable: LogMirror;
  /** As its checkpoint has it (R14), which is that file. */
  logStart: number;
  checkpoint: object | undefined;
  /** Up to there what is durable was compared with what is committed. */
  comparedTo: number;
  /** Why it may lack records: until it is no member any more, or has them again. */
  excuse: "lost" | "emptied" | "damaged" | undefined;
  /** A wrong epoch is outside the CRC: whether it is there still can be told when that much is committed. */
  damagedBelow: number;
  /** When its damage was mended while it was a member: its leader may have asked to take it out. */
  mendedAtMs: number;
  /** The directory that was lost: until the coordinator knows another one, the node may still be taken in. */
  lostDirectory: string | undefined;
  /** The registration under which the partition's files were lost; the same. */
  emptiedNodeEpoch: number;
}

export interface OffsetRange {
  readonly fromOffset: number;
  readonly toOffset: number;
}

export interface DiskReplicasOptions {
  readonly metadata: MetadataRules;
  readonly history: History;
  readonly machines: readonly StorageMachine[];
  readonly now: () => number;
}

/** A change of the ISR that a leader has asked for is made by then, or never. */
const LATEST_CHANGE_MS = 10_000;

/** What lies on all disks, and what should. Partitions go by topicId-partition. */
export class DiskReplicas {
  readonly #options: DiskReplicasOptions;
  readonly #committed = new Map<string, CommittedLog>();
  /** By node, then by name. */
  readonly #disks: Map<string, DiskReplica>[] = [];
  /** By node: which of its directories was lost last. */
  readonly #lostDirectories = new Map<number, string>();
  /** While an operator gives up copies of his own accord. */
  mustStayWhole = false;

  constructor(options: DiskReplicasOptions) {
    this.#options = options;
  }

  committed(name: string): CommittedLog {
    let committed = this.#committed.get(name);
    if (committed === undefined) {
      committed = { batches: [], endOffset: 0 };
      this.#committed.set(name, committed);
    }
    return committed;
  }

  /** A committed batch, from whichever disk has it. */
  bytesOf(name: string, batch: StoredBatch): Uint8Array | undefined {
    for (const { node, disk } of this.#options.machines) {
      const visible = this.#visible(node.nodeId, name);
      const place = isSameBatch(batch, visible.at(batch.baseOffset)) && visible.placeOf(batch.baseOffset);
      if (!place) continue;
      const [file] = disk.inspect(directoryOf(name), "visible", place.file);
      const bytes = file?.bytes();
      if (bytes !== undefined) return bytes.slice(place.position, place.position + place.sizeBytes);
    }
    return undefined;
  }

  /** What a leader adds to what is committed; undefined where its disk has nothing at that offset. */
  firstOffset(nodeId: number, name: string): number {
    return this.#visible(nodeId, name).startOffset ?? 0;
  }

  /** `inSync` is what the leader takes for the ISR. */
  batchAt(nodeId: number, name: string, offset: number, inSync: readonly number[]): StoredBatch | undefined {
    const own = this.#visible(nodeId, name).at(offset);
    if (this.#disk(nodeId, name).excuse !== "damaged") return own;
    // A leader that does not know yet of a wrong bit: the others have what it stands for.
    return this.#anyBatchAt(name, offset, inSync) ?? own;
  }

  /** Of two replicas, from one offset to another: why the follower's disk is not as the leader's. */
  disagreement(leader: number, follower: number, name: string, range: OffsetRange): string | undefined {
    const ahead = this.#visible(leader, name);
    const { durable } = this.#refreshed(follower, name);
    // Below either's log start there is nothing to compare.
    const begins = Math.max(this.logStart(leader, name), this.logStart(follower, name));
    for (let offset = Math.max(range.fromOffset, begins); offset < range.toOffset; ) {
      const batch = ahead.at(offset);
      const stored = durable.at(offset);
      if (!isSame(batch, stored)) return `has ${show(stored)}, where the leader has ${show(batch)}`;
      offset = (batch?.lastOffset ?? offset) + 1;
    }
    return undefined;
  }

  /** A batch at the offset or behind it whose producer waits for the leader alone. */
  weakBatch(nodeId: number, name: string, fromOffset: number): string | undefined {
    const visible = this.#visible(nodeId, name);
    for (let batch = visible.at(fromOffset); batch !== undefined; batch = visible.at(batch.lastOffset + 1)) {
      if (!batch.isIdempotent) return show(batch);
    }
    return undefined;
  }

  isInternal(name: string): boolean {
    return this.#topicOf(name)[0].startsWith("__");
  }

  /** Its whole disk is gone. */
  lostDisk(nodeId: number): void {
    const { metadata } = this.#options;
    const directory = metadata.knownDirectoryOf(nodeId);
    if (directory !== undefined) this.#lostDirectories.set(nodeId, directory);
    for (const [name] of metadata.partitions()) {
      const disk = this.#disk(nodeId, name);
      disk.excuse = "lost";
      disk.lostDirectory = directory;
    }
  }

  /** The batches of a replica whose damage at rest can be told from what a crash leaves. */
  batchesAtRest(nodeId: number, name: string): BatchPlace[] {
    const { durable } = this.#refreshed(nodeId, name);
    const disk = this.#options.machines[nodeId]?.disk;
    const [checkpoint] = disk?.inspect(directoryOf(name), "durable", CHECKPOINT) ?? [];
    const recoveryPoint = checkpoint === undefined ? 0 : offsetIn(checkpoint.bytes(), RECOVERY_POINT);
    // A file may have been deleted, without that being durable yet.
    const visible = this.#visible(nodeId, name);
    return [...durable.placesBefore(recoveryPoint)].filter(({ file }) => visible.hasFile(file));
  }

  /** The partition's files are about to go, and nothing else. */
  emptied(nodeId: number, name: string): void {
    const disk = this.#refreshed(nodeId, name);
    disk.excuse = "emptied";
    disk.emptiedNodeEpoch = this.#options.metadata.newestNodeEpochOf(nodeId);
  }

  /** A bit of the replica is wrong. */
  damaged(nodeId: number, name: string): void {
    const disk = this.#refreshed(nodeId, name);
    disk.excuse = "damaged";
    disk.damagedBelow = disk.durable.endOffset ?? 0;
  }

  isExcused(nodeId: number, name: string): boolean {
    return this.#disk(nodeId, name).excuse !== undefined;
  }

  isAnyExcused(): boolean {
    return this.#disks.some((disks) => disks.values().some(({ excuse }) => excuse !== undefined));
  }

  /**
   * Whether all that is committed is elsewhere too, on disks that are whole: no rule
   * could bring back the last copy.
   */
  mayLose(nodeId: number, only?: string): boolean {
    if (this.mustStayWhole) return false;
    for (const [name, state] of this.#options.metadata.partitions()) {
      if (only !== undefined && name !== only) continue;
      const { eligibleReplicas, isr, minInsyncReplicas, replicas } = state;
      if (replicas.some((replica) => this.isExcused(replica, name) || this.#isLossUnknown(replica)))
        return false;
      if (!replicas.includes(nodeId)) continue;
      const members = [...isr, ...eligibleReplicas].filter((member) => member !== nodeId);
      const others = members.filter((member) => !this.#mayBeTakenOut(member, name));
      if (minInsyncReplicas < 2 || others.length === 0) return false;
    }
    return true;
  }

  /** Damage that is mended at once costs a replica its membership, when the coordinator hears of it. */
  #mayBeTakenOut(nodeId: number, name: string): boolean {
    return this.#options.now() < this.#disk(nodeId, name).mendedAtMs + LATEST_CHANGE_MS;
  }

  /** Its disk is lost, and the coordinator has not dealt with that: it counts on it in new partitions. */
  #isLossUnknown(nodeId: number): boolean {
    const lost = this.#lostDirectories.get(nodeId);
    return lost !== undefined && this.#options.metadata.knownDirectoryOf(nodeId) === lost;
  }

  /** Who is in sync and eligible has changed, or more was committed: whose excuse is over? */
  reviewExcuse(nodeId: number, name: string, isMember: boolean): void {
    const disk = this.#disk(nodeId, name);
    if (!isMember) disk.mendedAtMs = Number.NEGATIVE_INFINITY;
    if (disk.excuse === undefined) return;
    if (disk.excuse === "lost") {
      const isKnown = this.#options.metadata.knownDirectoryOf(nodeId) !== disk.lostDirectory;
      if (isKnown && !isMember) disk.excuse = undefined;
    } else if (disk.excuse === "emptied") {
      const isKnown = this.#options.metadata.lastNodeEpochOf(nodeId) > disk.emptiedNodeEpoch;
      if (isKnown && !isMember) disk.excuse = undefined;
    } else if (this.committed(name).endOffset < disk.damagedBelow) {
      return;
    } else if (this.#isClean(nodeId, name) && (!isMember || this.lacks(nodeId, name) === undefined)) {
      disk.excuse = undefined;
      if (isMember) disk.mendedAtMs = this.#options.now();
    }
  }

  /** Why the disk does not hold all that is committed; undefined when it does. */
  lacks(nodeId: number, name: string, endOffset = this.committed(name).endOffset): string | undefined {
    const disk = this.#refreshed(nodeId, name);
    const { batches } = this.committed(name);
    if (disk.comparedTo >= endOffset) return undefined;
    const deletedBefore = this.#deletedBefore(name);
    // A power cut may bring back some of the files that were deleted, and leave holes between them.
    const start = Math.max(disk.durable.startOffset ?? deletedBefore, this.logStart(nodeId, name));
    if (start > Math.max(deletedBefore, batches[0]?.baseOffset ?? 0)) {
      return `begins at ${start}; deleted is what is below ${deletedBefore}`;
    }
    for (let index = indexAt(batches, Math.max(disk.comparedTo, start)); ; index += 1) {
      const batch = batches[index];
      if (batch === undefined || batch.baseOffset >= endOffset) break;
      if (batch.lastOffset < deletedBefore && batch.lastOffset < start) continue;
      const stored = disk.durable.at(batch.baseOffset);
      if (!isSameBatch(batch, stored)) return `has ${show(stored)}, committed is ${show(batch)}`;
    }
    disk.comparedTo = endOffset;
    return undefined;
  }

  /** R14: where the log begins, whatever is still stored below that. */
  logStart(nodeId: number, name: string): number {
    const disk = this.#disk(nodeId, name);
    const [file] = this.#options.machines[nodeId]?.disk.inspect(disk.directory, "durable", CHECKPOINT) ?? [];
    if (file === undefined) disk.logStart = 0;
    else if (file.identity !== disk.checkpoint || file.changedFrom < Number.POSITIVE_INFINITY) {
      disk.checkpoint = file.identity;
      disk.logStart = offsetIn(file.bytes(), LOG_START);
    }
    return disk.logStart;
  }

  /** Whether what it has, however little, is right. */
  #isClean(nodeId: number, name: string): boolean {
    const { durable } = this.#refreshed(nodeId, name);
    const files = this.#options.machines[nodeId]?.disk.inspect(directoryOf(name), "durable", ".log") ?? [];
    const sizeBytes = files.reduce((sum, file) => sum + file.bytes().length, 0);
    if (sizeBytes !== durable.sizeBytes || !durable.isWhole) return false;
    const end = Math.min(durable.endOffset ?? 0, this.committed(name).endOffset);
    return this.lacks(nodeId, name, end) === undefined;
  }

  /**
   * A leader that lags behind the metadata waits for all whom it takes to be in sync (R4): the ISR may
   * have shrunk to itself meanwhile.
   */
  #anyBatchAt(name: string, offset: number, inSync: readonly number[]): StoredBatch | undefined {
    const { machines, metadata } = this.#options;
    const { eligibleReplicas = [], isr = [] } = metadata.partition(name) ?? {};
    const members = [...isr, ...eligibleReplicas, ...inSync];
    for (const { node } of machines) {
      if (!members.includes(node.nodeId) || this.isExcused(node.nodeId, name)) continue;
      const batch = this.#refreshed(node.nodeId, name).durable.at(offset);
      if (batch !== undefined) return batch;
    }
    return undefined;
  }

  #deletedBefore(name: string): number {
    return this.#options.history.deletedBefore(...this.#topicOf(name));
  }

  /** Up to where somebody was told that records are deleted. */
  deletedTo(name: string): number {
    return this.#options.history.deletedTo(...this.#topicOf(name));
  }

  #topicOf(name: string): [topic: string, partition: number] {
    const dash = name.lastIndexOf("-");
    return [this.#options.metadata.topicName(name.slice(0, dash)), Number(name.slice(dash + 1))];
  }

  /** What programs see of it. */
  #visible(nodeId: number, name: string): LogMirror {
    const { visible, directory } = this.#disk(nodeId, name);
    const machine = this.#options.machines[nodeId];
    if (machine !== undefined) visible.refresh(machine.disk.inspect(directory, "visible", ".log"));
    return visible;
  }

  /** What a power cut leaves of it, as it is now. */
  #refreshed(nodeId: number, name: string): DiskReplica {
    const disk = this.#disk(nodeId, name);
    const machine = this.#options.machines[nodeId];
    if (machine === undefined) return disk;
    const changedFrom = disk.durable.refresh(machine.disk.inspect(disk.directory, "durable", ".log"));
    disk.comparedTo = Math.min(disk.comparedTo, changedFrom);
    return disk;
  }

  #disk(nodeId: number, name: string): DiskReplica {
    let disks = this.#disks[nodeId];
    if (disks === undefined) {
      disks = new Map();
      this.#disks[nodeId] = disks;
    }
    let disk = disks.get(name);
    if (disk === undefined) {
      disk = {
        directory: directoryOf(name),
        visible: new LogMirror(),
        durable: new LogMirror(),
        logStart: 0,
        checkpoint: undefined,
        comparedTo: 0,
        excuse: undefined,
        damagedBelow: 0,
        mendedAtMs: Number.NEGATIVE_INFINITY,
        lostDirectory: undefined,
        emptiedNodeEpoch: -1,
      };
      disks.set(name, disk);
    }
    return disk;
  }
}

export function directoryOf(name: string): string {
  return `/data/topics/${name}`;
}

const CHECKPOINT = "log-checkpoint";
const RECOVERY_POINT = /recovery-point: (\d+)/;
const LOG_START = /log-start-offset: (\d+)/;

function offsetIn(checkpoint: Uint8Array, field: RegExp): number {
  return Number(field.exec(Buffer.from(checkpoint).toString())?.[1] ?? 0);
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

function isSame(one: StoredBatch | undefined, other: StoredBatch | undefined): boolean {
  return one === undefined ? other === undefined : isSameBatch(one, other);
}

function show(batch: StoredBatch | undefined): string {
  if (batch === undefined) return "nothing there";
  const { baseOffset, crc, epoch, lastOffset } = batch;
  return `${baseOffset}..${lastOffset} of epoch ${epoch} (crc ${crc.toString(16)})`;
}
