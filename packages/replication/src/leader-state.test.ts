import { describe, expect, it } from "vitest";
import type { LeaderEffect } from "./leader-effects.ts";
import { LeaderState, type LeaderStateOptions } from "./leader-state.ts";
import { logOf, type ModelLog } from "./model/model-log.ts";
import type { PartitionTerm } from "./partition-term.ts";
import { epochBefore } from "./replica-log.ts";
import type { FollowerUpdate } from "./replication-messages.ts";

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

function lead(
  log: ModelLog,
  change: Partial<PartitionTerm> = {},
  rest: Partial<LeaderStateOptions> = {},
): LeaderState {
  const leader = new LeaderState({
    node: { nodeId: 1, nodeEpoch: 11 },
    term: { ...TERM, ...change },
    nodes: NODES,
    log,
    limits: { replicaLagTimeMaxMs: 1_000, isrRetryBackoffMs: 100 },
    highWatermark: 0,
    hasLease: true,
    nowMs: 0,
    ...rest,
  });
  log.beginEpoch(leader.leaderEpoch);
  leader.begin();
  return leader;
}

/** A follower that has the leader's log up to `end` and asks from there. */
function ask(
  log: ModelLog,
  nodeId: number,
  end: number,
  change: Partial<FollowerUpdate> = {},
): FollowerUpdate {
  const lastEpoch = epochBefore(log, end);
  return {
    nodeId,
    nodeEpoch: nodeId + 10,
    leaderEpoch: 4,
    positionVersion: 1,
    position: { offset: end, lastEpoch },
    acknowledgement: { syncedEndOffset: end, lastEpoch, logStartOffset: 0 },
    ...change,
  };
}

function acknowledge(log: ModelLog, nodeId: number, end: number): FollowerUpdate {
  const { position: _, ...update } = ask(log, nodeId, end);
  return update;
}

function kinds(effects: readonly LeaderEffect[]): string[] {
  return effects.map((effect) => {
    return effect.kind === "answerPosition" || effect.kind === "refuseUpdate"
      ? `${effect.kind} ${effect.answer.outcome.kind}`
      : effect.kind;
  });
}

function proposed(effects: readonly LeaderEffect[]) {
  return effects.flatMap((effect) => (effect.kind === "proposeIsr" ? [effect.proposal] : []))[0];
}

describe("a leader's high watermark", () => {
  it("advances with the slowest of the ISR (R4)", () => {
    const log = logOf(1, 1, 3);
    const leader = lead(log);
    expect(kinds(leader.onFollowerUpdate(ask(log, 2, 3), 0))).toEqual(["answerPosition accepted"]);
    expect(leader.highWatermark).toBe(0);
    expect(kinds(leader.onFollowerUpdate(ask(log, 3, 2), 0))).toEqual([
      "answerPosition accepted",
      "advanceHighWatermark",
    ]);
    expect(leader.highWatermark).toBe(2);
    leader.onFollowerUpdate(acknowledge(log, 3, 3), 0);
    expect(leader.highWatermark).toBe(3);
  });

  it("tells nobody the latest offset before it has reached the start of the epoch (R5)", () => {
    const log = logOf(1, 1, 3);
    const leader = lead(log, { isr: [1, 2] }, { highWatermark: 1 });
    expect(leader.latestOffset()).toBeUndefined();
    leader.onFollowerUpdate(ask(log, 2, 3), 0);
    expect(leader.latestOffset()).toBe(3);
  });

  it("counts neither what its own log lacks nor what belongs to a position it refused (R3)", () => {
    const log = logOf(1, 1, 3);
    const leader = lead(log, { isr: [1, 2] });
    const other = { syncedEndOffset: 3, lastEpoch: 2, logStartOffset: 0 };
    const wrong = ask(log, 2, 3, { position: { offset: 3, lastEpoch: 2 }, acknowledgement: other });
    const effects = leader.onFollowerUpdate(wrong, 0);
    expect(effects).toMatchObject([
      { kind: "answerPosition", answer: { outcome: { kind: "diverging", end: { epoch: 1, endOffset: 2 } } } },
    ]);
    leader.onFollowerUpdate(acknowledge(log, 2, 3), 0);
    expect(leader.acknowledgedEndOffset(2)).toBeUndefined();
    expect(leader.highWatermark).toBe(0);
  });

  it("is not moved by acknowledgements that were overtaken on their way", () => {
    const log = logOf(1, 1, 1);
    const leader = lead(log, { isr: [1, 2] });
    leader.onFollowerUpdate(ask(log, 2, 3), 0);
    leader.onFollowerUpdate(acknowledge(log, 2, 1), 0);
    expect(leader.acknowledgedEndOffset(2)).toBe(3);
  });
});

