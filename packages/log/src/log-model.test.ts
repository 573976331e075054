import assert from "node:assert/strict";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { SegmentedLog } from "./segmented-log.ts";
import { CLIENT, TestLog } from "./test-log.ts";
import { verifyLog } from "./verify-log.ts";

/** What a log is, in the simplest terms: batches at offsets, some of them proven to be on disk. */
interface Model {
  startOffset: number;
  endOffset: number;
  /** Nothing was ever, or is any more, below. */
  beginOffset: number;
  batches: { readonly baseOffset: number; readonly texts: readonly string[]; readonly timestampMs: number }[];
}

interface Real {
  readonly fixture: TestLog;
  log: SegmentedLog;
}

type Command = fc.AsyncCommand<Model, Real>;

function batchEnd(batch: Model["batches"][number]): number {
  return batch.baseOffset + batch.texts.length;
}

function visibleTexts(model: Model): string[] {
  const texts: string[] = [];
  for (const { baseOffset, texts: batch } of model.batches) {
    for (const [index, text] of batch.entries())
      if (baseOffset + index >= model.startOffset) texts.push(text);
  }
  return texts;
}

function goOnAtStart(model: Model): void {
  if (model.endOffset >= model.startOffset) return;
  model.endOffset = model.startOffset;
  model.beginOffset = model.startOffset;
}

class Append implements Command {
  readonly sizes: readonly number[];
  readonly ageMs: number;
  readonly waits: boolean;
  constructor(sizes: readonly number[], ageMs: number, waits: boolean) {
    this.sizes = sizes;
    this.ageMs = ageMs;
    this.waits = waits;
  }
  check = () => true;
  async run(model: Model, { fixture, log }: Real): Promise<void> {
    const timestampMs = fixture.clock.now() - this.ageMs;
    // A log that ends below its start goes on at its start.
    goOnAtStart(model);
    const texts = this.sizes.map((size, index) => `${model.endOffset + index}:${"x".repeat(size)}`);
    const appended = fixture.append(log, texts, { timestampMs });
    assert.partialDeepStrictEqual(appended, { baseOffset: model.endOffset, recordCount: texts.length });
    model.batches.push({ baseOffset: model.endOffset, texts, timestampMs });
    model.endOffset += texts.length;
    if (this.waits) await log.flush();
  }
  toString = () => `Append([${this.sizes.join()}], ${this.ageMs}, ${this.waits})`;
}

class ReadAll implements Command {
  readonly maxBytes: number;
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }
  check = () => true;
  async run(model: Model, { fixture, log }: Real): Promise<void> {
    await log.flush();
    assert.deepEqual([log.logStartOffset, log.logEndOffset], [model.startOffset, model.endOffset]);
    assert.deepEqual(await fixture.texts(log, log.logStartOffset, this.maxBytes), visibleTexts(model));
  }
  toString = () => `ReadAll(${this.maxBytes})`;
}

class FindTimestamp implements Command {
  readonly ageMs: number;
  constructor(ageMs: number) {
    this.ageMs = ageMs;
  }
  check = () => true;
  async run(model: Model, { fixture, log }: Real): Promise<void> {
    await log.flush();
    const timestampMs = fixture.clock.now() - this.ageMs;
    const live = model.batches.filter((batch) => batchEnd(batch) > model.startOffset);
    const first = live.find((batch) => batch.timestampMs >= timestampMs);
    const expected = first && Math.max(first.baseOffset, model.startOffset);
    assert.deepEqual((await log.offsetForTimestamp(timestampMs, log.logEndOffset))?.offset, expected);
    const largest = Math.max(...live.map((batch) => batch.timestampMs));
    assert.deepEqual(
      (await log.maxTimestampOffset(log.logEndOffset))?.timestampMs,
      live.length > 0 ? largest : undefined,
    );
  }
  toString = () => `FindTimestamp(${this.ageMs})`;
}

class Truncate implements Command {
  readonly share: number;
  constructor(share: number) {
    this.share = share;
  }
  check = () => true;
  async run(model: Model, { log }: Real): Promise<void> {
    const visible = Math.max(model.endOffset - model.startOffset, 0);
    const offset = model.startOffset + Math.floor(visible * this.share);
    model.batches = model.batches.filter((batch) => batchEnd(batch) <= offset);
    // Below the log start when that lies inside the batch that goes.
    const boundary = Math.max(...model.batches.map(batchEnd), model.beginOffset);
    if (offset < model.endOffset) model.endOffset = boundary;
    assert.deepEqual(await log.truncateTo(offset), model.endOffset);
  }
  toString = () => `Truncate(${this.share})`;
}

