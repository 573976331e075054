import { expect, test } from "vitest";
import { nextHighWatermark, type ReplicaProgress } from "./high-watermark.ts";

const alone: ReplicaProgress = {
  nodeId: 1,
  ownSyncedEndOffset: 50,
  followerSyncedEndOffsets: new Map(),
  maximalIsr: [1],
  committedIsrSize: 1,
  minInsyncReplicas: 1,
};

test("R4: a leader alone in its ISR advances to its own synced end", () => {
  expect(nextHighWatermark(10, alone)).toBe(50);
});

test("R4: the slowest member of the maximal ISR holds the high watermark", () => {
  const followerSyncedEndOffsets = new Map([
    [2, 40],
    [3, 45],
  ]);
  const progress = { ...alone, maximalIsr: [1, 2, 3], committedIsrSize: 3, followerSyncedEndOffsets };
  expect(nextHighWatermark(10, progress)).toBe(40);
});

test("R4: a member that has not acknowledged in this epoch holds the high watermark where it is", () => {
  expect(nextHighWatermark(10, { ...alone, maximalIsr: [1, 2], committedIsrSize: 1 })).toBe(10);
});

test("R4: it stands still below min.insync.replicas and never moves back", () => {
  expect(nextHighWatermark(10, { ...alone, minInsyncReplicas: 2 })).toBe(10);
  expect(nextHighWatermark(60, alone)).toBe(60);
});
