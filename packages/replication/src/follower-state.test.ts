import { describe, expect, it } from "vitest";
import { FollowerState, type FollowerStateOptions } from "./follower-state.ts";
import { logOf, type ModelLog } from "./model/model-log.ts";
import type { PartitionTerm } from "./partition-term.ts";
import type { PositionAnswer, PositionOutcome, RecordsAnswer } from "./replication-messages.ts";

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

function follow(log: ModelLog, rest: Partial<FollowerStateOptions> = {}): FollowerState {
  let version = 0;
  return new FollowerState({
    node: { nodeId: 2, nodeEpoch: 12 },
    term: TERM,
    log,
    limits: { refusedBackoffMs: 50 },
    highWatermark: 0,
    hasLostRecords: false,
    nextPositionVersion: () => {
      version += 1;
      return version;
    },
    ...rest,
  });
}

function answer(outcome: PositionOutcome, change: Partial<PositionAnswer> = {}): PositionAnswer {
  const head = { leaderEpoch: 4, positionVersion: 1, highWatermark: 0, logStartOffset: 0, logEndOffset: 9 };
  return { ...head, ...change, outcome };
}

function records(baseOffset: number, nextOffset: number, change: Partial<RecordsAnswer> = {}): RecordsAnswer {
  const head = { leaderEpoch: 4, positionVersion: 1, highWatermark: 0, logStartOffset: 0, logEndOffset: 9 };
  return { ...head, baseOffset, nextOffset, ...change };
}

const ACCEPTED: PositionOutcome = { kind: "accepted" };

function followFrom(log: ModelLog): FollowerState {
  const follower = follow(log);
  follower.begin();
  follower.onPositionAnswer(answer(ACCEPTED), 0);
  expect(follower.phase).toBe("following");
  return follower;
}

describe("a follower that begins a term", () => {
  it("asks from its log's end, with its last epoch and what it has synced (R3)", () => {
    const log = logOf(1, 1);
    log.append({ epoch: 3, value: 1 });
    expect(follow(log).begin()).toEqual([
      {
        kind: "sendUpdate",
        update: {
          nodeId: 2,
          nodeEpoch: 12,
          leaderEpoch: 4,
          positionVersion: 1,
          position: { offset: 3, lastEpoch: 3 },
          acknowledgement: { syncedEndOffset: 2, lastEpoch: 1, logStartOffset: 0 },
        },
      },
    ]);
  });

  it("waits when there is no leader, or it is an earlier run of this node (R2)", () => {
    for (const leader of [-1, 2]) {
      const follower = follow(logOf(1), { term: { ...TERM, leader } });
      expect(follower.begin()).toEqual([]);
      expect(follower.phase).toBe("waiting");
    }
  });

  it("truncates by leader epoch and asks again (R6)", () => {
    const log = logOf(1, 1, 2, 2);
    const follower = follow(log);
    follower.begin();
    const diverging: PositionOutcome = { kind: "diverging", end: { epoch: 1, endOffset: 5 } };
    expect(follower.onPositionAnswer(answer(diverging), 0)).toEqual([
      { kind: "truncate", offset: 2, reason: "diverged", isBelowHighWatermark: false },
    ]);
    expect(follower.onLogProgress()).toEqual([]);
    log.truncateTo(2);
    expect(follower.onTruncated()).toMatchObject([
      { update: { positionVersion: 2, position: { offset: 2, lastEpoch: 1 } } },
    ]);
  });

  it("begins anew where the leader's log begins when it is too far behind", () => {
    const log = logOf(1, 1);
    const follower = follow(log);
    follower.begin();
    const effects = follower.onPositionAnswer(answer({ kind: "outOfRange", restartOffset: 6 }), 0);
    expect(effects).toEqual([{ kind: "restartAt", offset: 6 }]);
    // Its old records may not be the leader's: none is shown as committed.
    expect(follower.highWatermark).toBe(0);
    log.restartAt(6);
    expect(follower.onTruncated()).toMatchObject([{ update: { position: { offset: 6, lastEpoch: -1 } } }]);
    expect(follower.highWatermark).toBe(6);
  });

  it("stops when the leader's answer leaves nothing to truncate", () => {
    const follower = follow(logOf(1, 1));
    follower.begin();
    const diverging: PositionOutcome = { kind: "diverging", end: { epoch: 1, endOffset: 5 } };
    expect(follower.onPositionAnswer(answer(diverging), 0)).toMatchObject([{ kind: "cannotFollow" }]);
    expect(follower.phase).toBe("failed");
  });

  it("asks again after a refusal, when some time has passed", () => {
    const follower = follow(logOf(1));
    follower.begin();
    follower.onPositionAnswer(answer({ kind: "refused", reason: "unknown-leader-epoch" }), 1_000);
    expect(follower.onTick(1_049)).toEqual([]);
    expect(follower.onTick(1_050)).toMatchObject([{ kind: "sendUpdate", update: { positionVersion: 2 } }]);
  });
});