describe("a leader and stale words (R2)", () => {
  it.each([
    ["an older epoch", { leaderEpoch: 3 }, "fenced-leader-epoch"],
    ["a newer epoch", { leaderEpoch: 5 }, "unknown-leader-epoch"],
    ["a former registration", { nodeEpoch: 5 }, "stale-node-epoch"],
    ["a node that is no replica", { nodeId: 9 }, "not-a-replica"],
  ] as const)("refuses %s", (_, change, reason) => {
    const log = logOf(1, 1);
    const leader = lead(log);
    const update = ask(log, 2, 2, change);
    const { leaderEpoch } = update;
    const effects = leader.onFollowerUpdate(update, 0);
    // With the epoch of the update, or the follower would drop it and wait for ever.
    expect(effects).toMatchObject([
      { kind: "refuseUpdate", answer: { leaderEpoch, outcome: { kind: "refused", reason } } },
    ]);
    expect(leader.acknowledgedEndOffset(2)).toBeUndefined();
  });

  it("sends a follower back to the log start when nobody can tell any more whether it agrees", () => {
    const log = logOf(1, 1, 3);
    log.deleteBefore(2);
    const leader = lead(log);
    expect(kinds(leader.onFollowerUpdate(ask(log, 2, 1), 0))).toEqual(["answerPosition outOfRange"]);
    const atStart = ask(log, 3, 2, { position: { offset: 2, lastEpoch: 1 } });
    expect(kinds(leader.onFollowerUpdate(atStart, 0))).toEqual(["answerPosition outOfRange"]);
  });
});

describe("a log start inside a batch", () => {
  it("makes followers start anew where the batch begins, and takes them in from there (R14)", () => {
    const log = Object.assign(logOf(1, 1, 1, 1), { firstBatchOffset: 1 });
    log.deleteBefore(2);
    const leader = lead(log, { isr: [1, 3] });
    const empty = { syncedEndOffset: 0, lastEpoch: -1, logStartOffset: 0 };
    const none = ask(log, 2, 0, { position: { offset: 0, lastEpoch: -1 }, acknowledgement: empty });
    expect(leader.onFollowerUpdate(none, 0)).toMatchObject([
      { answer: { outcome: { kind: "outOfRange", restartOffset: 1 }, logStartOffset: 2 } },
    ]);
    const within = { ...none, positionVersion: 2, position: { offset: 2, lastEpoch: -1 } };
    expect(leader.onFollowerUpdate(within, 0)).toMatchObject([
      { answer: { outcome: { kind: "outOfRange", restartOffset: 1 } } },
    ]);
    const anew = { ...none, positionVersion: 3, position: { offset: 1, lastEpoch: -1 } };
    expect(leader.onFollowerUpdate(anew, 0)).toMatchObject([
      { fromOffset: 1, answer: { outcome: { kind: "accepted" } } },
    ]);
  });
});

