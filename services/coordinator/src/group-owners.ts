import {
  type ClusterGroupOwner,
  GROUPS_TOPIC,
  type GroupOwnerState,
  groupOwnerStateCodec,
} from "@ottla/metadata";
import { type Term, type WriteUnit, writeInBatches } from "./term.ts";

/** A registered group-coordinator. */
export interface GroupNode {
  readonly nodeId: number;
  readonly nodeEpoch: number;
}

/**
 * Who owns which partition of the groups' internal topic, in one term: brings the owners in line with the
 * group-coordinators that are registered, and balances them. Works from the state that it finds, so it can
 * be run again at any time. Fencing (R13) keeps it safe: two nodes may believe that they own a partition.
 */
export class GroupOwners {
  readonly #term: Term;
  readonly #graceEndsAtMs: number;
  readonly #seen = new Set<number>();

  constructor(term: Term) {
    this.#term = term;
    this.#graceEndsAtMs = term.clock.monotonic() + term.limits.absentNodeGraceMs;
  }

  /** One round; says when another is due: nodes that are away may be lost then. */
  async reconcile(): Promise<number | undefined> {
    const { view, logger } = this.#term;
    const topic = view.topicByName(GROUPS_TOPIC);
    const nodes = view.nodes("group-coordinator");
    for (const { nodeId } of nodes) this.#seen.add(nodeId);
    if (topic === undefined || nodes.length === 0) return undefined;
    const owners = Array.from({ length: topic.partitionCount }, (_, index) => view.groupOwner(index));
    const units: WriteUnit[] = [];
    for (const [partition, node] of assignOwners(owners, nodes, (id) => this.#isAwaited(id)).entries()) {
      const before = owners[partition];
      if (node === undefined) continue;
      if (before?.nodeId === node.nodeId && before.nodeEpoch === node.nodeEpoch) continue;
      units.push(this.#ownerChange(partition, before, node));
    }
    const graceMs = this.#graceEndsAtMs - this.#term.clock.monotonic();
    const nextMs = graceMs > 0 ? graceMs : undefined;
    if (units.length === 0) return nextMs;
    await writeInBatches(this.#term, units);
    logger.info({ partitions: units.length, nodes: nodes.length }, "gave partitions of groups new owners");
    return nextMs;
  }

  /** After a restart of everything the owner of before may be about to register again. */
  #isAwaited(nodeId: number): boolean {
    return !this.#seen.has(nodeId) && this.#term.clock.monotonic() < this.#graceEndsAtMs;
  }

  #ownerChange(partition: number, before: ClusterGroupOwner | undefined, node: GroupNode): WriteUnit {
    const key = this.#term.view.keys.groupOwner(partition);
    const isKept = before !== undefined && this.#term.mutants.has("owner-epoch-kept");
    const state: GroupOwnerState = {
      nodeId: node.nodeId,
      nodeEpoch: node.nodeEpoch,
      ownerEpoch: (before?.ownerEpoch ?? -1) + (isKept ? 0 : 1),
    };
    return {
      compare: [before === undefined ? { key, createRevision: 0 } : { key, modRevision: before.modRevision }],
      success: [{ kind: "put", key, value: groupOwnerStateCodec.encode(state) }],
    };
  }
}

/**
 * An owner for each partition, undefined where it stays as it is. Those that have a live owner keep it
 * unless that node owns more than its share; the others go to the nodes that own the fewest.
 */
export function assignOwners(
  owners: readonly (GroupOwnerState | undefined)[],
  nodes: readonly GroupNode[],
  isAwaited: (nodeId: number) => boolean,
): (GroupNode | undefined)[] {
  const byId = new Map(nodes.map((node) => [node.nodeId, node] as const));
  const counts = new Map<number, number>(nodes.map(({ nodeId }) => [nodeId, 0]));
  const assigned: (GroupNode | undefined)[] = owners.map(() => undefined);
  const open: number[] = [];
  const most = Math.ceil(owners.length / nodes.length);
  for (const [partition, owner] of owners.entries()) {
    const node = owner === undefined ? undefined : byId.get(owner.nodeId);
    const count = node === undefined ? 0 : (counts.get(node.nodeId) ?? 0);
    if (node !== undefined && count < most) {
      assigned[partition] = node;
      counts.set(node.nodeId, count + 1);
    } else if (owner === undefined || node !== undefined || !isAwaited(owner.nodeId)) {
      open.push(partition);
    }
  }
  for (const partition of open) assigned[partition] = takeLeastLoaded(nodes, counts);
  evenOut(assigned, nodes, counts);
  return assigned;
}

function takeLeastLoaded(nodes: readonly GroupNode[], counts: Map<number, number>): GroupNode | undefined {
  let least: GroupNode | undefined;
  for (const node of nodes) {
    if (least === undefined || countOf(counts, node) < countOf(counts, least)) least = node;
  }
  if (least !== undefined) counts.set(least.nodeId, countOf(counts, least) + 1);
  return least;
}

/** Where one node owns two more than another, it gives one away: not more than that moves. */
function evenOut(
  assigned: (GroupNode | undefined)[],
  nodes: readonly GroupNode[],
  counts: Map<number, number>,
): void {
  for (const [partition, node] of assigned.entries()) {
    if (node === undefined) continue;
    const least = Math.min(...nodes.map((other) => countOf(counts, other)));
    if (countOf(counts, node) < least + 2) continue;
    counts.set(node.nodeId, countOf(counts, node) - 1);
    assigned[partition] = takeLeastLoaded(nodes, counts);
  }
}

function countOf(counts: ReadonlyMap<number, number>, { nodeId }: GroupNode): number {
  return counts.get(nodeId) ?? 0;
}
