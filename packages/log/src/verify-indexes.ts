import type { BatchHeader } from "@ottla/records";
import type { LogProblem } from "./log-problems.ts";
import type { OfflineIndex } from "./offline-log.ts";
import type { OffsetPosition } from "./offset-index.ts";
import { largestTimestampOf } from "./segment.ts";
import type { TimestampOffset } from "./time-index.ts";

type Report = (problem: Omit<LogProblem, "severity">) => void;

/** Holds a segment's `.index` against its batches, which it is shown in order. */
export class OffsetIndexCheck {
  readonly #file: string;
  readonly #entries: readonly OffsetPosition[];
  readonly #report: Report;
  #next = 0;

  constructor(file: string, index: OfflineIndex<OffsetPosition>, report: Report) {
    this.#file = file;
    this.#entries = index.entries;
    this.#report = report;
    reportOddBytes(file, index.oddBytes, report);
    reportOrder(file, 8, index.entries, report, (left, right) => {
      return left.offset < right.offset && left.position < right.position;
    });
  }

  see(position: number, header: BatchHeader): void {
    for (let entry = this.#entries[this.#next]; entry !== undefined; entry = this.#entries[this.#next]) {
      if (entry.position > position) return;
      if (entry.position < position) {
        this.#wrong(entry, "no batch begins at the position it names");
      } else if (entry.offset !== header.lastOffset) {
        this.#wrong(entry, `the batch there ends with offset ${header.lastOffset}`);
      }
      this.#next += 1;
    }
  }

  end(): void {
    const rest = this.#entries.length - this.#next;
    const entry = this.#entries[this.#next];
    if (entry !== undefined) this.#wrong(entry, `it and ${rest - 1} more point behind the last batch`);
  }

  #wrong(entry: OffsetPosition, reason: string): void {
    this.#report({
      file: this.#file,
      position: this.#next * 8,
      offset: entry.offset,
      problem: `index entry ${this.#next} (offset ${entry.offset}, position ${entry.position}): ${reason}`,
    });
  }
}

/** Holds a segment's `.timeindex` against its batches, which it is shown in order. */
export class TimeIndexCheck {
  readonly #file: string;
  readonly #entries: readonly TimestampOffset[];
  readonly #report: Report;
  #next = 0;
  #largest = Number.NEGATIVE_INFINITY;

  constructor(file: string, index: OfflineIndex<TimestampOffset>, report: Report) {
    this.#file = file;
    this.#entries = index.entries;
    this.#report = report;
    reportOddBytes(file, index.oddBytes, report);
    reportOrder(file, 12, index.entries, report, (left, right) => {
      return left.timestampMs < right.timestampMs && left.offset < right.offset;
    });
  }

  see(header: BatchHeader): void {
    for (let entry = this.#entries[this.#next]; entry !== undefined; entry = this.#entries[this.#next]) {
      if (entry.offset > header.lastOffset) break;
      if (entry.offset < header.lastOffset) this.#wrong(entry, "no batch ends with the offset it names");
      else if (header.maxTimestamp !== entry.timestampMs || this.#largest >= entry.timestampMs) {
        this.#wrong(entry, `the batch there has largest timestamp ${header.maxTimestamp}`);
      }
      this.#next += 1;
    }
    this.#largest = Math.max(this.#largest, largestTimestampOf(header));
  }

  end(): void {
    const entry = this.#entries[this.#next];
    const rest = this.#entries.length - this.#next;
    if (entry !== undefined) this.#wrong(entry, `it and ${rest - 1} more point behind the last batch`);
  }

  #wrong(entry: TimestampOffset, reason: string): void {
    this.#report({
      file: this.#file,
      position: this.#next * 12,
      offset: entry.offset,
      problem: `time index entry ${this.#next} (timestamp ${entry.timestampMs}, offset ${entry.offset}): ${reason}`,
    });
  }
}

function reportOddBytes(file: string, oddBytes: number, report: Report): void {
  if (oddBytes > 0) report({ file, problem: `${oddBytes} bytes at the end make no whole entry` });
}

function reportOrder<T>(
  file: string,
  entryBytes: number,
  entries: readonly T[],
  report: Report,
  ascends: (left: T, right: T) => boolean,
): void {
  for (let index = 1; index < entries.length; index += 1) {
    if (ascends(entries[index - 1] as T, entries[index] as T)) continue;
    report({
      file,
      position: index * entryBytes,
      problem: `entry ${index} does not follow on entry ${index - 1}`,
    });
    return;
  }
}
