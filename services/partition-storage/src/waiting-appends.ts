import { OttlaError } from "@ottla/errors";
import type { Deadline, Deadlines } from "@ottla/runtime";

/** What an append's caller learns when it is acknowledged. */
export interface AppendAcknowledgement {
  readonly baseOffset: number;
  readonly logAppendTimeMs: number;
  readonly logStartOffset: number;
}

export type AppendDone = (result: AppendAcknowledgement | OttlaError) => void;

interface WaitingAppend {
  readonly endOffset: number;
  readonly acknowledgement: AppendAcknowledgement;
  /** Undefined once it was called. */
  done: AppendDone | undefined;
  deadline: Deadline | undefined;
}

/**
 * Appends that wait for an offset (the high watermark, or the leader's synced end) to pass their batch.
 * They settle in the order they were appended; all of one term fail together when it ends (R15).
 */
export class WaitingAppends {
  readonly #deadlines: Deadlines;
  #queue: WaitingAppend[] = [];
  #head = 0;
  #waiting = 0;

  constructor(deadlines: Deadlines) {
    this.#deadlines = deadlines;
  }

  get size(): number {
    return this.#waiting;
  }

  add(endOffset: number, acknowledgement: AppendAcknowledgement, timeoutMs: number, done: AppendDone): void {
    const waiting: WaitingAppend = { endOffset, acknowledgement, done, deadline: undefined };
    waiting.deadline = this.#deadlines.set(timeoutMs, () => {
      this.#settle(
        waiting,
        new OttlaError(
          "REQUEST_TIMED_OUT",
          `the batch was appended but not acknowledged by the in-sync replicas within ${timeoutMs} ms`,
          { metadata: { limit: String(timeoutMs) } },
        ),
      );
    });
    this.#waiting += 1;
    this.#queue.push(waiting);
  }

  /** Acknowledges all whose batches end at or below the offset. */
  passed(offset: number): void {
    let head = this.#head;
    for (
      let next = this.#queue[head];
      next !== undefined && next.endOffset <= offset;
      next = this.#queue[head]
    ) {
      head += 1;
      this.#settle(next, next.acknowledgement);
    }
    this.#head = head;
    if (head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (head > 1_024 && head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(head);
      this.#head = 0;
    }
  }

  /** Fails those whose batches end beyond the offset: the log gave them up. */
  failBeyond(offset: number, error: OttlaError): void {
    const waiting = this.#queue.slice(this.#head);
    this.#queue = waiting.filter(({ endOffset }) => endOffset <= offset);
    this.#head = 0;
    for (const append of waiting) if (append.endOffset > offset) this.#settle(append, error);
  }

  failAll(error: OttlaError): void {
    const all = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    for (const waiting of all) this.#settle(waiting, error);
  }

  #settle(waiting: WaitingAppend, result: AppendAcknowledgement | OttlaError): void {
    const { done } = waiting;
    if (done === undefined) return;
    waiting.done = undefined;
    waiting.deadline?.cancel();
    this.#waiting -= 1;
    done(result);
  }
}
