import assert from "node:assert/strict";
import { decodeBatches, encodeControlBatch } from "@ottla/records";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { SegmentedLog } from "./segmented-log.ts";
import { replicate, TestLog } from "./test-log.ts";
import { verifyLog } from "./verify-log.ts";

/** Two replicas: one leads and the other follows, until they change places. */
interface Pair {
  readonly fixtures: readonly [TestLog, TestLog];
  readonly logs: [SegmentedLog, SegmentedLog];
  leader: 0 | 1;
  epoch: number;
  ownerEpoch: number;
  /** All that was ever on both: what a high watermark stands for. */
  committed: number;
}

type Step =
  | { readonly kind: "append"; readonly counts: readonly number[] }
  | { readonly kind: "fence" }
  | { readonly kind: "follow" }
  | { readonly kind: "deleteRecords"; readonly share: number }
  | { readonly kind: "diverge"; readonly count: number }
  | { readonly kind: "truncate"; readonly share: number }
  | { readonly kind: "reopen"; readonly who: 0 | 1; readonly how: "close" | "power cut" }
  | { readonly kind: "swap"; readonly writes: boolean }
  | { readonly kind: "beginEpoch" };

const share = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      counts: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
    }),
  },
  fc.record({ kind: fc.constant("fence" as const) }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("follow" as const) }) },
  fc.record({ kind: fc.constant("deleteRecords" as const), share }),
  fc.record({ kind: fc.constant("diverge" as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constant("truncate" as const), share }),
  fc.record({
    kind: fc.constant("reopen" as const),
    who: fc.constantFrom(0 as const, 1 as const),
    how: fc.constantFrom("close" as const, "power cut" as const),
  }),
  fc.record({ kind: fc.constant("swap" as const), writes: fc.boolean() }),
  fc.record({ kind: fc.constant("beginEpoch" as const) }),
);

function leaderOf(pair: Pair): SegmentedLog {
  return pair.logs[pair.leader];
}

function followerOf(pair: Pair): SegmentedLog {
  return pair.logs[1 - pair.leader] as SegmentedLog;
}

/** What the state machines do with their effects: find where both agree (R6), copy, follow the log start. */
async function follow(pair: Pair): Promise<void> {
  const [leader, follower] = [leaderOf(pair), followerOf(pair)];
  for (let asks = 0; ; asks += 1) {
    assert.ok(asks < 100, "the follower never agrees with its leader");
    const offset = follower.logEndOffset;
    const lastEpoch = offset > follower.logStartOffset ? follower.leaderEpochAt(offset - 1) : undefined;
    const isInFirstBatch = offset > leader.firstBatchOffset && offset <= leader.logStartOffset;
    const isUnknown = offset <= leader.logStartOffset && lastEpoch !== undefined;
    if (offset < leader.firstBatchOffset || isUnknown || isInFirstBatch) {
      await follower.truncateFullyAndStartAt(leader.firstBatchOffset);
      continue;
    }
    const agrees =
      offset <= leader.logEndOffset &&
      (lastEpoch === undefined || leader.leaderEpochAt(offset - 1) === lastEpoch);
    if (agrees) break;
    const end = lastEpoch === undefined ? undefined : leader.endOffsetForEpoch(lastEpoch);
    const own = end && follower.endOffsetForEpoch(end.epoch)?.endOffset;
    const cut = Math.min(own ?? leader.logStartOffset, end?.endOffset ?? leader.logStartOffset);
    await follower.truncateTo(Math.max(cut, follower.logStartOffset));
  }
  await replicate(leader, follower);
  if (leader.logStartOffset <= follower.logEndOffset)
    await follower.deleteRecordsBefore(leader.logStartOffset);
  pair.committed = Math.max(pair.committed, follower.syncedEndOffset);
}

async function lead(pair: Pair, texts: readonly string[]): Promise<void> {
  const fixture = pair.fixtures[pair.leader];
  const log = leaderOf(pair);
  const { epoch, ownerEpoch } = pair;
  const options = { leaderEpoch: epoch, validated: false, origin: "coordinator" } as const;
  log.append(fixture.batch(texts), log.ownerEpoch < 0 ? options : { ...options, ownerEpoch: log.ownerEpoch });
  assert.ok(log.ownerEpoch <= ownerEpoch);
  await log.flush();
}

