import { OttlaError } from "@ottla/errors";
import type { Deadline, Deadlines } from "@ottla/runtime";

interface WaitingDeletion {
  readonly logStartOffset: number;
  readonly settle: (error?: OttlaError) => void;
  deadline: Deadline | undefined;
}

const MAX_WAITING = 1_000;

/** Calls of DeleteRecords that wait until the in-sync replicas have moved their log start too (R14). */
export class WaitingDeletions {
  readonly #deadlines: Deadlines;
  readonly #waiting = new Set<WaitingDeletion>();

  constructor(deadlines: Deadlines) {
    this.#deadlines = deadlines;
  }

  wait(logStartOffset: number, timeoutMs: number): Promise<void> {
    if (this.#waiting.size >= MAX_WAITING) {
      const message = `${MAX_WAITING} deletions of records wait for the in-sync replicas already`;
      throw new OttlaError("THROTTLING_QUOTA_EXCEEDED", message, {
        metadata: { limit: String(MAX_WAITING) },
      });
    }
    return new Promise((resolve, reject) => {
      const waiting: WaitingDeletion = {
        logStartOffset,
        deadline: undefined,
        settle: (error) => {
          if (!this.#waiting.delete(waiting)) return;
          waiting.deadline?.cancel();
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#waiting.add(waiting);
      waiting.deadline = this.#deadlines.set(timeoutMs, () => {
        const message = `records were deleted, but not by all in-sync replicas within ${timeoutMs} ms`;
        waiting.settle(
          new OttlaError("REQUEST_TIMED_OUT", message, { metadata: { limit: String(timeoutMs) } }),
        );
      });
    });
  }

  passed(logStartOffset: number): void {
    for (const waiting of this.#waiting) if (waiting.logStartOffset <= logStartOffset) waiting.settle();
  }

  failAll(error: OttlaError): void {
    for (const waiting of this.#waiting) waiting.settle(error);
  }
}
