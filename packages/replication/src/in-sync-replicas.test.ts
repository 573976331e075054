import { describe, expect, it } from "vitest";
import { InSyncReplicas } from "./in-sync-replicas.ts";
import type { PartitionTerm } from "./partition-term.ts";

const TERM: PartitionTerm = {
  leader: 1,
  leaderNodeEpoch: 11,
  leaderEpoch: 4,
  partitionEpoch: 7,
  replicas: [1, 2, 3],
  isr: [1, 2],
  eligibleReplicas: [],
  minInsyncReplicas: 2,
};

function begin(isr: readonly number[] = [1, 2]): InSyncReplicas {
  return new InSyncReplicas({ term: { ...TERM, isr }, retryBackoffMs: 100 });
}

const NOTHING_ELSE = { added: [], lostRecords: [] };

describe("the maximal ISR (R4)", () => {
  it("counts a joining replica at once, and commits it under the next partition epoch", () => {
    const isr = begin();
    const proposal = isr.propose({ isr: [1, 2, 3], added: [{ nodeId: 3, nodeEpoch: 13 }], lostRecords: [] });
    expect(proposal).toMatchObject({ leaderEpoch: 4, partitionEpoch: 7, isr: [1, 2, 3] });
    expect([...isr.maximal]).toEqual([1, 2, 3]);
    expect(isr.committed).toEqual([1, 2]);
    isr.settle(proposal.proposalId, { kind: "accepted", partitionEpoch: 8 }, 0);
    expect(isr.committed).toEqual([1, 2, 3]);
    expect(isr.term.partitionEpoch).toBe(8);
  });

  it("counts a leaving replica until its removal is known to be committed", () => {
    const isr = begin([1, 2, 3]);
    const proposal = isr.propose({ isr: [1, 2], ...NOTHING_ELSE });
    expect([...isr.maximal]).toEqual([1, 2, 3]);
    isr.settle(proposal.proposalId, { kind: "accepted", partitionEpoch: 8 }, 0);
    expect([...isr.maximal]).toEqual([1, 2]);
  });

  it.each([
    { kind: "unknown" },
    { kind: "refused", reason: "stale-partition-epoch" },
    { kind: "refused", reason: "ineligible-replica" },
  ] as const)("counts what may be committed after %o, until the partition epoch moves", (outcome) => {
    const isr = begin();
    const { proposalId } = isr.propose({ isr: [1, 2, 3], ...NOTHING_ELSE });
    isr.settle(proposalId, outcome, 0);
    expect([...isr.maximal]).toEqual([1, 2, 3]);
    expect(isr.hasUnknownOutcome).toBe(true);
    isr.adopt({ ...TERM, partitionEpoch: 8 });
    expect([...isr.maximal]).toEqual([1, 2]);
    expect(isr.hasUnknownOutcome).toBe(false);
  });

  it("proposes one change at a time, and waits after a refusal", () => {
    const isr = begin();
    const { proposalId } = isr.propose({ isr: [1], ...NOTHING_ELSE });
    expect(isr.mayPropose(0)).toBe(false);
    isr.settle(proposalId, { kind: "unknown" }, 1_000);
    expect(isr.mayPropose(1_099)).toBe(false);
    expect(isr.mayPropose(1_100)).toBe(true);
    const second = isr.propose({ isr: [1], ...NOTHING_ELSE });
    isr.settle(second.proposalId, { kind: "refused", reason: "stale-partition-epoch" }, 2_000);
    // The state has changed: what it is now comes with the metadata.
    expect(isr.mayPropose(1_000_000)).toBe(false);
    isr.adopt({ ...TERM, partitionEpoch: 8 });
    expect(isr.mayPropose(2_000)).toBe(true);
  });

  it("ignores outcomes of attempts that are settled, and states older than its own", () => {
    const isr = begin();
    const { proposalId } = isr.propose({ isr: [1], ...NOTHING_ELSE });
    isr.adopt({ ...TERM, isr: [1, 2, 3], partitionEpoch: 9 });
    expect(isr.settle(proposalId, { kind: "accepted", partitionEpoch: 8 }, 0)).toBe(false);
    isr.adopt({ ...TERM, isr: [1], partitionEpoch: 8 });
    expect(isr.committed).toEqual([1, 2, 3]);
  });
});