describe("a leader's ISR", () => {
  it("loses who was not at the log's end for replica.lag.time.max.ms, and only then", () => {
    const log = logOf(1, 1);
    const leader = lead(log);
    leader.onFollowerUpdate(ask(log, 2, 2), 0);
    expect(proposed(leader.onTick(1_000))).toBeUndefined();
    expect(proposed(leader.onTick(1_001))).toMatchObject({ isr: [1, 2], partitionEpoch: 7, lostRecords: [] });
  });

  it("keeps a follower that had everything until the leader appended, however long nothing was said", () => {
    const log = logOf(1, 1);
    const leader = lead(log);
    for (const nodeId of [2, 3]) leader.onFollowerUpdate(ask(log, nodeId, 2), 0);
    log.append({ epoch: 4, value: 1 });
    leader.onLogProgress(1_000_000);
    expect(proposed(leader.onTick(1_001_000))).toBeUndefined();
    expect(proposed(leader.onTick(1_001_001))).toMatchObject({ isr: [1] });
  });

  it("needs time to pass only while a follower lags, waits outside, or an outcome is unknown", () => {
    const log = logOf(1, 1);
    const leader = lead(log);
    expect(leader.needsTicks).toBe(true);
    for (const nodeId of [2, 3]) leader.onFollowerUpdate(ask(log, nodeId, 2), 0);
    expect(leader.needsTicks).toBe(false);
    log.append({ epoch: 4, value: 1 });
    leader.onLogProgress(0);
    expect(leader.needsTicks).toBe(true);
    leader.onFollowerUpdate(acknowledge(log, 2, 3), 0);
    expect(leader.needsTicks).toBe(true);
    const proposal = proposed(leader.onTick(1_001));
    leader.onIsrOutcome(proposal?.proposalId ?? 0, { kind: "unknown" }, 1_001);
    leader.onFollowerUpdate(acknowledge(log, 3, 3), 1_002);
    expect(leader.needsTicks).toBe(true);
    // Out of the ISR, it may come back when it was put off for long enough.
    leader.onTerm({ ...TERM, isr: [1, 2], partitionEpoch: 8 }, 1_003);
    expect(leader.needsTicks).toBe(true);
    leader.onTerm({ ...TERM, partitionEpoch: 9 }, 1_004);
    expect(leader.needsTicks).toBe(false);
  });

  it("needs no time to pass for who is outside and says nothing", () => {
    const log = logOf(1, 1);
    const leader = lead(log, { isr: [1, 2] });
    leader.onFollowerUpdate(ask(log, 2, 2), 0);
    expect(leader.needsTicks).toBe(false);
  });

  it("takes in who has reached both the high watermark and the start of the epoch (R7)", () => {
    const log = logOf(1, 1, 3);
    const leader = lead(log, { isr: [1, 2] });
    expect(proposed(leader.onFollowerUpdate(ask(log, 3, 2), 0))).toBeUndefined();
    const proposal = proposed(leader.onFollowerUpdate(acknowledge(log, 3, 3), 0));
    expect(proposal).toMatchObject({ isr: [1, 2, 3], added: [{ nodeId: 3, nodeEpoch: 13 }] });
    expect([...leader.maximalIsr]).toEqual([1, 2, 3]);
  });

  it("does not take in who could not stay", () => {
    const log = logOf(1, 1);
    const leader = lead(log, { isr: [1, 2] });
    log.append({ epoch: 4, value: 1 });
    leader.onLogProgress(0);
    expect(proposed(leader.onFollowerUpdate(ask(log, 2, 2), 1_500))).toMatchObject({ isr: [1] });
    const other = lead(log, { isr: [1, 2] });
    expect(proposed(other.onFollowerUpdate(ask(log, 3, 3), 1_500))).toMatchObject({ isr: [1, 3] });
  });

  it("does not take in who is fenced, or registered in another way than it is known (R7)", () => {
    for (const nodes of [new Map([[1, 11]]), new Map([[3, 12]])]) {
      const log = logOf(1, 1);
      const leader = lead(log, { isr: [1, 2] }, { nodes });
      expect(proposed(leader.onFollowerUpdate(ask(log, 3, 2), 0))).toBeUndefined();
      expect(proposed(leader.onNodes(NODES, 0))).toMatchObject({ isr: [1, 2, 3] });
    }
  });

  it("takes nobody in again for a while who was taken out or refused, so that the rest goes on", () => {
    const log = logOf(1, 1, 3);
    const limits = { replicaLagTimeMaxMs: 10_000, isrRetryBackoffMs: 100, rejoinDelayMs: 1_000 };
    const leader = lead(log, {}, { limits });
    leader.onFollowerUpdate(ask(log, 2, 3), 0);
    leader.onFollowerUpdate(ask(log, 3, 3), 0);
    // Node 3 is about to stop: the coordinator has taken it out, and it still has everything.
    const without3 = { ...TERM, isr: [1, 2], partitionEpoch: 8 };
    expect(proposed(leader.onTerm(without3, 5_000))).toBeUndefined();
    expect(proposed(leader.onTick(5_900))).toBeUndefined();
    const again = proposed(leader.onTick(6_000));
    expect(again?.added).toEqual([{ nodeId: 3, nodeEpoch: 13 }]);
    const refused = { kind: "refused", reason: "ineligible-replica" } as const;
    expect(proposed(leader.onIsrOutcome(again?.proposalId ?? -1, refused, 6_010))).toBeUndefined();
    expect(leader.isr.hasUnknownOutcome).toBe(true);
    // The next attempt only settles what is unknown.
    expect(proposed(leader.onTick(6_200))).toMatchObject({ isr: [1, 2], added: [] });
  });

  it("gives up at once who acknowledges less than the high watermark, and not as eligible (R12)", () => {
    const log = logOf(1, 1, 1);
    const leader = lead(log);
    for (const nodeId of [2, 3]) leader.onFollowerUpdate(ask(log, nodeId, 3), 0);
    const effects = leader.onFollowerUpdate(ask(log, 3, 1, { positionVersion: 2 }), 0);
    expect(proposed(effects)).toMatchObject({ isr: [1, 2], lostRecords: [3] });
    expect(leader.highWatermark).toBe(3);
  });

  it("is not changed without a lease (R10), and acks=all go on", () => {
    const log = logOf(1, 1);
    const leader = lead(log);
    leader.onLease(false, 0);
    expect(proposed(leader.onTick(5_000))).toBeUndefined();
    expect(leader.refuseAppend("all")).toBeUndefined();
    expect(leader.refuseAppend("leader")?.code).toBe("NOT_LEADER_OR_FOLLOWER");
    expect(proposed(leader.onLease(true, 5_000))).toMatchObject({ isr: [1] });
  });

  it("is proposed unchanged after an unknown outcome, to find out", () => {
    const log = logOf(1, 1);
    const leader = lead(log, { isr: [1, 2] });
    leader.onFollowerUpdate(ask(log, 2, 2), 0);
    const proposal = proposed(leader.onFollowerUpdate(ask(log, 3, 2), 0));
    leader.onIsrOutcome(proposal?.proposalId ?? 0, { kind: "unknown" }, 0);
    leader.onNodes(new Map([[2, 12]]), 0);
    expect(proposed(leader.onTick(100))).toMatchObject({ isr: [1, 2], partitionEpoch: 7 });
    expect([...leader.maximalIsr]).toEqual([1, 2, 3]);
  });
});

