import type { PartitionState } from "@ottla/metadata";
import { describe, expect, it } from "vitest";
import {
  changedState,
  type LiveNodes,
  newPartitionState,
  type ReturnedLog,
  withElectedLeader,
  withMinInsyncReplicas,
  withoutLostNode,
  withReturnedNode,
} from "./partition-leadership.ts";

function live(epochs: Readonly<Record<number, number>>): LiveNodes {
  return (nodeId) => epochs[nodeId];
}

function partition(change: Partial<PartitionState> = {}): PartitionState {
  const state = newPartitionState([1, 2, 3], live({ 1: 11, 2: 12, 3: 13 }), 2);
  return { ...state, ...change };
}

const COMPLETE: ReturnedLog = { kind: "complete", directoryId: "d" };
const INCOMPLETE: ReturnedLog = { kind: "incomplete", directoryId: "d" };
const EMPTY: ReturnedLog = { kind: "empty", directoryId: "new", formerDirectoryId: "d" };

describe("a new partition", () => {
  it("is led by its first replica that is alive, with all replicas in sync", () => {
    expect(partition()).toMatchObject({
      leader: 1,
      leaderNodeEpoch: 11,
      leaderEpoch: 0,
      isr: [1, 2, 3],
      minInsyncReplicas: 2,
    });
    expect(newPartitionState([1, 2], live({ 2: 12 }), 5)).toMatchObject({ leader: 2, minInsyncReplicas: 2 });
    expect(newPartitionState([1], live({}), 1)).toMatchObject({ leader: -1, leaderNodeEpoch: -1, isr: [1] });
  });
});

describe("a new partition of which too few replicas are alive", () => {
  it("outlives the disk of the only one: nothing was acknowledged, so the others lack nothing (R8)", () => {
    const state = newPartitionState([1, 2, 3], live({ 1: 11 }), 2);
    expect(state).toMatchObject({ leader: 1, isr: [1], eligibleReplicas: [2, 3] });
    const after = withElectedLeader(withReturnedNode(state, 1, EMPTY), live({ 1: 21, 2: 12 }));
    expect(after).toMatchObject({ leader: 2, isr: [2], eligibleReplicas: [3] });
  });

  it("has no eligible replicas where those alive suffice", () => {
    expect(newPartitionState([1, 2, 3], live({ 1: 11, 2: 12 }), 2)).toMatchObject({
      isr: [1, 2],
      eligibleReplicas: [],
    });
  });
});

describe("electing a leader (R8)", () => {
  it("keeps a leader whose registration still stands", () => {
    const state = partition();
    expect(withElectedLeader(state, live({ 1: 11 }))).toBe(state);
  });

  it("gives the same node a new term when it has registered again (R2)", () => {
    const before = partition({ isr: [1], leaderEpoch: 4, partitionEpoch: 9 });
    const after = changedState(before, withElectedLeader(before, live({ 1: 21 })));
    expect(after).toMatchObject({
      leader: 1,
      leaderNodeEpoch: 21,
      leaderEpoch: 5,
      partitionEpoch: 10,
      isr: [1],
    });
  });

  it("takes the first replica of the ISR that is alive", () => {
    const state = withElectedLeader(partition({ isr: [3, 2] }), live({ 2: 12, 3: 13 }));
    expect(state).toMatchObject({ leader: 2, isr: [3, 2] });
  });

  it("takes an eligible replica when none in the ISR is alive; former members stay eligible", () => {
    const state = withElectedLeader(partition({ isr: [1], eligibleReplicas: [3] }), live({ 2: 12, 3: 13 }));
    expect(state).toMatchObject({ leader: 3, leaderNodeEpoch: 13, isr: [3], eligibleReplicas: [1] });
  });

  it("never takes a replica that is neither in sync nor eligible", () => {
    const before = partition({ isr: [1], leaderEpoch: 7 });
    const after = changedState(before, withElectedLeader(before, live({ 2: 12, 3: 13 })));
    expect(after).toMatchObject({
      leader: -1,
      leaderNodeEpoch: -1,
      leaderEpoch: 8,
      isr: [1],
      lastKnownLeader: 1,
    });
  });

  it("takes the last known leader only when nobody is in sync or eligible", () => {
    const orphan = partition({ leader: -1, leaderNodeEpoch: -1, isr: [], lastKnownLeader: 2 });
    expect(withElectedLeader(orphan, live({ 1: 11, 2: 12 }))).toMatchObject({ leader: 2, isr: [2] });
    const waiting = { ...orphan, isr: [3] };
    expect(withElectedLeader(waiting, live({ 1: 11, 2: 12 }))).toBe(waiting);
  });
});