describe("a follower that follows", () => {
  it("takes records that continue its log, and nothing twice", () => {
    const log = logOf(1, 1);
    const follower = followFrom(log);
    expect(follower.onRecords(records(2, 4))).toEqual([
      { kind: "appendRecords", baseOffset: 2, nextOffset: 4 },
    ]);
    log.append({ epoch: 4, value: 1 });
    log.append({ epoch: 4, value: 2 });
    expect(follower.onRecords(records(2, 4))).toEqual([]);
  });

  it("begins anew where the leader's batch begins when its own start lies inside it", () => {
    const log = logOf(1, 1, 1);
    log.deleteBefore(3);
    const follower = followFrom(log);
    expect(follower.onRecords(records(1, 6))).toEqual([{ kind: "restartAt", offset: 1 }]);
    expect(follower.phase).toBe("truncating");
  });

  it("asks anew when records are missing in between (R12)", () => {
    const follower = followFrom(logOf(1, 1));
    expect(follower.onRecords(records(3, 4))).toMatchObject([
      { kind: "sendUpdate", update: { positionVersion: 2, position: { offset: 2 } } },
    ]);
  });

  it.each([
    ["another epoch", { leaderEpoch: 3 }],
    ["an older position", { positionVersion: 0 }],
  ])("drops what belongs to %s (R2)", (_, change) => {
    expect(followFrom(logOf(1, 1)).onRecords(records(2, 4, change))).toEqual([]);
  });

  it("acknowledges what is synced, and says nothing twice", () => {
    const log = logOf(1);
    const follower = followFrom(log);
    log.append({ epoch: 4, value: 1 });
    expect(follower.onLogProgress()).toEqual([]);
    log.sync(2);
    expect(follower.onLogProgress()).toMatchObject([
      { update: { acknowledgement: { syncedEndOffset: 2, lastEpoch: 4 } } },
    ]);
    expect(follower.onLogProgress()).toEqual([]);
  });

  it("shows no more than it has on disk, and deletes what the leader has deleted (R14)", () => {
    const follower = followFrom(logOf(1, 1, 1));
    const effects = follower.onRecords(records(3, 3, { highWatermark: 7, logStartOffset: 2 }));
    expect(effects).toEqual([
      { kind: "advanceHighWatermark", highWatermark: 3 },
      { kind: "deleteRecordsBefore", offset: 2 },
    ]);
  });

  it("shows what it was told to be committed as soon as that is on disk, without being told again", () => {
    const log = logOf(1, 1, 1);
    const follower = followFrom(log);
    follower.onRecords(records(3, 4, { highWatermark: 5, logStartOffset: 4 }));
    expect(follower.highWatermark).toBe(3);
    log.append({ epoch: 4, value: 4 });
    log.append({ epoch: 4, value: 5 });
    log.sync(5);
    expect(follower.onLogProgress()).toMatchObject([
      { kind: "sendUpdate" },
      { kind: "advanceHighWatermark", highWatermark: 5 },
      { kind: "deleteRecordsBefore", offset: 4 },
    ]);
  });

  it("says all again on a new stream", () => {
    const follower = followFrom(logOf(1));
    expect(follower.onConnected()).toMatchObject([
      { update: { positionVersion: 2, position: { offset: 1 } } },
    ]);
  });
});

describe("a damaged follower (R12)", () => {
  it("cuts the damage once its leader is known to have the records, and then gets them again", () => {
    const log = logOf(1, 1, 1, 1);
    const follower = follow(log, { highWatermark: 4, damagedFrom: 1, hasLostRecords: true });
    // Nothing is acknowledged until it is whole: its leader would take it in before.
    expect(follower.begin()).toMatchObject([{ update: { acknowledgement: { syncedEndOffset: 0 } } }]);
    expect(follower.onPositionAnswer(answer(ACCEPTED, { logEndOffset: 4 }), 0)).toEqual([
      { kind: "truncate", offset: 1, reason: "damaged", isBelowHighWatermark: true },
    ]);
    log.truncateTo(1);
    follower.onTruncated();
    follower.onPositionAnswer(answer(ACCEPTED, { positionVersion: 2, logEndOffset: 3 }), 0);
    log.append({ epoch: 1, value: 101 });
    log.sync(2);
    follower.onLogProgress();
    expect(follower.hasLostRecords).toBe(true);
    log.append({ epoch: 1, value: 102 });
    log.sync(3);
    expect(follower.onLogProgress()).toMatchObject([
      { kind: "damageRepaired" },
      { kind: "sendUpdate", update: { acknowledgement: { syncedEndOffset: 3 } } },
    ]);
    expect(follower.hasLostRecords).toBe(false);
  });
});
