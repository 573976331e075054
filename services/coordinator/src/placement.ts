import { OttlaError } from "@ottla/errors";

/** A storage node that can take replicas, and what it holds already. */
export interface PlacementNode {
  readonly nodeId: number;
  /** The failure domain; nodes without one ("") count as one zone each. */
  readonly zone: string;
  readonly leaderCount: number;
  readonly replicaCount: number;
}

interface Load {
  readonly nodeId: number;
  readonly zone: string;
  readonly index: number;
  /** What this placement has given to the node. */
  newLeaders: number;
  newReplicas: number;
  leaders: number;
  replicas: number;
}

/**
 * Chooses replicas for new partitions, the preferred leader first. Leaders are spread evenly over the nodes;
 * the replicas of one partition lie in as many zones as there are; within that, nodes with fewer replicas
 * come first. The choice follows from the input alone. Throws INVALID_REPLICATION_FACTOR when there are too
 * few nodes.
 */
export function placePartitions(
  nodes: readonly PlacementNode[],
  partitionCount: number,
  replicationFactor: number,
): number[][] {
  if (nodes.length < replicationFactor) {
    throw new OttlaError(
      "INVALID_REPLICATION_FACTOR",
      `replication_factor ${replicationFactor} needs as many storage nodes, ${nodes.length} are ready`,
      { metadata: { field: "replication_factor", limit: String(nodes.length) } },
    );
  }
  const loads: Load[] = [...nodes]
    .sort((left, right) => left.nodeId - right.nodeId)
    .map(({ nodeId, zone, leaderCount, replicaCount }, index) => ({
      nodeId,
      zone: zone === "" ? `node ${nodeId}` : `zone ${zone}`,
      index,
      newLeaders: 0,
      newReplicas: 0,
      leaders: leaderCount,
      replicas: replicaCount,
    }));
  return Array.from({ length: partitionCount }, (_, partition) =>
    placeOne(loads, partition, replicationFactor),
  );
}

function placeOne(loads: readonly Load[], partition: number, replicationFactor: number): number[] {
  const leader = smallest(loads, (load) => [
    load.newLeaders,
    load.leaders,
    load.newReplicas,
    load.replicas,
    load.index,
  ]);
  take(leader, true);
  const chosen = [leader];
  while (chosen.length < replicationFactor) {
    const follower = nextFollower(loads, chosen, partition);
    take(follower, false);
    chosen.push(follower);
  }
  return chosen.map((load) => load.nodeId);
}

function nextFollower(loads: readonly Load[], chosen: readonly Load[], partition: number): Load {
  const inZone = new Map<string, number>();
  for (const { zone } of chosen) inZone.set(zone, (inZone.get(zone) ?? 0) + 1);
  const free = loads.filter((load) => !chosen.includes(load));
  const start = (chosen[0]?.index ?? 0) + 1 + Math.floor(partition / loads.length);
  return smallest(free, (load) => [
    inZone.get(load.zone) ?? 0,
    load.newReplicas,
    load.replicas,
    // Among equals the turn moves on, so that the followers of one leader are not always the same nodes: when
    // it fails, all others share its work.
    (load.index - start + loads.length * (partition + 2)) % loads.length,
  ]);
}

function take(load: Load, asLeader: boolean): void {
  load.newReplicas += 1;
  load.replicas += 1;
  if (!asLeader) return;
  load.newLeaders += 1;
  load.leaders += 1;
}

/** The load whose rank comes first, place by place. */
function smallest(loads: readonly Load[], rank: (load: Load) => readonly number[]): Load {
  let best: { readonly load: Load; readonly rank: readonly number[] } | undefined;
  for (const load of loads) {
    const candidate = { load, rank: rank(load) };
    if (best === undefined || comesBefore(candidate.rank, best.rank)) best = candidate;
  }
  if (best === undefined) throw new RangeError("there is no node to choose from");
  return best.load;
}

function comesBefore(left: readonly number[], right: readonly number[]): boolean {
  for (let i = 0; i < left.length; i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