class DeleteBefore implements Command {
  readonly share: number;
  constructor(share: number) {
    this.share = share;
  }
  check = () => true;
  async run(model: Model, { log }: Real): Promise<void> {
    await log.flush();
    const visible = Math.max(model.endOffset - model.startOffset, 0);
    const offset = model.startOffset + Math.floor(visible * this.share);
    model.startOffset = offset;
    assert.deepEqual(await log.deleteRecordsBefore(offset), offset);
  }
  toString = () => `DeleteBefore(${this.share})`;
}

class Retain implements Command {
  check = () => true;
  async run(model: Model, { fixture, log }: Real): Promise<void> {
    await log.flush();
    const nowMs = fixture.clock.now();
    await log.runRetention(nowMs, log.logEndOffset);
    // Only whole segments go, so the model takes the start from the log, and holds it to
    // what retention allows.
    const gone = model.batches.filter(
      (batch) => batchEnd(batch) <= log.logStartOffset && batchEnd(batch) > model.startOffset,
    );
    for (const batch of gone) assert.ok(nowMs - batch.timestampMs > fixture.config.retentionMs);
    assert.ok(log.logStartOffset >= model.startOffset);
    model.startOffset = log.logStartOffset;
  }
  toString = () => "Retain";
}

class Reopen implements Command {
  readonly how: "close" | "kill" | "power cut";
  constructor(how: "close" | "kill" | "power cut") {
    this.how = how;
  }
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    const { fixture, log } = real;
    if (this.how === "close") {
      await log.close();
      assert.deepEqual((await verifyLog(fixture.directory, fixture.disk)).problems, []);
    } else {
      await log.flush();
      fixture.disk.crash({ unsynced: this.how === "kill" ? "kept" : "random" });
      await log.abandon();
      assert.deepEqual((await verifyLog(fixture.directory, fixture.disk)).errorCount, 0);
    }
    if (this.how !== "close") goOnAtStart(model);
    real.log = await fixture.open({ cleanShutdown: this.how === "close" });
    assert.deepEqual(real.log.recoveryReport.kind, this.how === "close" ? "clean" : "recovered");
    assert.deepEqual([real.log.logStartOffset, real.log.logEndOffset], [model.startOffset, model.endOffset]);
  }
  toString = () => `Reopen(${this.how})`;
}

const commands = [
  fc
    .tuple(fc.array(fc.nat(120), { minLength: 1, maxLength: 4 }), fc.nat(3000), fc.boolean())
    .map(([sizes, ageMs, waits]) => new Append(sizes, ageMs, waits)),
  fc.constantFrom(1, 400, 1e6).map((maxBytes) => new ReadAll(maxBytes)),
  fc.integer({ min: -10, max: 3000 }).map((ageMs) => new FindTimestamp(ageMs)),
  fc.double({ min: 0, max: 1, noNaN: true }).map((share) => new Truncate(share)),
  fc.double({ min: 0, max: 1, noNaN: true }).map((share) => new DeleteBefore(share * 0.5)),
  fc.constant(new Retain()),
  fc.constantFrom("close" as const, "kill" as const, "power cut" as const).map((how) => new Reopen(how)),
];

test("a log does what a list of batches does, whatever happens to it", async () => {
  const property = fc.asyncProperty(
    fc.commands([commands[0] as fc.Arbitrary<Command>, ...(commands as fc.Arbitrary<Command>[])], {
      maxCommands: 60,
      size: "max",
    }),
    fc.record({
      segmentBytes: fc.integer({ min: 700, max: 3000 }),
      indexIntervalBytes: fc.integer({ min: 1, max: 500 }),
      tailCacheBytes: fc.constantFrom(0, 2000, 1e6),
    }),
    async (commands, { tailCacheBytes, ...config }) => {
      const fixture = new TestLog({ ...config, retentionMs: 2000 }, { tailCacheBytes });
      const log = await fixture.open();
      await fc.asyncModelRun(() => {
        return {
          model: { startOffset: 0, endOffset: 0, beginOffset: 0, batches: [] },
          real: { fixture, log },
        };
      }, commands);
    },
  );
  const numRuns = Number(process.env["LOG_MODEL_RUNS"] ?? 150);
  await expect(fc.assert(property, { numRuns })).resolves.toBeUndefined();
});

test("a closed log refuses everything and says so", async () => {
  const fixture = new TestLog();
  const log = await fixture.open();
  await log.close();
  await log.close();
  expect(() => log.append(fixture.batch(["a"]), CLIENT)).toThrow("closed");
  await expect(log.truncateTo(0)).rejects.toThrow("closed");
});