describe("a node that is lost", () => {
  it("leaves the ISR, and is not eligible while enough others are in sync", () => {
    const state = withoutLostNode(partition(), 1);
    expect(state).toMatchObject({ isr: [2, 3], eligibleReplicas: [] });
  });

  it("stays eligible when the ISR falls below min.insync.replicas (R4)", () => {
    const state = withoutLostNode(withoutLostNode(partition(), 1), 2);
    expect(state).toMatchObject({ isr: [3], eligibleReplicas: [2] });
  });

  it("stays in the ISR as its last member", () => {
    const state = partition({ isr: [1] });
    expect(withoutLostNode(state, 1)).toBe(state);
    expect(withoutLostNode(state, 2)).toBe(state);
  });
});

describe("a node that comes back (R9)", () => {
  it("keeps its place with a complete log", () => {
    const state = partition();
    expect(withReturnedNode(state, 1, COMPLETE)).toBe(state);
  });

  it("leaves the ISR after a crash under a relaxed flush policy, unless it is the sole last leader", () => {
    const shared = withReturnedNode(partition({ eligibleReplicas: [] }), 1, INCOMPLETE);
    expect(withElectedLeader(shared, live({ 1: 21, 2: 12 }))).toMatchObject({ leader: 2, isr: [2, 3] });
    const sole = newPartitionState([1], live({ 1: 11 }), 1);
    const returned = withReturnedNode(sole, 1, INCOMPLETE);
    expect(returned).toMatchObject({ isr: [], lastKnownLeader: 1 });
    expect(withElectedLeader(returned, live({ 1: 21 }))).toMatchObject({
      leader: 1,
      isr: [1],
      leaderNodeEpoch: 21,
    });
  });

  it("never leads with another directory: the partition waits for the old one and takes it back", () => {
    const sole = newPartitionState([1], live({ 1: 11 }), 1);
    const lost = changedState(sole, withElectedLeader(withReturnedNode(sole, 1, EMPTY), live({ 1: 21 })));
    expect(lost).toMatchObject({ leader: -1, isr: [], lastKnownLeader: -1, leaderEpoch: 1 });
    expect(lost).toMatchObject({ awaitedNodeId: 1, awaitedDirectoryId: "d" });
    if (lost === undefined) return;
    // Restarts with the empty directory change nothing, whatever it is judged to be.
    const again = withReturnedNode(lost, 1, { kind: "complete", directoryId: "new" });
    expect(withElectedLeader(again, live({ 1: 31 }))).toBe(lost);
    const found = withReturnedNode(lost, 1, { kind: "empty", directoryId: "d", formerDirectoryId: "new" });
    expect(withElectedLeader(found, live({ 1: 41 }))).toMatchObject({
      leader: 1,
      isr: [1],
      awaitedNodeId: undefined,
    });
  });

  it("leaves the ISR and the eligible replicas with another directory, while others go on", () => {
    const state = withReturnedNode(partition({ isr: [1, 2], eligibleReplicas: [3] }), 3, EMPTY);
    expect(state).toMatchObject({ isr: [1, 2], eligibleReplicas: [], leader: 1 });
    expect(state.awaitedNodeId).toBeUndefined();
    const leaderLost = withElectedLeader(withReturnedNode(state, 1, EMPTY), live({ 1: 21, 2: 12 }));
    expect(leaderLost).toMatchObject({ leader: 2, isr: [2] });
  });
});

describe("a changed min.insync.replicas (R4)", () => {
  it("clears the eligible replicas and never exceeds the number of replicas", () => {
    const state = withMinInsyncReplicas(partition({ eligibleReplicas: [3] }), 9);
    expect(state).toMatchObject({ minInsyncReplicas: 3, eligibleReplicas: [] });
    expect(withMinInsyncReplicas(state, 3)).toBe(state);
  });
});
