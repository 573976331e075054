import type { PartitionRef } from "@ottla/metadata";

/**
 * active: keeps what it has and takes what leaves others; filling: gets its share from all others; draining:
 * gives all away.
 */
export type PlanNodeState = "active" | "filling" | "draining";

export interface PlanNode {
  readonly nodeId: number;
  /** The failure domain; nodes without one ("") count as one each. */
  readonly zone: string;
  readonly state: PlanNodeState;
  /** Whether it can take replicas now. */
  readonly isReady: boolean;
}

export interface PlanPartition extends PartitionRef {
  /** Where its replicas are, or will be when the move that is under way ends. */
  readonly replicas: readonly number[];
  /** It gets more replicas when there are nodes for so many. */
  readonly wantedCount?: number;
  /** Counts, but stays as it is: its replicas are being moved, or it has no leader to copy from. */
  readonly isFixed: boolean;
}

export interface PlannedMove extends PartitionRef {
  /** Preferred leader first. */
  readonly replicas: readonly number[];
}

/**
 * The moves that empty draining nodes and give filling nodes their share, one after another, each
 * on top of those before it. Draining comes first, then partitions get the replicas that they
 * lack. A filling node gets replicas of each topic until it has as many as the others, give or
 * take one, and then as many altogether; nothing else moves, so what was placed by hand stays. No
 * move makes the replicas of a partition lie in fewer zones, unless a drain leaves no choice.
 * Last, filling nodes get their share of the preferred leaders, by order alone. The same input
 * gives the same moves, and they end: each makes the replicas, or else the leaders, more even.
 */
export function* planMoves(
  nodes: readonly PlanNode[],
  partitions: readonly PlanPartition[],
): Generator<PlannedMove, void, undefined> {
  const plan = new ReplicaPlan(nodes, partitions);
  yield* plan.drain();
  yield* plan.grow();
  yield* plan.fill();
  yield* plan.lead();
}

interface Topic {
  /** How many replicas the active node with the most has, when the last move was looked for. */
  most: number;
  /** By index of the node: how many replicas, and how often the preferred leader. */
  readonly replicas: Int32Array;
  readonly leaders: Int32Array;
}

interface Partition {
  readonly ref: PartitionRef;
  readonly topic: Topic;
  readonly isFixed: boolean;
  readonly wantedCount: number;
  /** Indexes of nodes. */
  replicas: number[];
}

interface Candidate {
  readonly partition: Partition;
  readonly replicas: number[];
  readonly rank: readonly number[];
}

class ReplicaPlan {
  readonly #nodes: readonly PlanNode[];
  readonly #zones: readonly string[];
  readonly #partitions: Partition[] = [];
  readonly #topics = new Map<string, Topic>();
  readonly #replicas: Int32Array;
  readonly #leaders: Int32Array;
  /** How many nodes are to have replicas in the end. */
  readonly #takerCount: number;

  constructor(nodes: readonly PlanNode[], partitions: readonly PlanPartition[]) {
    this.#nodes = withUnknownNodes(nodes, partitions);
    this.#zones = this.#nodes.map(({ zone, nodeId }) => (zone === "" ? `node ${nodeId}` : `zone ${zone}`));
    const count = this.#nodes.length;
    this.#replicas = new Int32Array(count);
    this.#leaders = new Int32Array(count);
    this.#takerCount = this.#nodes.filter(({ state }) => state !== "draining").length;
    const indexes = new Map(this.#nodes.map(({ nodeId }, index) => [nodeId, index]));
    for (const { topicId, partition, replicas, isFixed, wantedCount = 0 } of partitions) {
      const topic: Topic = this.#topics.get(topicId) ?? {
        most: 0,
        replicas: new Int32Array(count),
        leaders: new Int32Array(count),
      };
      this.#topics.set(topicId, topic);
      const placed = replicas.map((nodeId) => indexes.get(nodeId) ?? 0);
      const entry = { ref: { topicId, partition }, topic, isFixed, wantedCount, replicas: placed };
      this.#partitions.push(entry);
      this.#count(entry, 1);
    }
  }