describe("a leader's term", () => {
  it("refuses acks=all while too few are in sync (R4)", () => {
    const leader = lead(logOf(1), { isr: [1] });
    expect(leader.refuseAppend("all")?.code).toBe("NOT_ENOUGH_REPLICAS");
    expect(leader.refuseAppend("leader")).toBeUndefined();
    expect(leader.highWatermark).toBe(0);
    const changed = { ...TERM, isr: [1], minInsyncReplicas: 1, partitionEpoch: 8 };
    expect(kinds(leader.onTerm(changed, 0))).toEqual(["advanceHighWatermark"]);
  });

  it("fails all who wait when it ends, once, and does nothing after (R15)", () => {
    const log = logOf(1, 1);
    const leader = lead(log);
    expect(kinds(leader.end("over"))).toEqual(["failWaiters"]);
    expect(leader.end("over")).toEqual([]);
    expect(kinds(leader.onFollowerUpdate(ask(log, 2, 2), 0))).toEqual(["refuseUpdate refused"]);
    expect(leader.refuseAppend("all")?.code).toBe("NOT_LEADER_OR_FOLLOWER");
    expect(leader.onTick(10_000)).toEqual([]);
  });

  it("ends when the coordinator says that there is a newer one", () => {
    const log = logOf(1, 1);
    const leader = lead(log, { isr: [1, 2] });
    const proposal = proposed(leader.onFollowerUpdate(ask(log, 3, 2), 0));
    const outcome = { kind: "refused", reason: "fenced-leader-epoch" } as const;
    expect(kinds(leader.onIsrOutcome(proposal?.proposalId ?? 0, outcome, 0))).toEqual([
      "failWaiters",
      "resign",
    ]);
  });

  it("answers DeleteRecords when all in-sync replicas have the log start (R14)", () => {
    const log = logOf(1, 1, 1);
    const leader = lead(log, { isr: [1, 2] });
    leader.onFollowerUpdate(ask(log, 2, 3), 0);
    log.deleteBefore(2);
    expect(leader.onLogProgress(0)).toEqual([]);
    const update = acknowledge(log, 2, 3);
    const acknowledgement = { ...update.acknowledgement, logStartOffset: 2 };
    expect(leader.onFollowerUpdate({ ...update, acknowledgement }, 0)).toEqual([
      { kind: "advanceLowWatermark", logStartOffset: 2 },
    ]);
  });
});

describe("how far replicas are behind", () => {
  it("counts for a replica that is being added from the moment that it was", () => {
    const log = logOf(1, 1, 3);
    const leader = lead(log, { replicas: [1, 2], isr: [1, 2] });
    leader.onTerm({ ...TERM, isr: [1, 2], partitionEpoch: 8 }, 70_000);
    leader.onFollowerUpdate(ask(log, 3, 1), 70_500);
    const added = leader.replicaLags(71_000).find(({ nodeId }) => nodeId === 3);
    expect([added?.syncedEndOffset, added?.lagMs]).toEqual([1, 1_000]);
  });
});
