import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { SegmentedLog } from "@ottla/log";
import type { Clock, Logger, Timer } from "@ottla/runtime";
import { UnwrittenRecords } from "./replication/unwritten-records.ts";

export interface FollowedLogOptions {
  readonly name: string;
  readonly log: SegmentedLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onAppended: (endOffset: number, sizeBytes: number) => void;
  /** Time to ask the leader again for what could not be appended. */
  readonly onRetry: () => void;
  readonly onTruncated: () => void;
  readonly onLogStartMoved: () => void;
  /** The log could not be cut. */
  readonly onFailed: (error: OttlaError) => void;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

/**
 * Takes a leader's records into the log. Each batch is checked (CRC and continuity, R12). When the log does
 * not take them (its disk is full, or they came damaged) nothing more is taken for a while, and then the
 * leader is asked anew.
 */
export class FollowedLog {
  readonly #options: FollowedLogOptions;
  readonly #unwritten = new UnwrittenRecords();
  #pauseMs = FIRST_PAUSE_MS;
  #pause: Timer | undefined;
  /** Where the leader's log begins, while this one is made to begin there too (R14). */
  #logStartTarget: number | undefined;
  #isClosed = false;

  constructor(options: FollowedLogOptions) {
    this.#options = options;
  }

  /** What comes just now is to be dropped. */
  get isPausing(): boolean {
    return this.#pause !== undefined;
  }

  /** Calls `release` once when the records are written, or not taken. */
  append(chunks: readonly Uint8Array[], release: () => void): void {
    const { log, onAppended } = this.#options;
    const bytes = joined(chunks);
    try {
      // The leader's answer goes on where this log ends: what is missing behind that was compacted away.
      log.append(bytes, { leaderEpoch: -1, validated: false, origin: "replica", allowsGaps: true });
    } catch (thrown) {
      release();
      this.#pauseBecause(toOttlaError(thrown));
      return;
    }
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#unwritten.add(log.logEndOffset, release);
    onAppended(log.logEndOffset, bytes.length);
  }

  onLogProgress(): void {
    this.#unwritten.written(this.#options.log.writtenEndOffset);
  }

  /** The disk is full: what was queued was not stored. */
  onAppendsFailed(error: OttlaError): void {
    this.#unwritten.clear();
    this.#pauseBecause(error);
  }

  /** Cuts the log; nothing is appended meanwhile. */
  truncate(cut: () => Promise<unknown>): void {
    const { onFailed, onTruncated } = this.#options;
    cut().then(
      () => {
        if (this.#isClosed) return;
        this.#unwritten.clear();
        onTruncated();
      },
      (thrown: unknown) => {
        if (!this.#isClosed) onFailed(toOttlaError(thrown));
      },
    );
  }

  /** R14: follows the leader's log start, of several the last one. */
  deleteRecordsBefore(offset: number): void {
    const isUnderWay = this.#logStartTarget !== undefined;
    this.#logStartTarget = Math.max(offset, this.#logStartTarget ?? 0);
    if (!isUnderWay) void this.#deleteRecords(this.#logStartTarget);
  }

  close(): void {
    this.#isClosed = true;
    this.#pause?.cancel();
    this.#pause = undefined;
    this.#unwritten.clear();
  }

  async #deleteRecords(first: number): Promise<void> {
    const { log, logger, name, onLogStartMoved } = this.#options;
    let target: number | undefined = first;
    try {
      for (; target !== undefined; target = this.#logStartTarget) {
        await log.deleteRecordsBefore(target);
        if (this.#isClosed) return;
        if (this.#logStartTarget === target) this.#logStartTarget = undefined;
        onLogStartMoved();
      }
    } catch (thrown) {
      // The leader's next word brings it up again.
      if (!this.#isClosed)
        logger.warn({ partition: name, err: toOttlaError(thrown) }, "cannot delete records");
      this.#logStartTarget = undefined;
    }
  }

  #pauseBecause(error: OttlaError): void {
    const { clock, logger, name, onRetry } = this.#options;
    if (this.#pause !== undefined || this.#isClosed) return;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2);
    logger.warn(
      { partition: name, err: error, pauseMs },
      "cannot take records from the leader, will try again",
    );
    this.#pause = clock.setTimer(
      pauseMs,
      () => {
        this.#pause = undefined;
        onRetry();
      },
      { background: true },
    );
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return first;
  let sizeBytes = 0;
  for (const chunk of chunks) sizeBytes += chunk.length;
  const bytes = new Uint8Array(sizeBytes);
  let position = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, position);
    position += chunk.length;
  }
  return bytes;
}