  *drain(): Generator<PlannedMove> {
    for (const partition of this.#partitions) {
      if (partition.isFixed || !partition.replicas.some((node) => this.#isDraining(node))) continue;
      const replicas = [...partition.replicas];
      for (const [position, node] of replicas.entries()) {
        if (!this.#isDraining(node)) continue;
        const destination = this.#replacement(partition, replicas, position);
        if (destination !== undefined) replicas[position] = destination;
      }
      if (replicas.join() !== partition.replicas.join()) yield this.#move(partition, replicas);
    }
  }

  *grow(): Generator<PlannedMove> {
    for (const partition of this.#partitions) {
      if (partition.isFixed) continue;
      const replicas = [...partition.replicas];
      while (replicas.length < partition.wantedCount) {
        const node = this.#replacement(partition, replicas, replicas.length);
        if (node === undefined) break;
        replicas.push(node);
      }
      if (replicas.length > partition.replicas.length) yield this.#move(partition, replicas);
    }
  }

  *fill(): Generator<PlannedMove> {
    for (;;) {
      const move = this.#nextFill();
      if (move === undefined) return;
      yield this.#move(move.partition, move.replicas);
    }
  }

  *lead(): Generator<PlannedMove> {
    for (;;) {
      const move = this.#best((node, partition) => this.#leadCandidate(node, partition));
      if (move === undefined) return;
      yield this.#move(move.partition, move.replicas);
    }
  }

  #nextFill(): Candidate | undefined {
    const active = this.#indexes((node) => this.#nodes[node]?.state === "active");
    for (const topic of this.#topics.values()) {
      topic.most = Math.max(0, ...active.map((node) => at(topic.replicas, node)));
    }
    return this.#best((node, partition, least) => this.#fillCandidate(node, partition, least));
  }

  /** `candidateOf` may leave out what is no better than the rank that it is given. */
  #best(
    candidateOf: (
      node: number,
      partition: Partition,
      least: readonly number[] | undefined,
    ) => Candidate | undefined,
  ): Candidate | undefined {
    const filling = this.#indexes((node) => this.#nodes[node]?.state === "filling" && this.#isReady(node));
    // All nodes together: were one filled before the next, it could take what another lacks more.
    let best: Candidate | undefined;
    for (const node of filling) {
      for (const partition of this.#partitions) {
        if (partition.isFixed) continue;
        const candidate = candidateOf(node, partition, best?.rank);
        if (candidate !== undefined && isBetter(candidate.rank, best?.rank)) best = candidate;
      }
    }
    return best;
  }

  /** Takes the place of another replica, where that makes the topic, or else all, more even. */
  #fillCandidate(
    node: number,
    partition: Partition,
    least: readonly number[] | undefined,
  ): Candidate | undefined {
    const { replicas, topic } = partition;
    const mostInTopic = topic.most - at(topic.replicas, node);
    if (mostInTopic < Math.max(1, least?.[0] ?? 1) || replicas.includes(node)) return undefined;
    const wantsLeaders = at(this.#leaders, node) + 1 <= this.#partitions.length / this.#takerCount;
    let best: Candidate | undefined;
    for (const [position, from] of replicas.entries()) {
      if (this.#nodes[from]?.state !== "active") continue;
      const inTopic = at(topic.replicas, from) - at(topic.replicas, node);
      const inAll = at(this.#replicas, from) - at(this.#replicas, node);
      if (inTopic < 1 || (inTopic === 1 && inAll < 2)) continue;
      if (inTopic < (least?.[0] ?? 0)) continue;
      const spread = this.#isNewZone(replicas, position, node) - this.#isNewZone(replicas, position, from);
      if (spread < 0) continue;
      const fitsLeaders = (position === 0) === wantsLeaders ? 1 : 0;
      const rank = [inTopic, spread, inAll, fitsLeaders];
      if (!isBetter(rank, best?.rank ?? least)) continue;
      best = { partition, replicas: replicas.with(position, node), rank };
    }
    return best;
  }

  /** Changes places with the preferred leader, where that makes the leaders more even. */
  #leadCandidate(node: number, partition: Partition): Candidate | undefined {
    const { replicas, topic } = partition;
    const position = replicas.indexOf(node);
    const [leader] = replicas;
    if (position < 1 || leader === undefined) return undefined;
    const inTopic = at(topic.leaders, leader) - at(topic.leaders, node);
    const inAll = at(this.#leaders, leader) - at(this.#leaders, node);
    if (inTopic < 1 || inAll < 2) return undefined;
    const after = replicas.with(0, node).with(position, leader);
    return { partition, replicas: after, rank: [inTopic, inAll] };
  }

  #replacement(partition: Partition, replicas: readonly number[], position: number): number | undefined {
    const others = replicas.filter((_, index) => index !== position);
    let best: { readonly node: number; readonly rank: readonly number[] } | undefined;
    for (const node of this.#indexes((index) => !this.#isDraining(index) && this.#isReady(index))) {
      if (replicas.includes(node)) continue;
      const rank = [
        this.#zoneCount([...others, node]),
        -at(partition.topic.replicas, node),
        position === 0 ? -at(this.#leaders, node) : 0,
        -at(this.#replicas, node),
      ];
      if (isBetter(rank, best?.rank)) best = { node, rank };
    }
    return best?.node;
  }

  #move(partition: Partition, replicas: number[]): PlannedMove {
    this.#count(partition, -1);
    partition.replicas = replicas;
    this.#count(partition, 1);
    return { ...partition.ref, replicas: replicas.map((node) => this.#nodes[node]?.nodeId ?? -1) };
  }

  #count({ replicas, topic }: Partition, by: number): void {
    for (const [position, node] of replicas.entries()) {
      topic.replicas[node] = at(topic.replicas, node) + by;
      this.#replicas[node] = at(this.#replicas, node) + by;
      if (position > 0) continue;
      topic.leaders[node] = at(topic.leaders, node) + by;
      this.#leaders[node] = at(this.#leaders, node) + by;
    }
  }

  #zoneCount(replicas: readonly number[]): number {
    return new Set(replicas.map((node) => this.#zones[node])).size;
  }

  #isDraining(node: number): boolean {
    return this.#nodes[node]?.state === "draining";
  }

  #isReady(node: number): boolean {
    return this.#nodes[node]?.isReady === true;
  }

  /** 1 when no other replica lies in the zone of the node. */
  #isNewZone(replicas: readonly number[], position: number, node: number): 0 | 1 {
    for (let i = 0; i < replicas.length; i += 1) {
      const other = replicas[i];
      if (i !== position && other !== undefined && this.#zones[other] === this.#zones[node]) return 0;
    }
    return 1;
  }

  #indexes(matches: (node: number) => boolean): number[] {
    return [...this.#nodes.keys()].filter(matches);
  }
}

/** Nodes that hold replicas and that nobody knows any more keep what they have. */
function withUnknownNodes(nodes: readonly PlanNode[], partitions: readonly PlanPartition[]): PlanNode[] {
  const known = new Map(nodes.map((node) => [node.nodeId, node]));
  for (const { replicas } of partitions) {
    for (const nodeId of replicas) {
      if (!known.has(nodeId)) known.set(nodeId, { nodeId, zone: "", state: "active", isReady: false });
    }
  }
  return [...known.values()].sort((left, right) => left.nodeId - right.nodeId);
}

function at(counts: Int32Array, node: number): number {
  return counts[node] ?? 0;
}

/** Place by place, larger is better; the first of equals stays. */
function isBetter(rank: readonly number[], than: readonly number[] | undefined): boolean {
  if (than === undefined) return true;
  for (const [i, value] of rank.entries()) {
    const difference = value - (than[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