async function take(pair: Pair, command: Step): Promise<void> {
  const leader = leaderOf(pair);
  switch (command.kind) {
    case "append":
      for (const count of command.counts)
        await lead(
          pair,
          Array.from({ length: count }, (_, index) => `${pair.epoch}:${index}${"x".repeat(30)}`),
        );
      return;
    case "fence": {
      pair.ownerEpoch += 1;
      const { epoch, ownerEpoch } = pair;
      leader.append(encodeControlBatch({ type: "owner", ownerEpoch }, { timestampMs: 1 }), {
        leaderEpoch: epoch,
        validated: false,
        origin: "coordinator",
        ownerEpoch,
        beginsOwnership: true,
      });
      return leader.flush();
    }
    case "follow":
      return follow(pair);
    case "deleteRecords": {
      const limit = Math.min(pair.committed, leader.logEndOffset);
      const range = Math.max(limit - leader.logStartOffset, 0);
      await leader.deleteRecordsBefore(leader.logStartOffset + Math.floor(range * command.share));
      return;
    }
    case "diverge": {
      // The follower believes for a while that it leads, in an epoch that nobody else hears of.
      pair.leader = pair.leader === 0 ? 1 : 0;
      pair.epoch += 1;
      leaderOf(pair).beginLeaderEpoch(pair.epoch);
      if (command.count > 1)
        await lead(
          pair,
          Array.from({ length: command.count }, () => "diverged"),
        );
      // The next leader has records of older epochs that the one in between has never seen.
      pair.leader = pair.leader === 0 ? 1 : 0;
      pair.epoch += 1;
      leader.beginLeaderEpoch(pair.epoch);
      return;
    }
    case "truncate": {
      const follower = followerOf(pair);
      const range = Math.max(follower.logEndOffset - follower.logStartOffset, 0);
      await follower.truncateTo(follower.logStartOffset + Math.floor(range * command.share));
      return;
    }
    case "reopen":
      return reopen(pair, command.who, command.how);
    case "swap":
      await follow(pair);
      pair.leader = pair.leader === 0 ? 1 : 0;
      pair.epoch += 1;
      leaderOf(pair).beginLeaderEpoch(pair.epoch);
      if (command.writes) await lead(pair, ["first of its epoch"]);
      return;
    case "beginEpoch":
      pair.epoch += 1;
      leader.beginLeaderEpoch(pair.epoch);
      return;
    default:
      return command satisfies never;
  }
}

async function reopen(pair: Pair, who: 0 | 1, how: "close" | "power cut"): Promise<void> {
  const fixture = pair.fixtures[who];
  const log = pair.logs[who];
  const { ownerEpoch, logStartOffset } = log;
  if (how === "close") await log.close();
  else {
    fixture.disk.crash();
    await log.abandon();
  }
  assert.deepEqual((await verifyLog(fixture.directory, fixture.disk)).errorCount, 0);
  const reopened = await fixture.open({ cleanShutdown: how === "close" });
  pair.logs[who] = reopened;
  assert.deepEqual([reopened.ownerEpoch, reopened.logStartOffset], [ownerEpoch, logStartOffset]);
  assert.deepEqual(reopened.damagedFrom, undefined);
}

/** Every byte from the first batch on, and all that is remembered beside the log. */
async function storedIn(log: SegmentedLog) {
  const chunks: Uint8Array[] = [];
  let offset = log.firstBatchOffset;
  while (offset < log.writtenEndOffset) {
    const read = await log.read(offset, { maxBytes: 500, endOffset: log.writtenEndOffset, forReplica: true });
    chunks.push(...read.chunks);
    offset = read.nextOffset;
  }
  const bytes = Buffer.concat(chunks);
  const epochs = [...decodeBatches(bytes)].map((record) =>
    log.leaderEpochAt(Math.max(record.offset, log.logStartOffset)),
  );
  const { logStartOffset, logEndOffset, firstBatchOffset } = log;
  return { bytes: bytes.toString("hex"), epochs, logStartOffset, logEndOffset, firstBatchOffset };
}

test("a follower has its leader's log, byte for byte, whatever happened to both", async () => {
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 50, size: "max" }),
    fc.integer({ min: 400, max: 2000 }),
    fc.constantFrom(0, 600, 1e6),
    async (steps, segmentBytes, tailCacheBytes) => {
      const fixtures = [0, 1].map(
        () => new TestLog({ segmentBytes, indexIntervalBytes: 100 }, { tailCacheBytes }),
      );
      const [one, two] = fixtures as [TestLog, TestLog];
      const pair: Pair = {
        fixtures: [one, two],
        logs: [await one.open(), await two.open()],
        leader: 0,
        epoch: 1,
        ownerEpoch: 0,
        committed: 0,
      };
      leaderOf(pair).beginLeaderEpoch(1);
      for (const command of steps) await take(pair, command);
      // Whoever leads now has begun a newer epoch than any that the follower saw alone.
      pair.epoch += 1;
      leaderOf(pair).beginLeaderEpoch(pair.epoch);
      await lead(pair, ["last"]);
      await follow(pair);
      assert.deepEqual(await storedIn(followerOf(pair)), await storedIn(leaderOf(pair)));
      await reopen(pair, pair.leader === 0 ? 1 : 0, "power cut");
      assert.deepEqual(await storedIn(followerOf(pair)), await storedIn(leaderOf(pair)));
    },
  );
  const numRuns = Number(process.env["LOG_MODEL_RUNS"] ?? 60);
  await expect(fc.assert(property, { numRuns })).resolves.toBeUndefined();
});
