import type { GroupOwnerState } from "@ottla/metadata";
import { describe, expect, test } from "vitest";
import { assignOwners, type GroupNode } from "./group-owners.ts";

const never = (): boolean => false;

function node(nodeId: number, nodeEpoch = 10): GroupNode {
  return { nodeId, nodeEpoch };
}

function ownedBy(...nodeIds: number[]): GroupOwnerState[] {
  return nodeIds.map((nodeId) => ({ nodeId, nodeEpoch: 10, ownerEpoch: 0 }));
}

function idsOf(assigned: readonly (GroupNode | undefined)[]): (number | undefined)[] {
  return assigned.map((owner) => owner?.nodeId);
}

describe("owners of the partitions of groups", () => {
  test("new partitions are spread over all nodes", () => {
    const assigned = idsOf(assignOwners(Array(7).fill(undefined), [node(1), node(2), node(3)], never));
    expect(
      [1, 2, 3].map((id) => assigned.filter((owner) => owner === id).length).toSorted((a, b) => a - b),
    ).toEqual([2, 2, 3]);
  });

  test("what a lost node owned goes to the others, and nothing else moves", () => {
    const assigned = idsOf(assignOwners(ownedBy(1, 2, 3, 1, 2, 3), [node(1), node(2)], never));
    expect(assigned[0]).toBe(1);
    expect(assigned[1]).toBe(2);
    expect(assigned[3]).toBe(1);
    expect(assigned[4]).toBe(2);
    expect([assigned[2], assigned[5]].toSorted((a = 0, b = 0) => a - b)).toEqual([1, 2]);
  });

  test("a new node gets its share and no more moves than that", () => {
    const before = ownedBy(1, 2, 1, 2, 1, 2, 1, 2, 1, 2);
    const assigned = idsOf(assignOwners(before, [node(1), node(2), node(3)], never));
    expect(assigned.filter((owner, index) => owner !== before[index]?.nodeId).length).toBe(3);
  });

  test("a node that has registered again keeps its partitions in its new epoch", () => {
    expect(assignOwners(ownedBy(1, 1), [node(1, 11)], never)).toEqual([node(1, 11), node(1, 11)]);
  });

  test("partitions of a node that may be about to come back wait for it", () => {
    expect(idsOf(assignOwners(ownedBy(1, 2), [node(1)], (id) => id === 2))).toEqual([1, undefined]);
  });
});
