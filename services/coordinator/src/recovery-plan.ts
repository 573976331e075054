import type { ClusterPartition, PartitionState } from "@ottla/metadata";
import { replicaCount } from "./reassignment-rules.ts";

/**
 * Epochs go this far beyond the highest that a storage node reports: one that was left out may have seen
 * later ones, which must not come again (R2).
 */
const EPOCH_MARGIN = 1_000;

const NO_NODE = -1;

/** What a storage node that waits for the recovery has of a partition. Nothing is appended to it. */
export interface ReportedLog {
  readonly topicId: string;
  readonly partition: number;
  /** The leader epoch of the last record, -1 without records. */
  readonly lastEpoch: number;
  readonly logEndOffset: number;
  readonly highestLeaderEpoch: number;
  readonly highestPartitionEpoch: number;
  readonly ownerEpoch: number;
  readonly highestProducerId: number;
  readonly damaged: boolean;
  /** Why it cannot be opened. */
  readonly problem: string | undefined;
}

export interface NodeReport {
  readonly nodeId: number;
  readonly directoryId: string;
  readonly nodeEpoch: number;
  readonly generation: number;
  readonly revision: number;
  readonly logs: readonly ReportedLog[];
}

interface Holder {
  readonly nodeId: number;
  readonly log: ReportedLog;
}

export interface PlannedPartition {
  readonly before: ClusterPartition;
  readonly after: PartitionState;
  /** What an operator has to know. */
  readonly note: string | undefined;
}

export interface UnknownPartition {
  readonly topicId: string;
  readonly partition: number;
  readonly nodeIds: readonly number[];
  readonly logEndOffset: number;
}

export interface PartitionPlan {
  readonly partitions: readonly PlannedPartition[];
  readonly unknown: readonly UnknownPartition[];
}

/**
 * What becomes of each partition after a backup of the metadata was restored. Its leader and ISR are of the
 * past; what counts is what lies on the disks. Of the logs the one with the highest (epoch of the last
 * record, end offset) has all that was acknowledged: a member of the ISR has it, and a log that goes beyond
 * that one's in this order continues it, or comes from a later leader. Those that are the same are the ISR.
 */
export function planPartitions(
  partitions: Iterable<ClusterPartition>,
  reports: readonly NodeReport[],
  withoutNodes: readonly number[],
): PartitionPlan {
  const holders = holdersByPartition(reports);
  const planned: PlannedPartition[] = [];
  for (const before of partitions) {
    const key = keyOf(before);
    planned.push(planPartition(before, holders.get(key) ?? [], withoutNodes));
    holders.delete(key);
  }
  return { partitions: planned, unknown: [...holders.values()].map(toUnknown) };
}

function holdersByPartition(reports: readonly NodeReport[]): Map<string, Holder[]> {
  const holders = new Map<string, Holder[]>();
  for (const { nodeId, logs } of reports) {
    for (const log of logs) {
      const key = keyOf(log);
      const ofPartition = holders.get(key) ?? [];
      ofPartition.push({ nodeId, log });
      holders.set(key, ofPartition);
    }
  }
  return holders;
}

function planPartition(
  before: ClusterPartition,
  holders: readonly Holder[],
  withoutNodes: readonly number[],
): PlannedPartition {
  const isAlone = before.replicas.length === 1;
  const opened = holders.filter(({ log }) => log.problem === undefined);
  // With one replica nobody else can have what is lost: its other records are still of use (R12).
  const sound = opened.filter(({ log }) => !log.damaged || isAlone);
  const most = sound.reduce<Holder | undefined>(
    (best, each) => (isMore(each, best) ? each : best),
    undefined,
  );
  const best = sound.filter((each) => most !== undefined && !isMore(most, each)).map(({ nodeId }) => nodeId);
  const replicas = chooseReplicas(before, best, holders);
  const absent = before.replicas.filter((nodeId) => withoutNodes.includes(nodeId));
  const isr = replicas.filter((nodeId) => best.includes(nodeId));
  const ofEpoch = (epochOf: (log: ReportedLog) => number, known: number): number =>
    Math.max(known, ...opened.map(({ log }) => epochOf(log))) + EPOCH_MARGIN;
  return {
    before,
    after: {
      ...stateOf(before),
      leader: NO_NODE,
      leaderNodeEpoch: NO_NODE,
      leaderEpoch: ofEpoch((log) => Math.max(log.highestLeaderEpoch, log.lastEpoch), before.leaderEpoch),
      partitionEpoch: ofEpoch((log) => log.highestPartitionEpoch, before.partitionEpoch),
      replicas,
      addingReplicas: undefined,
      removingReplicas: undefined,
      isr: isr.length > 0 || holders.length > 0 ? isr : withoutHolders(before, absent),
      eligibleReplicas: [],
      lastKnownLeader: NO_NODE,
      awaitedNodeId: undefined,
      awaitedDirectoryId: undefined,
    },
    note: noteOf(before, holders, sound, absent),
  };
}

