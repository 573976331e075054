import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { placePartitions } from "./placement.ts";
import { type PlanNode, type PlannedMove, type PlanPartition, planMoves } from "./replica-plan.ts";

function node(nodeId: number, change: Partial<PlanNode> = {}): PlanNode {
  return { nodeId, zone: "", state: "active", isReady: true, ...change };
}

/** Topics of these partition counts, placed on the nodes as the coordinator does. */
function place(nodes: readonly PlanNode[], topics: readonly number[], replicas: number): PlanPartition[] {
  const partitions: PlanPartition[] = [];
  for (const [index, count] of topics.entries()) {
    const loads = nodes.map(({ nodeId, zone }) => ({
      nodeId,
      zone,
      leaderCount: partitions.filter((placed) => placed.replicas[0] === nodeId).length,
      replicaCount: partitions.filter((placed) => placed.replicas.includes(nodeId)).length,
    }));
    for (const [partition, placed] of placePartitions(loads, count, replicas).entries()) {
      partitions.push({ topicId: `t${index}`, partition, replicas: placed, isFixed: false });
    }
  }
  return partitions;
}

function after(partitions: readonly PlanPartition[], moves: readonly PlannedMove[]): PlanPartition[] {
  const moved = new Map(moves.map((move) => [`${move.topicId}-${move.partition}`, move.replicas]));
  return partitions.map((entry) => ({
    ...entry,
    replicas: moved.get(`${entry.topicId}-${entry.partition}`) ?? entry.replicas,
  }));
}

function counts(
  partitions: readonly PlanPartition[],
  nodes: readonly PlanNode[],
  topicId?: string,
): number[] {
  const chosen = partitions.filter((entry) => topicId === undefined || entry.topicId === topicId);
  return nodes.map(({ nodeId }) => chosen.filter(({ replicas }) => replicas.includes(nodeId)).length);
}

function leaders(partitions: readonly PlanPartition[], nodes: readonly PlanNode[]): number[] {
  return nodes.map(({ nodeId }) => partitions.filter(({ replicas }) => replicas[0] === nodeId).length);
}

function spread(values: readonly number[]): number {
  return Math.max(...values) - Math.min(...values);
}

/** How many replicas have to be copied. */
function copies(before: readonly PlanPartition[], moved: readonly PlanPartition[]): number {
  let total = 0;
  for (const [i, { replicas }] of moved.entries()) {
    total += replicas.filter((nodeId) => before[i]?.replicas.includes(nodeId) !== true).length;
  }
  return total;
}

function zones(replicas: readonly number[], nodes: readonly PlanNode[]): number {
  return new Set(
    replicas.map((nodeId) => {
      const zone = nodes.find((candidate) => candidate.nodeId === nodeId)?.zone ?? "";
      return zone === "" ? `node ${nodeId}` : zone;
    }),
  ).size;
}

const ACTIVE = [1, 2, 3].map((nodeId) => node(nodeId));

describe("the plan of moves", () => {
  it("is empty when no node is new or is to go", () => {
    const partitions = place(ACTIVE, [5, 7], 2);
    expect([...planMoves(ACTIVE, partitions)]).toEqual([]);
    const byHand = partitions.map((entry) => ({ ...entry, replicas: [1, 2] }));
    expect([...planMoves(ACTIVE, byHand)]).toEqual([]);
  });

  it("gives a new node its share of replicas and of leaders, and copies no more than that", () => {
    const nodes = [...ACTIVE, node(4, { state: "filling" })];
    const before = place(ACTIVE, [12, 12, 24], 3);
    const moved = after(before, [...planMoves(nodes, before)]);
    expect(counts(moved, nodes)).toEqual([36, 36, 36, 36]);
    expect(copies(before, moved)).toBe(36);
    expect(spread(leaders(moved, nodes))).toBeLessThanOrEqual(1);
  });

  it("gives a new node its share of topics that have fewer replicas than there are nodes", () => {
    const nodes = [...ACTIVE, node(4, { state: "filling" })];
    const before = place(
      ACTIVE,
      Array.from({ length: 40 }, () => 1),
      3,
    );
    const moved = after(before, [...planMoves(nodes, before)]);
    expect(counts(moved, nodes)).toEqual([30, 30, 30, 30]);
  });

  it("empties a node that is to go, and says nothing of what has nowhere to go", () => {
    const four = [...ACTIVE, node(4)];
    const before = place(four, [16], 3);
    const nodes = four.map((entry) => (entry.nodeId === 2 ? node(2, { state: "draining" }) : entry));
    const moved = after(before, [...planMoves(nodes, before)]);
    expect(counts(moved, nodes)).toEqual([16, 0, 16, 16]);
    expect(copies(before, moved)).toBe(12);
    const three = ACTIVE.map((entry) => (entry.nodeId === 2 ? node(2, { state: "draining" }) : entry));
    expect([...planMoves(three, place(ACTIVE, [4], 3))]).toEqual([]);
  });

  it("moves nothing to nodes that are away, and nothing that is fixed", () => {
    const before = place(ACTIVE, [12], 3);
    const away = [...ACTIVE, node(4, { state: "filling", isReady: false })];
    expect([...planMoves(away, before)]).toEqual([]);
    const nodes = [...ACTIVE, node(4, { state: "filling" })];
    const fixed = before.map((entry) => ({ ...entry, isFixed: true }));
    expect([...planMoves(nodes, fixed)]).toEqual([]);
  });

  it("plans the first moves among many partitions without planning all", () => {
    const nodes = [...ACTIVE, node(4, { state: "filling" })];
    const before = place(ACTIVE, [3000], 3);
    const moves = planMoves(nodes, before);
    for (let i = 0; i < 16; i += 1) expect(moves.next().done).toBe(false);
  });
});

