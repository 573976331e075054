import assert from "node:assert/strict";
import { type Compression, decodeBatches, encodeBatch } from "@ottla/records";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { SegmentedLog } from "../segmented-log.ts";
import { replicate, TestLog } from "../test-log.ts";
import { verifyLog } from "../verify-log.ts";
import { CompactionPace } from "./compaction-pace.ts";

interface Stored {
  readonly key: string | null;
  readonly value: string | null;
  readonly timestampMs: number;
}

type Step =
  | {
      readonly kind: "append";
      readonly records: readonly (readonly [number, number | null])[];
      readonly producer: number;
      readonly compression: Compression;
    }
  | { readonly kind: "compact"; readonly share: number; readonly mapBytes: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "close" }
  | {
      readonly kind: "crash";
      readonly turns: number;
      readonly unsynced: "kept" | "random";
      readonly mapBytes: number;
    }
  | { readonly kind: "truncate"; readonly share: number }
  | { readonly kind: "deleteRecords"; readonly share: number }
  | { readonly kind: "read" };

const DELETE_RETENTION_MS = 1000;
const share = fc.double({ min: 0, max: 1, noNaN: true });
const mapBytes = fc.constantFrom(60, 150, 10_000);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      records: fc.array(fc.tuple(fc.nat(6), fc.option(fc.nat(99), { freq: 4 })), {
        minLength: 1,
        maxLength: 5,
      }),
      producer: fc.integer({ min: -1, max: 2 }),
      compression: fc.constantFrom("none" as const, "none" as const, "lz4" as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("compact" as const), share, mapBytes }) },
  fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(1500) }),
  fc.record({ kind: fc.constant("close" as const) }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("crash" as const),
      turns: fc.nat(120),
      unsynced: fc.constantFrom("kept" as const, "random" as const),
      mapBytes,
    }),
  },
  fc.record({ kind: fc.constant("truncate" as const), share }),
  fc.record({ kind: fc.constant("deleteRecords" as const), share: share.map((part) => part / 3) }),
  fc.record({ kind: fc.constant("read" as const) }),
);

/** A compacted log beside all that was ever stored in it. */
class Run {
  readonly #fixture: TestLog;
  #log: SegmentedLog;
  /** By offset; what was truncated is gone. */
  #stored = new Map<number, Stored>();
  #endOffset = 0;
  #committed = 0;
  /** Up to where compaction has come, and when it first came to each tombstone there. */
  #cleaned = 0;
  readonly #cleanedAt = new Map<number, number>();
  /** Tombstones that a compaction was allowed to take. */
  readonly #mayBeGone = new Set<number>();
  readonly #sequences = new Map<number, number>();
  #producerEpoch = 0;
  #last = new Map<number, { readonly batch: Uint8Array; readonly baseOffset: number }>();

  constructor(fixture: TestLog, log: SegmentedLog) {
    this.#fixture = fixture;
    this.#log = log;
  }

