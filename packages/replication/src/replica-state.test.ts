import { describe, expect, it } from "vitest";
import { logOf, type ModelLog } from "./model/model-log.ts";
import type { PartitionTerm } from "./partition-term.ts";
import type { ReplicaEffect } from "./replica-effects.ts";
import { ReplicaState, type ReplicaStateOptions } from "./replica-state.ts";

const TERM: PartitionTerm = {
  leader: 1,
  leaderNodeEpoch: 11,
  leaderEpoch: 4,
  partitionEpoch: 7,
  replicas: [1, 2, 3],
  isr: [1, 2, 3],
  eligibleReplicas: [],
  minInsyncReplicas: 2,
};

const NODES = new Map([
  [1, 11],
  [2, 12],
  [3, 13],
]);

function open(log: ModelLog, rest: Partial<ReplicaStateOptions> = {}): ReplicaState {
  return new ReplicaState({
    node: { nodeId: 1, nodeEpoch: 11 },
    log,
    limits: { replicaLagTimeMaxMs: 1_000, isrRetryBackoffMs: 100, refusedBackoffMs: 50 },
    highWatermark: 0,
    ...rest,
  });
}

function kinds(effects: readonly ReplicaEffect[]): string[] {
  return effects.map(({ kind }) => kind);
}

const LED_BY_2: PartitionTerm = {
  ...TERM,
  leader: 2,
  leaderNodeEpoch: 12,
  leaderEpoch: 5,
  partitionEpoch: 8,
};

describe("a replica's roles", () => {
  it("change with the leader epoch, and no reply outlives its term (R15)", () => {
    const replica = open(logOf(1));
    expect(kinds(replica.onMetadata(TERM, NODES, 0))).toEqual(["becomeLeader"]);
    expect(kinds(replica.onMetadata(LED_BY_2, NODES, 0))).toEqual([
      "failWaiters",
      "becomeFollower",
      "sendUpdate",
    ]);
    const back = { ...TERM, leaderEpoch: 6, partitionEpoch: 9 };
    expect(kinds(replica.onMetadata(back, NODES, 0))).toEqual(["becomeLeader"]);
  });

  it("do not change with an older state of the partition", () => {
    const replica = open(logOf(1));
    replica.onMetadata(LED_BY_2, NODES, 0);
    expect(replica.onMetadata(TERM, NODES, 0)).toEqual([]);
    expect(replica.role.kind).toBe("follower");
  });

  it("wait for a view that shows this node's own registration", () => {
    const replica = open(logOf(1));
    expect(replica.onMetadata(TERM, new Map([[1, 5]]), 0)).toEqual([]);
    expect(replica.role.kind).toBe("none");
    expect(kinds(replica.onMetadata(TERM, NODES, 0))).toEqual(["becomeLeader"]);
  });

  it("are not those of an earlier run of this node (R2)", () => {
    const replica = open(logOf(1), { node: { nodeId: 1, nodeEpoch: 21 } });
    const effects = replica.onMetadata(TERM, new Map([[1, 21]]), 0);
    expect(effects).toEqual([{ kind: "becomeFollower", leader: -1, leaderEpoch: 4 }]);
  });

  it("end when the node registers again", () => {
    const replica = open(logOf(1));
    replica.onMetadata(TERM, NODES, 0);
    expect(kinds(replica.onRegistered(21, 0))).toEqual(["failWaiters", "becomeFollower"]);
  });

  it("end when the partition's replicas do not name the node any more", () => {
    const replica = open(logOf(1));
    replica.onMetadata(TERM, NODES, 0);
    const without = { ...LED_BY_2, replicas: [2, 3], isr: [2, 3] };
    expect(kinds(replica.onMetadata(without, NODES, 0))).toEqual(["failWaiters", "leaveReplicas"]);
    expect(replica.role.kind).toBe("none");
  });
});

