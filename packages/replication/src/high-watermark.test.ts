import { describe, expect, it } from "vitest";
import { nextHighWatermark, type ReplicaProgress } from "./high-watermark.ts";

function progress(
  ends: Readonly<Record<number, number>>,
  change: Partial<ReplicaProgress> = {},
): ReplicaProgress {
  return {
    nodeId: 1,
    ownSyncedEndOffset: 10,
    acknowledgedEndOffset: (nodeId) => ends[nodeId],
    maximalIsr: new Set([1, 2, 3]),
    committedIsrSize: 3,
    minInsyncReplicas: 2,
    ...change,
  };
}

describe("the high watermark (R4)", () => {
  it("is the smallest synced end over the maximal ISR, the leader's own included", () => {
    expect(nextHighWatermark(0, progress({ 2: 7, 3: 9 }))).toBe(7);
    expect(nextHighWatermark(0, progress({ 2: 17, 3: 19 }))).toBe(10);
  });

  it("waits for a member that has acknowledged nothing in this epoch", () => {
    expect(nextHighWatermark(3, progress({ 2: 7 }))).toBe(3);
  });

  it("does not ask who is not in the ISR", () => {
    const maximalIsr = new Set([1, 2]);
    expect(nextHighWatermark(0, progress({ 2: 7 }, { maximalIsr, committedIsrSize: 2 }))).toBe(7);
  });

  it("stays while the committed ISR is smaller than min.insync.replicas, whoever may have joined", () => {
    expect(nextHighWatermark(2, progress({ 2: 7, 3: 9 }, { committedIsrSize: 1 }))).toBe(2);
  });

  it("never goes back", () => {
    expect(nextHighWatermark(9, progress({ 2: 7, 3: 9 }))).toBe(9);
  });
});