const clusters = fc.record({
  zones: fc.array(fc.constantFrom("", "a", "b", "c"), { minLength: 1, maxLength: 6 }),
  added: fc.array(fc.constantFrom("", "a", "b", "c"), { maxLength: 3 }),
  topics: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
  replicas: fc.integer({ min: 1, max: 3 }),
  draining: fc.array(fc.nat({ max: 5 }), { maxLength: 2 }),
});

describe("the plan, whatever the cluster", () => {
  it("ends, keeps replicas apart and in as many zones, and loads no drained node", () => {
    fc.assert(
      fc.property(clusters, ({ zones: zoneNames, added, topics, replicas, draining }) => {
        const old = zoneNames.map((zone, i) => node(i, { zone }));
        const count = Math.min(replicas, old.length);
        const before = place(old, topics, count);
        const nodes = [
          ...old.map((entry) => (draining.includes(entry.nodeId) ? { ...entry, state: "draining" } : entry)),
          ...added.map((zone, i) => node(10 + i, { zone, state: "filling" })),
        ] as PlanNode[];
        const moves = [...planMoves(nodes, before)];
        const moved = after(before, moves);
        for (const [i, { replicas: placed }] of moved.entries()) {
          const was = before[i]?.replicas ?? [];
          expect(placed).toHaveLength(was.length);
          expect(new Set(placed).size).toBe(placed.length);
          const isDrained = was.some((nodeId) => draining.includes(nodeId));
          const fewest = isDrained ? 1 : zones(was, nodes);
          expect(zones(placed, nodes)).toBeGreaterThanOrEqual(fewest);
          const come = placed.filter((nodeId) => !was.includes(nodeId));
          for (const nodeId of come) expect(draining).not.toContain(nodeId);
        }
        // Nobody keeps a replica that another node could take.
        const takers = nodes.filter(({ state }) => state !== "draining").length;
        const left = draining.filter((nodeId) => counts(moved, [node(nodeId)])[0] !== 0);
        expect(takers >= count ? left : []).toEqual([]);
        expect([...planMoves(nodes, moved)]).toEqual([]);
      }),
    );
  });

  it("is within one replica per topic, and altogether, when nodes are added and zones do not matter", () => {
    const plain = fc.record({
      nodeCount: fc.integer({ min: 1, max: 6 }),
      addedCount: fc.integer({ min: 1, max: 3 }),
      topics: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
      replicas: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(plain, ({ nodeCount, addedCount, topics, replicas }) => {
        const old = Array.from({ length: nodeCount }, (_, i) => node(i));
        const before = place(old, topics, Math.min(replicas, nodeCount));
        const filling = Array.from({ length: addedCount }, (_, i) => node(10 + i, { state: "filling" }));
        const nodes = [...old, ...filling];
        const moved = after(before, [...planMoves(nodes, before)]);
        for (const i of topics.keys()) {
          expect(spread(counts(moved, nodes, `t${i}`))).toBeLessThanOrEqual(1);
        }
        // Each replica that was copied is on a new node: nothing moved twice or for nothing.
        const onNew = counts(moved, filling).reduce((sum, count) => sum + count, 0);
        expect(copies(before, moved)).toBe(onNew);
      }),
      { examples: [[{ nodeCount: 1, addedCount: 3, topics: [4, 6], replicas: 1 }]] },
    );
  });
});