/** Whether `one` has more than `other`: a later epoch, or more of the same. */
function isMore(one: Holder, other: Holder | undefined): boolean {
  if (other === undefined || one.log.lastEpoch !== other.log.lastEpoch) {
    return other === undefined || one.log.lastEpoch > other.log.lastEpoch;
  }
  return one.log.logEndOffset > other.log.logEndOffset;
}

/**
 * As many as before: those that have most, then those that have something, then those that the metadata
 * names. So replicas that were moved after the backup stay where they are.
 */
function chooseReplicas(
  before: ClusterPartition,
  best: readonly number[],
  holders: readonly Holder[],
): number[] {
  const placeOf = (nodeId: number): number => {
    const place = before.replicas.indexOf(nodeId);
    return place < 0 ? before.replicas.length : place;
  };
  const inOrder = (nodeIds: readonly number[]): number[] =>
    nodeIds.toSorted((a, b) => placeOf(a) - placeOf(b) || a - b);
  const holding = holders.map(({ nodeId }) => nodeId);
  const wanted = new Set([...inOrder(best), ...inOrder(holding), ...before.replicas]);
  return inOrder([...wanted].slice(0, replicaCount(before)));
}

/** Nobody has it. Where nodes were left out they may come back with it; else it begins anew. */
function withoutHolders(before: ClusterPartition, absent: readonly number[]): readonly number[] {
  return absent.length > 0 ? absent : before.replicas;
}

function noteOf(
  before: ClusterPartition,
  holders: readonly Holder[],
  sound: readonly Holder[],
  absent: readonly number[],
): string | undefined {
  if (holders.length === 0) {
    return absent.length > 0
      ? `no storage node that was asked has it: it waits for ${nodes(absent)}`
      : "no storage node has it: it was deleted after the backup, and comes back empty";
  }
  const broken = holders.filter(({ log }) => log.problem !== undefined);
  if (sound.length === 0) {
    const [first] = broken;
    const why = first === undefined ? "they are damaged" : `${first.log.problem}`;
    return `none of its logs can lead (${nodes(holders.map(({ nodeId }) => nodeId))}: ${why})`;
  }
  // An acknowledged record is on as many replicas as min.insync.replicas says: one of them was asked.
  if (absent.length >= before.minInsyncReplicas) {
    return `acknowledged records that only ${nodes(absent)} had are lost`;
  }
  if (broken.length === 0) return undefined;
  return `its log on ${nodes(broken.map(({ nodeId }) => nodeId))} cannot be opened`;
}

function nodes(nodeIds: readonly number[]): string {
  return `storage ${nodeIds.length === 1 ? "node" : "nodes"} ${nodeIds.join(", ")}`;
}

function toUnknown(holders: readonly Holder[]): UnknownPartition {
  const nodeIds = holders.map(({ nodeId }) => nodeId).toSorted((a, b) => a - b);
  const logEndOffset = Math.max(...holders.map(({ log }) => log.logEndOffset));
  const { topicId = "", partition = 0 } = holders[0]?.log ?? {};
  return { topicId, partition, nodeIds, logEndOffset };
}

function stateOf(partition: ClusterPartition): PartitionState {
  const { topicId: _topicId, partition: _partition, modRevision: _modRevision, ...state } = partition;
  return state;
}

function keyOf({ topicId, partition }: { readonly topicId: string; readonly partition: number }): string {
  return `${topicId}/${partition}`;
}