describe("a replica's log", () => {
  it("is not led while it is being cut: the newest term waits (R6)", () => {
    const log = logOf(1, 1, 2);
    const replica = open(log);
    replica.onMetadata(LED_BY_2, NODES, 0);
    if (replica.role.kind !== "follower") throw new Error("it follows");
    const head = { leaderEpoch: 5, positionVersion: 1, highWatermark: 0, logStartOffset: 0, logEndOffset: 2 };
    replica.role.follower.onPositionAnswer(
      { ...head, outcome: { kind: "diverging", end: { epoch: 1, endOffset: 2 } } },
      0,
    );
    const next = { ...TERM, leaderEpoch: 6, partitionEpoch: 9 };
    expect(replica.onMetadata(next, NODES, 0)).toEqual([]);
    log.truncateTo(2);
    expect(kinds(replica.onTruncated(0))).toEqual(["becomeLeader"]);
  });

  it("goes on being followed after a cut during which the ISR has changed", () => {
    const replica = open(logOf(1, 1, 2));
    const asked = replica.onMetadata(LED_BY_2, NODES, 0).find(({ kind }) => kind === "sendUpdate");
    const positionVersion = asked?.kind === "sendUpdate" ? asked.update.positionVersion : 0;
    const { role } = replica;
    if (role.kind !== "follower") throw new Error("does not follow");
    const head = { leaderEpoch: 5, positionVersion, highWatermark: 0, logStartOffset: 0, logEndOffset: 2 };
    const outcome = { kind: "diverging", end: { epoch: 1, endOffset: 2 } } as const;
    expect(kinds(role.follower.onPositionAnswer({ ...head, outcome }, 0))).toEqual(["truncate"]);
    expect(replica.onMetadata({ ...LED_BY_2, isr: [2, 3], partitionEpoch: 9 }, NODES, 0)).toEqual([]);
    expect(kinds(replica.onTruncated(0))).toEqual(["sendUpdate"]);
    expect(replica.term?.isr).toEqual([2, 3]);
  });

  it("is not led in the same epoch again after it failed (R2)", () => {
    const replica = open(logOf(1));
    replica.onMetadata(TERM, NODES, 0);
    expect(kinds(replica.onLogFailed())).toEqual(["failWaiters", "resign"]);
    const reopened = open(logOf(1), { former: replica });
    expect(reopened.onMetadata(TERM, NODES, 0)).toEqual([
      { kind: "resign", leaderEpoch: 4, reason: "log-failed" },
    ]);
    const next = { ...TERM, leaderEpoch: 5, partitionEpoch: 8 };
    expect(kinds(reopened.onMetadata(next, NODES, 0))).toEqual(["becomeLeader"]);
  });

  it("is not led any longer when what it had before the term was not written after all (R3)", () => {
    const replica = open(logOf(1, 1, 2));
    replica.onMetadata(TERM, NODES, 0);
    expect(replica.onAppendsFailed(3)).toEqual([]);
    expect(kinds(replica.onAppendsFailed(2))).toEqual(["failWaiters", "resign"]);
    expect(replica.onMetadata({ ...TERM, partitionEpoch: 9 }, NODES, 0)).toEqual([]);
  });

  it("is not led with a hole (R12)", () => {
    const replica = open(logOf(1, 1));
    replica.onMetadata(TERM, NODES, 0);
    expect(kinds(replica.onDamage(1))).toEqual(["reportDamage", "failWaiters", "resign"]);
    const again = { ...TERM, leaderEpoch: 5, partitionEpoch: 8 };
    expect(kinds(replica.onMetadata(again, NODES, 0))).toEqual(["reportDamage", "resign"]);
    expect(replica.isUnfitToLead).toBe(true);
    const restarted = open(logOf(1), { damagedFrom: 1 });
    expect(kinds(restarted.onMetadata(TERM, NODES, 0))).toEqual(["reportDamage", "resign"]);
  });
});

describe("a replica's high watermark", () => {
  it("goes with it from role to role, and is never beyond what is on disk after a restart", () => {
    const replica = open(logOf(1, 1), { highWatermark: 9 });
    expect(replica.highWatermark).toBe(2);
    replica.onMetadata(TERM, NODES, 0);
    expect(replica.highWatermark).toBe(2);
    replica.onMetadata(LED_BY_2, NODES, 0);
    expect(replica.highWatermark).toBe(2);
  });
});