  async take(command: Step): Promise<void> {
    switch (command.kind) {
      case "append":
        return this.#append(command);
      case "compact":
        return this.#compact(command.share, command.mapBytes);
      case "advance":
        return this.#fixture.clock.advance(command.ms);
      case "close":
        return this.#close();
      case "crash":
        return this.#crash(command);
      case "truncate":
        return this.#truncate(command.share);
      case "deleteRecords":
        await this.#log.deleteRecordsBefore(
          this.#log.logStartOffset + Math.floor((this.#committed - this.#log.logStartOffset) * command.share),
        );
        return;
      case "read":
        return this.check();
      default:
        return command satisfies never;
    }
  }

  async #append({ records, producer, compression }: Extract<Step, { kind: "append" }>): Promise<void> {
    const timestampMs = this.#fixture.clock.now();
    const stored = records.map(([key, value], index) => ({
      key: key === 6 ? null : `key ${key}`,
      value: value === null && key !== 6 ? null : `${value} of ${this.#endOffset + index}${"x".repeat(30)}`,
      timestampMs,
    }));
    const sequence = this.#sequences.get(producer) ?? 0;
    const bytes = (text: string | null): Uint8Array | null =>
      text === null ? null : new TextEncoder().encode(text);
    const batch = encodeBatch(
      stored.map((record) => ({ ...record, key: bytes(record.key), value: bytes(record.value) })),
      {
        compression,
        ...(producer >= 0 && {
          producerId: producer,
          producerEpoch: this.#producerEpoch,
          baseSequence: sequence,
        }),
      },
    );
    const { baseOffset } = this.#log.append(batch, { leaderEpoch: 1, validated: false, origin: "client" });
    // A log that ends below its start goes on at its start.
    this.#endOffset = Math.max(this.#endOffset, this.#log.logStartOffset);
    assert.equal(baseOffset, this.#endOffset);
    for (const [index, record] of stored.entries()) this.#stored.set(baseOffset + index, record);
    this.#endOffset += stored.length;
    if (producer >= 0) {
      this.#sequences.set(producer, sequence + stored.length);
      this.#last.set(producer, { batch, baseOffset });
    }
    await this.#log.flush();
  }

  async #compact(part: number, maxMapBytes: number): Promise<void> {
    const highWatermark = this.#committed + Math.floor((this.#endOffset - this.#committed) * part);
    this.#committed = Math.max(this.#committed, highWatermark);
    const report = await this.#startCompaction(maxMapBytes);
    this.#noteCleaned(report.endOffset);
    await this.check();
  }

  #startCompaction(maxMapBytes: number) {
    const { clock } = this.#fixture;
    const pace = new CompactionPace({ clock, maxBytesPerSecond: Infinity });
    return this.#log.compact({ nowMs: clock.now(), highWatermark: this.#committed, pace, maxMapBytes });
  }

  #noteCleaned(endOffset: number): void {
    this.#cleaned = Math.max(this.#cleaned, endOffset);
    this.#noteVisited(endOffset);
  }

  /** A compaction may have come to all tombstones below. */
  #noteVisited(endOffset: number): void {
    const nowMs = this.#fixture.clock.now();
    for (const [offset, { value }] of this.#stored) {
      if (value !== null || offset >= endOffset) continue;
      const since = this.#cleanedAt.get(offset);
      if (since === undefined) this.#cleanedAt.set(offset, nowMs);
      else if (nowMs >= since + DELETE_RETENTION_MS) this.#mayBeGone.add(offset);
    }
  }

  async #close(): Promise<void> {
    await this.#log.close();
    const { problems } = await verifyLog(this.#fixture.directory, this.#fixture.disk);
    assert.deepEqual(
      problems.filter(({ severity }) => severity === "error"),
      [],
    );
    await this.#reopen(true);
  }

  /** The power or the process goes in the midst of a compaction. */
  async #crash({ turns, unsynced, mapBytes }: Extract<Step, { kind: "crash" }>): Promise<void> {
    this.#committed = this.#endOffset;
    let ended: number | undefined;
    const compaction = this.#startCompaction(mapBytes).then(
      (report) => {
        ended = report.endOffset;
      },
      () => undefined,
    );
    for (let turn = 0; turn < turns; turn += 1) {
      await new Promise<void>((go) => this.#fixture.clock.nextTurn(go));
    }
    if (ended !== undefined) this.#noteCleaned(ended);
    this.#noteVisited(this.#endOffset);
    await this.#fixture.crash(this.#log, unsynced);
    await compaction;
    const { problems } = await verifyLog(this.#fixture.directory, this.#fixture.disk);
    assert.deepEqual(
      problems.filter(({ severity }) => severity === "error"),
      [],
    );
    await this.#reopen(false);
  }

  async #reopen(cleanShutdown: boolean): Promise<void> {
    const { logStartOffset } = this.#log;
    this.#log = await this.#fixture.open({ cleanShutdown });
    if (!cleanShutdown) this.#endOffset = Math.max(this.#endOffset, logStartOffset);
    assert.equal(this.#log.logStartOffset, logStartOffset);
    assert.deepEqual(this.#log.recoveryReport.damagedRanges, []);
    await this.check();
    // R11: the last batch of each producer is still known.
    for (const { batch, baseOffset } of this.#last.values()) {
      const again = this.#log.append(batch, { leaderEpoch: 1, validated: false, origin: "client" });
      assert.partialDeepStrictEqual(again, { duplicate: true, baseOffset });
    }
  }

  /** Records that were not committed go. */
  async #truncate(part: number): Promise<void> {
    const offset = this.#committed + Math.floor((this.#endOffset - this.#committed) * part);
    const endOffset = await this.#log.truncateTo(offset);
    assert.ok(endOffset <= Math.max(offset, this.#log.logStartOffset));
    for (let gone = endOffset; gone < this.#endOffset; gone += 1) this.#stored.delete(gone);
    this.#endOffset = endOffset;
    this.#committed = Math.min(this.#committed, endOffset);
    this.#cleaned = Math.min(this.#cleaned, endOffset);
    this.#producerEpoch += 1;
    this.#sequences.clear();
    this.#last = new Map();
  }

  async check(): Promise<void> {
    const log = this.#log;
    const found = await readAll(log);
    const lastOffsets = new Map<string, number>();
    for (const [offset, { key }] of this.#stored) {
      if (key !== null) lastOffsets.set(key, Math.max(offset, lastOffsets.get(key) ?? -1));
    }
    for (const [offset, record] of found) {
      assert.deepEqual(record, this.#stored.get(offset), `offset ${offset}`);
    }
    const keysSeen = new Set<string>();
    for (const [offset, { key, value }] of this.#stored) {
      if (offset < log.logStartOffset) continue;
      const isFound = found.has(offset);
      if (offset >= this.#committed) assert.ok(isFound, `offset ${offset} is gone uncompacted`);
      const isLast = key !== null && lastOffsets.get(key) === offset;
      const mayBeGone = value === null && this.#mayBeGone.has(offset);
      if (isLast && !mayBeGone) assert.ok(isFound, `${key}, last at ${offset}, is gone`);
      // A key whose tombstone went has nothing older left.
      if (isLast && !isFound && key !== null) {
        for (const other of found.values()) assert.notEqual(other.key, key);
      }
      if (!isFound || offset >= this.#cleaned) continue;
      assert.ok(key !== null && !keysSeen.has(key), `${key} is there twice below ${this.#cleaned}`);
      keysSeen.add(key);
    }
  }

  /** A new replica gets the same records, the same end and the same producers. */
  async checkFollower(): Promise<void> {
    const other = new TestLog({ ...this.#fixture.config });
    const follower = await other.open();
    await follower.truncateFullyAndStartAt(this.#log.firstBatchOffset);
    await replicate(this.#log, follower);
    await follower.deleteRecordsBefore(this.#log.logStartOffset);
    assert.deepEqual(await readAll(follower), await readAll(this.#log));
    for (const { batch, baseOffset } of this.#last.values()) {
      if (baseOffset < this.#log.logStartOffset) continue;
      const again = follower.append(batch, { leaderEpoch: 1, validated: false, origin: "client" });
      assert.partialDeepStrictEqual(again, { duplicate: true, baseOffset });
    }
    await follower.close();
    const reopened = await other.open({ cleanShutdown: true });
    assert.equal(reopened.recoveryReport.kind, "clean");
    other.disk.crash({ unsynced: "lost" });
    await reopened.abandon();
    const recovered = await other.open();
    assert.deepEqual(await readAll(recovered), await readAll(this.#log));
  }
}

async function readAll(log: SegmentedLog): Promise<Map<number, Stored>> {
  const found = new Map<number, Stored>();
  const text = (bytes: Uint8Array | null): string | null => bytes && new TextDecoder().decode(bytes);
  let offset = log.logStartOffset;
  while (offset < log.writtenEndOffset) {
    const { chunks, nextOffset } = await log.read(offset, { maxBytes: 300, endOffset: log.writtenEndOffset });
    assert.ok(nextOffset > offset, `a read at ${offset} gives nothing before ${log.writtenEndOffset}`);
    for (const record of decodeBatches(Buffer.concat(chunks))) {
      if (record.offset < offset) continue;
      const { timestampMs, key, value } = record;
      found.set(record.offset, { key: text(key), value: text(value), timestampMs });
    }
    offset = nextOffset;
  }
  return found;
}

/** All behind the committed records is cut, and the last of them is one that compaction takes. */
const CUT_BEHIND_COMMITTED: readonly Step[] = [
  ...Array.from({ length: 7 }, () => appendOf([[0, 0]], 0)),
  appendOf([[6, null]], -1),
  { kind: "crash", turns: 0, unsynced: "kept", mapBytes: 60 },
  appendOf([[0, 0]], 0),
  { kind: "truncate", share: 0 },
  { kind: "crash", turns: 26, unsynced: "kept", mapBytes: 60 },
];

/** Two compactions whose map has room for one key; a tombstone behind that is due in the second. */
const TOMBSTONE_BEHIND_MAP: readonly Step[] = [
  appendOf([[0, 0]], 0),
  appendOf([[0, 0]], 0),
  appendOf(
    [
      [1, 0],
      [0, null],
    ],
    0,
  ),
  appendOf([[1, null]], 0),
  { kind: "crash", turns: 27, unsynced: "kept", mapBytes: 60 },
  { kind: "advance", ms: DELETE_RETENTION_MS },
  { kind: "crash", turns: 18, unsynced: "kept", mapBytes: 60 },
];

function appendOf(records: [number, number | null][], producer: number): Step {
  return { kind: "append", records, producer, compression: "none" };
}

test("the last value of each key survives, at its offset, whatever happens during compaction", async () => {
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 40, size: "max" }),
    fc.integer({ min: 400, max: 1500 }),
    fc.constantFrom(0, 1000, 1e6),
    async (steps, segmentBytes, tailCacheBytes) => {
      const fixture = new TestLog(
        {
          segmentBytes,
          indexIntervalBytes: 100,
          cleanupPolicy: ["compact"],
          deleteRetentionMs: DELETE_RETENTION_MS,
          fileDeleteDelayMs: 100,
        },
        { tailCacheBytes },
      );
      const run = new Run(fixture, await fixture.open());
      for (const command of steps) await run.take(command);
      await run.check();
      await run.checkFollower();
    },
  );
  const examples: [Step[], number, number][] = [
    [[...CUT_BEHIND_COMMITTED], 870, 0],
    [[...TOMBSTONE_BEHIND_MAP], 400, 0],
  ];
  const numRuns = Number(process.env["LOG_MODEL_RUNS"] ?? 60);
  await expect(fc.assert(property, { numRuns, examples })).resolves.toBeUndefined();
});
