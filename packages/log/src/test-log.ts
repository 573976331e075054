import { decodeBatches, encodeBatch, type RecordInput } from "@ottla/records";
import { MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import type { LogConfig } from "./log-config.ts";
import { DEFAULT_LOG_CONFIG } from "./log-config.ts";
import { createLogResources, type LogResources } from "./log-resources.ts";
import { type OpenLogOptions, SegmentedLog } from "./segmented-log.ts";

/** What the tests of this package share: one log on a memory disk, and short words for what is done to it. */
export class TestLog {
  readonly clock = new VirtualClock({ startMs: 1_000_000 });
  readonly disk = new MemoryDisk({ clock: this.clock, random: new SeededRandom(1) });
  readonly directory = "/data/t-0";
  readonly config: LogConfig;
  readonly #resources: Partial<Parameters<typeof createLogResources>[0]>;

  constructor(
    config: Partial<LogConfig> = {},
    resources: Partial<Parameters<typeof createLogResources>[0]> = {},
  ) {
    this.config = { ...DEFAULT_LOG_CONFIG, ...config };
    this.#resources = resources;
  }

  resources(): LogResources {
    const { disk, clock } = this;
    const random = new SeededRandom(2);
    return createLogResources({ disk, clock, random, logger: nullLogger, ...this.#resources });
  }

  open(options: Partial<OpenLogOptions> = {}): Promise<SegmentedLog> {
    const { directory, config } = this;
    return SegmentedLog.open({ directory, config, resources: this.resources(), ...options });
  }

  /** The power or the process goes: what the log had under way does nothing more to the disk. */
  async crash(log: SegmentedLog, unsynced: "kept" | "lost" | "random" = "random"): Promise<void> {
    this.disk.crash({ unsynced });
    this.disk.faults.fail({ operation: "any" });
    await log.abandon();
    this.disk.faults.clear();
  }

  /** One batch of records whose values are the given texts. */
  batch(texts: readonly string[], options: TestBatchOptions = {}): Uint8Array {
    const { timestampMs = this.clock.now(), ...rest } = options;
    const records: RecordInput[] = texts.map((text) => ({
      timestampMs,
      key: null,
      value: new TextEncoder().encode(text),
    }));
    return encodeBatch(records, rest);
  }

  append(log: SegmentedLog, texts: readonly string[], options: TestBatchOptions = {}) {
    return log.append(this.batch(texts, options), CLIENT);
  }

  /** All texts from `offset` to the end, read in small pieces. */
  async texts(log: SegmentedLog, offset = log.logStartOffset, maxBytes = 500): Promise<string[]> {
    const found: string[] = [];
    let next = offset;
    while (next < log.writtenEndOffset) {
      const result = await log.read(next, { maxBytes, endOffset: log.writtenEndOffset });
      for (const record of decodeBatches(Buffer.concat(result.chunks))) {
        if (record.offset >= next) found.push(new TextDecoder().decode(record.value ?? new Uint8Array(0)));
      }
      if (result.nextOffset === next) break;
      next = result.nextOffset;
    }
    return found;
  }

  async fileBytes(path: string): Promise<Uint8Array> {
    const file = await this.disk.open(path, "read");
    const bytes = await file.read(0, await file.size());
    await file.close();
    return bytes;
  }

  async overwrite(path: string, position: number, bytes: Uint8Array): Promise<void> {
    const file = await this.disk.open(path, "write");
    await file.write(position, [bytes]);
    await file.sync();
    await file.close();
  }

  async names(): Promise<string[]> {
    return (await this.disk.list(this.directory)).map(({ name }) => name);
  }
}

export interface TestBatchOptions {
  readonly timestampMs?: number;
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly baseOffset?: number;
  readonly partitionLeaderEpoch?: number;
}

/** Brings all that `leader` has beyond the follower's end to the follower, as its batches are stored. */
export async function replicate(leader: SegmentedLog, follower: SegmentedLog, maxBytes = 400): Promise<void> {
  for (;;) {
    const from = follower.logEndOffset;
    if (from >= leader.writtenEndOffset) break;
    const endOffset = Number.MAX_SAFE_INTEGER;
    const { chunks } = await leader.read(from, { maxBytes, endOffset, forReplica: true });
    follower.append(Buffer.concat(chunks), { leaderEpoch: -1, validated: true, origin: "replica" });
  }
  await follower.flush();
}

export const CLIENT = { leaderEpoch: 1, validated: false, origin: "client" } as const;

/** The code with which a call is refused. */
export function refusalOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as { readonly code?: string }).code ?? String(error);
  }
  return "accepted";
}
