import { describe, expect, it } from "vitest";
import { divergingEpoch, logsAgree, truncationOffset } from "./log-agreement.ts";
import { logOf } from "./model/model-log.ts";
import { epochBefore, NO_EPOCH } from "./replica-log.ts";

describe("whether two logs agree (R3)", () => {
  it("goes by the epoch of the record before the offset", () => {
    const leader = logOf(1, 1, 2, 2, 4);
    expect(logsAgree(leader, 2, 1)).toBe(true);
    expect(logsAgree(leader, 4, 2)).toBe(true);
    expect(logsAgree(leader, 3, 1)).toBe(false);
    expect(logsAgree(leader, 5, 3)).toBe(false);
  });

  it("never says so of records that the leader does not have", () => {
    expect(logsAgree(logOf(1, 1), 3, 1)).toBe(false);
    expect(logsAgree(logOf(), 1, NO_EPOCH)).toBe(false);
  });

  it("takes an empty log for one that agrees", () => {
    expect(logsAgree(logOf(1, 1), 0, NO_EPOCH)).toBe(true);
    expect(logsAgree(logOf(), 0, NO_EPOCH)).toBe(true);
  });
});

/** Asks and truncates as leader and follower do; returns where the follower's log ends in the end. */
function settle(leaderEpochs: readonly number[], followerEpochs: readonly number[]): number {
  const leader = logOf(...leaderEpochs);
  const follower = logOf(...followerEpochs);
  for (let round = 0; round < 10; round += 1) {
    const { logEndOffset } = follower;
    const lastEpoch = epochBefore(follower, logEndOffset);
    if (logsAgree(leader, logEndOffset, lastEpoch)) return logEndOffset;
    const offset = truncationOffset(follower, divergingEpoch(leader, lastEpoch));
    expect(offset).toBeLessThan(logEndOffset);
    follower.truncateTo(offset);
  }
  throw new Error("the logs do not come to agree");
}

describe("truncation by leader epoch (R6)", () => {
  it.each([
    ["the follower is behind", [1, 1, 2], [1, 1], 2],
    ["the follower has an end that its leader lost", [1, 1], [1, 1, 1], 2],
    ["each led an epoch that the other does not know", [1, 1, 3, 3], [1, 1, 2, 2, 2], 2],
    ["the leader's epoch is shorter", [1, 2, 4, 4], [1, 2, 2, 3], 2],
    ["they parted several times (KIP-279)", [1, 2, 2, 2, 5], [1, 1, 3, 3, 4], 1],
    ["they have nothing in common", [2, 2], [1, 1, 1], 0],
    ["the leader's log is empty", [], [1, 1], 0],
  ])("keeps just what both have when %s", (_, leader, follower, end) => {
    expect(settle(leader, follower)).toBe(end);
  });

  it("keeps all that any two logs have in common, and nothing else", () => {
    const histories = [
      [],
      [1],
      [1, 1],
      [1, 2],
      [1, 1, 2],
      [1, 1, 3],
      [1, 2, 2, 4],
      [2, 2],
      [3, 3],
      [1, 2, 4],
      [1, 1, 3, 3],
    ];
    for (const leader of histories) {
      for (const follower of histories) {
        if (!canBothBe(leader, follower)) continue;
        const parted = leader.findIndex((epoch, offset) => follower[offset] !== epoch);
        const common = parted < 0 ? leader.length : parted;
        expect(settle(leader, follower), `${leader.join()} and ${follower.join()}`).toBe(common);
      }
    }
  });
});

/** One epoch has one leader: it begins at one offset, after one past. */
function canBothBe(leader: readonly number[], follower: readonly number[]): boolean {
  return leader.every((epoch) => {
    const start = follower.indexOf(epoch);
    if (start < 0) return true;
    return (
      leader.indexOf(epoch) === start && leader.slice(0, start).join() === follower.slice(0, start).join()
    );
  });
}
