import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type PlacementNode, placePartitions } from "./placement.ts";

function nodes(zones: readonly string[], replicaCounts: readonly number[] = []): PlacementNode[] {
  return zones.map((zone, index) => ({
    nodeId: index + 1,
    zone,
    leaderCount: 0,
    replicaCount: replicaCounts[index] ?? 0,
  }));
}

function countsOf(values: readonly number[], nodeCount: number): number[] {
  const counts = Array.from({ length: nodeCount }, () => 0);
  for (const value of values) counts[value - 1] = (counts[value - 1] ?? 0) + 1;
  return counts;
}

function spread(counts: readonly number[]): number {
  return Math.max(...counts) - Math.min(...counts);
}

const clusters = fc.record({
  zones: fc.array(fc.constantFrom("", "a", "b", "c"), { minLength: 1, maxLength: 12 }),
  partitions: fc.integer({ min: 1, max: 60 }),
  wantedReplicas: fc.integer({ min: 1, max: 5 }),
});

describe("placePartitions", () => {
  it("never puts two replicas of a partition on one node, and uses as many zones as there are", () => {
    fc.assert(
      fc.property(clusters, ({ zones, partitions, wantedReplicas }) => {
        const replicationFactor = Math.min(wantedReplicas, zones.length);
        const zoneOf = (nodeId: number): string => zones[nodeId - 1] || `node ${nodeId}`;
        const zoneCount = new Set(zones.map((_, index) => zoneOf(index + 1))).size;
        const placed = placePartitions(nodes(zones), partitions, replicationFactor);
        expect(placed).toHaveLength(partitions);
        for (const replicas of placed) {
          expect(new Set(replicas).size).toBe(replicationFactor);
          expect(new Set(replicas.map(zoneOf)).size).toBe(Math.min(replicationFactor, zoneCount));
        }
      }),
    );
  });

  it("spreads preferred leaders evenly over all nodes, whatever the zones", () => {
    fc.assert(
      fc.property(clusters, ({ zones, partitions, wantedReplicas }) => {
        const placed = placePartitions(nodes(zones), partitions, Math.min(wantedReplicas, zones.length));
        const leaders = placed.map((replicas) => replicas[0] ?? 0);
        expect(spread(countsOf(leaders, zones.length))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("spreads replicas evenly, within two, where zones do not stand against it", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 5 }),
        (nodeCount, partitions, wantedReplicas) => {
          const zones = Array.from({ length: nodeCount }, () => "");
          const placed = placePartitions(nodes(zones), partitions, Math.min(wantedReplicas, nodeCount));
          expect(spread(countsOf(placed.flat(), nodeCount))).toBeLessThanOrEqual(2);
        },
      ),
    );
  });

  it("follows from its input alone, in whatever order the nodes come", () => {
    fc.assert(
      fc.property(clusters, ({ zones, partitions, wantedReplicas }) => {
        const replicationFactor = Math.min(wantedReplicas, zones.length);
        const forwards = placePartitions(nodes(zones), partitions, replicationFactor);
        expect(placePartitions(nodes(zones).reverse(), partitions, replicationFactor)).toEqual(forwards);
      }),
    );
  });

  it("shares the followers of one leader among the other nodes", () => {
    const placed = placePartitions(nodes(["", "", "", ""]), 24, 2);
    const followersOfFirst = placed.filter((replicas) => replicas[0] === 1).map((replicas) => replicas[1]);
    expect(new Set(followersOfFirst)).toEqual(new Set([2, 3, 4]));
  });

  it("fills an emptier node first", () => {
    const placed = placePartitions(nodes(["", "", ""], [10, 10, 0]), 1, 2);
    expect(placed[0]).toContain(3);
  });

  it("takes single-partition topics in turn, by the leaders that nodes have already", () => {
    const leaders = [0, 0, 0];
    for (let topic = 0; topic < 9; topic += 1) {
      const state = leaders.map((count, index) => ({
        nodeId: index + 1,
        zone: "",
        leaderCount: count,
        replicaCount: count,
      }));
      const leader = placePartitions(state, 1, 1)[0]?.[0] ?? 0;
      leaders[leader - 1] = (leaders[leader - 1] ?? 0) + 1;
    }
    expect(leaders).toEqual([3, 3, 3]);
  });

  it("refuses more replicas than there are nodes", () => {
    expect(() => placePartitions(nodes(["a", "b"]), 1, 3)).toThrow(
      /needs as many storage nodes, 2 are ready/,
    );
  });

  it("places ten thousand partitions on many nodes in a moment", () => {
    const zones = Array.from({ length: 60 }, (_, index) => `zone-${index % 3}`);
    const placed = placePartitions(nodes(zones), 10_000, 3);
    expect(spread(countsOf(placed.flat(), 60))).toBeLessThanOrEqual(2);
  });
});
