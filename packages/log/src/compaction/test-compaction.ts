import { decodeBatches, encodeBatch } from "@ottla/records";
import type { LogConfig } from "../log-config.ts";
import type { SegmentedLog } from "../segmented-log.ts";
import { CLIENT, TestLog } from "../test-log.ts";
import { CompactionPace } from "./compaction-pace.ts";
import type { CompactionReport } from "./log-compactor.ts";

type Entry = readonly [key: string | null, value: string | null];

/** A compacted log whose segments hold a few batches. */
export class TestCompaction {
  readonly fixture: TestLog;
  log: SegmentedLog;

  private constructor(fixture: TestLog, log: SegmentedLog) {
    this.fixture = fixture;
    this.log = log;
  }

  static async open(config: Partial<LogConfig> = {}): Promise<TestCompaction> {
    const fixture = new TestLog({ segmentBytes: 400, cleanupPolicy: ["compact"], ...config });
    return new TestCompaction(fixture, await fixture.open());
  }

  append(entries: readonly Entry[], options: Parameters<typeof encodeBatch>[1] = {}): number {
    return this.log.append(this.batch(entries, options), CLIENT).baseOffset;
  }

  batch(entries: readonly Entry[], options: Parameters<typeof encodeBatch>[1] = {}): Uint8Array {
    const bytes = (text: string | null): Uint8Array | null =>
      text === null ? null : new TextEncoder().encode(text);
    const timestampMs = this.fixture.clock.now();
    return encodeBatch(
      entries.map(([key, value]) => ({ timestampMs, key: bytes(key), value: bytes(value) })),
      options,
    );
  }

  /** Closes the segment that is being written, with a record of a key of its own. */
  async roll(): Promise<void> {
    this.append([["filler", "x".repeat(this.fixture.config.segmentBytes - 90)]]);
    await this.log.flush();
  }

  async compact(options: { maxMapBytes?: number; highWatermark?: number } = {}): Promise<CompactionReport> {
    await this.log.flush();
    const { clock } = this.fixture;
    return this.log.compact({
      nowMs: clock.now(),
      highWatermark: options.highWatermark ?? this.log.logEndOffset,
      pace: new CompactionPace({ clock, maxBytesPerSecond: Infinity }),
      maxMapBytes: options.maxMapBytes ?? 100_000,
    });
  }

  backlog(highWatermark = this.log.logEndOffset) {
    return this.log.compactionBacklog(this.fixture.clock.now(), highWatermark);
  }

  async crash(unsynced: "kept" | "lost" | "random" = "lost"): Promise<void> {
    await this.fixture.crash(this.log, unsynced);
    this.log = await this.fixture.open();
  }

  async bytes(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    const { log } = this;
    const endOffset = log.writtenEndOffset;
    for (let offset = log.logStartOffset; offset < endOffset; ) {
      const read = await log.read(offset, { maxBytes: 1000, endOffset });
      chunks.push(...read.chunks);
      if (read.nextOffset === offset) throw new Error(`nothing is read at ${offset}`);
      offset = read.nextOffset;
    }
    return Buffer.concat(chunks);
  }

  /** What a reader from the beginning finds, fillers apart: `offset key=value`. */
  async found(): Promise<string[]> {
    const text = (bytes: Uint8Array | null): string =>
      bytes === null ? "null" : new TextDecoder().decode(bytes);
    return [...decodeBatches(await this.bytes())]
      .filter(({ key }) => text(key) !== "filler")
      .map(({ offset, key, value }) => `${offset} ${text(key)}=${text(value)}`);
  }
}
