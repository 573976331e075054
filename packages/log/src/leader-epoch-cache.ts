import { type Disk, readWholeFile, writeFileDurably } from "@ottla/runtime";
import { LEADER_EPOCH_CHECKPOINT } from "./file-names.ts";
import { LOG_FORMATS } from "./format-versions.ts";

export interface EpochEntry {
  readonly epoch: number;
  readonly startOffset: number;
}

const VERSION = LOG_FORMATS["leader-epoch-checkpoint"];

/** A log with more epochs than this would take minutes of elections each second for years. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** Which leader epoch each stretch of the log was written in (R6). Epochs and start offsets both ascend. */
export class LeaderEpochCache {
  #entries: EpochEntry[];
  #changed = false;

  constructor(entries: readonly EpochEntry[] = []) {
    this.#entries = [...entries];
  }

  get entries(): readonly EpochEntry[] {
    return this.#entries;
  }

  /** Whether the entries differ from what was last written. */
  get changed(): boolean {
    return this.#changed;
  }

  get latestEpoch(): number | undefined {
    return this.#entries.at(-1)?.epoch;
  }

  /** The epoch of the last record below `endOffset`, whatever epochs began there without writing any. */
  epochBefore(endOffset: number): number | undefined {
    return this.#entries.findLast(({ startOffset }) => startOffset < endOffset)?.epoch;
  }

  /** Notes that `epoch` writes from `startOffset` on; the latest epoch again changes nothing. */
  assign(epoch: number, startOffset: number): void {
    const last = this.#entries.at(-1);
    if (epoch < 0 || (last !== undefined && epoch <= last.epoch)) return;
    while ((this.#entries.at(-1)?.startOffset ?? -1) >= startOffset) this.#entries.pop();
    this.#entries.push({ epoch, startOffset });
    this.#changed = true;
  }

  /** The epoch that the record at `offset` was written in; undefined below the first entry. */
  epochAt(offset: number): number | undefined {
    return this.#entries[this.#indexAt(offset)]?.epoch;
  }

  /**
   * Where `epoch` ends in this log: the largest epoch at or below it, and the start of
   * the next one (or the log's end). Undefined when the log knows no such epoch.
   */
  endOffsetFor(epoch: number, logEndOffset: number): { epoch: number; endOffset: number } | undefined {
    let found: { epoch: number; endOffset: number } | undefined;
    for (const [index, entry] of this.#entries.entries()) {
      if (entry.epoch > epoch) break;
      found = { epoch: entry.epoch, endOffset: this.#entries[index + 1]?.startOffset ?? logEndOffset };
    }
    return found;
  }

  /** Forgets what begins at or after `endOffset`. */
  truncateFromEnd(endOffset: number): void {
    while ((this.#entries.at(-1)?.startOffset ?? -1) >= endOffset) {
      this.#entries.pop();
      this.#changed = true;
    }
  }

  /** Forgets what ends before `startOffset`; the epoch that holds it begins there from now on. */
  truncateFromStart(startOffset: number): void {
    const index = this.#indexAt(startOffset);
    const holder = this.#entries[index];
    if (holder === undefined || (index === 0 && holder.startOffset >= startOffset)) return;
    if (holder.startOffset === startOffset && index === 0) return;
    this.#entries = [{ epoch: holder.epoch, startOffset }, ...this.#entries.slice(index + 1)];
    this.#changed = true;
  }

  clear(): void {
    this.#changed ||= this.#entries.length > 0;
    this.#entries = [];
  }

  /** Writes the checkpoint, durably, if it changed. */
  async write(disk: Disk, directory: string): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    try {
      const text = encodeLeaderEpochs(this.#entries);
      await writeFileDurably(disk, `${directory}/${LEADER_EPOCH_CHECKPOINT}`, new TextEncoder().encode(text));
    } catch (error) {
      this.#changed = true;
      throw error;
    }
  }

  #indexAt(offset: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#entries[middle]?.startOffset ?? Infinity) <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

export async function readLeaderEpochs(
  disk: Disk,
  directory: string,
): Promise<readonly EpochEntry[] | "damaged" | undefined> {
  const bytes = await readWholeFile(disk, `${directory}/${LEADER_EPOCH_CHECKPOINT}`, MAX_FILE_BYTES);
  return bytes === undefined ? undefined : parseLeaderEpochs(new TextDecoder().decode(bytes));
}

/** Kafka's text form: a version, the number of entries, then `epoch startOffset` in each line. */
export function encodeLeaderEpochs(entries: readonly EpochEntry[]): string {
  const lines = entries.map(({ epoch, startOffset }) => `${epoch} ${startOffset}\n`);
  return `${VERSION}\n${entries.length}\n${lines.join("")}`;
}

export function parseLeaderEpochs(text: string): readonly EpochEntry[] | "damaged" {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const [version, count, ...rows] = lines;
  if (version !== String(VERSION) || count !== String(rows.length)) return "damaged";
  const entries: EpochEntry[] = [];
  for (const row of rows) {
    const match = /^(\d{1,10}) (\d{1,16})$/.exec(row);
    const entry = { epoch: Number(match?.[1] ?? NaN), startOffset: Number(match?.[2] ?? NaN) };
    const last = entries.at(-1) ?? { epoch: -1, startOffset: -1 };
    if (!(entry.epoch > last.epoch && entry.startOffset > last.startOffset)) return "damaged";
    entries.push(entry);
  }
  return entries;
}
