import type { Clock } from "./clock.ts";
import { DiskError } from "./disk.ts";
import type { DiskOperation, MemoryDiskFaults, Verdict } from "./memory-disk-faults.ts";
import type { Random } from "./random.ts";

export interface MemoryDiskOperationsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: MemoryDiskFaults;
}

/**
 * How any operation on a memory disk runs: it meets its fault, takes effect, and is answered in a later
 * turn of the clock. What is not answered when the disk crashes fails, whether it took effect or not.
 */
export class MemoryDiskOperations {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: MemoryDiskFaults;
  /** What the files hold together, those open without a name included. */
  usedBytes = 0;
  readonly #waiting = new Set<() => void>();
  #crashes = 0;

  constructor(options: MemoryDiskOperationsOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.faults = options.faults;
  }

  get freeBytes(): number {
    return Math.max(0, this.faults.capacityBytes - this.usedBytes);
  }

  /** Counts the crashes: a handle of an earlier life is of no use. */
  get life(): number {
    return this.#crashes;
  }

  /** `perform` gets the verdict to do its part of a failure, where there is one to do. */
  async run<T>(operation: DiskOperation, path: string, perform: (verdict: Verdict) => T): Promise<T> {
    const verdict = this.faults.judge(operation, path);
    const { stall } = verdict;
    const life = this.#crashes;
    if (stall !== undefined) {
      await this.#wait(path, (resume) => {
        stall.add(resume);
        return () => stall.delete(resume);
      });
      if (life !== this.#crashes) throw crashed(path);
    }
    const outcome = attempt(() => perform(verdict));
    await this.#wait(path, (resume) => {
      if (verdict.delayMs === 0) {
        this.clock.nextTurn(resume);
        return () => undefined;
      }
      const timer = this.clock.setTimer(verdict.delayMs, resume);
      return () => timer.cancel();
    });
    return outcome();
  }

  /** As `run`, for operations that a failure leaves undone. */
  runWhole<T>(operation: DiskOperation, path: string, perform: () => T): Promise<T> {
    return this.run(operation, path, (verdict) => {
      if (verdict.error !== undefined) throw injected(verdict.error, path, operation);
      return perform();
    });
  }

  crash(): void {
    this.#crashes += 1;
    for (const abort of this.#waiting) abort();
  }

  /** Waits for `resume` to be called; a crash ends the wait and cancels what `start` began. */
  #wait(path: string, start: (resume: () => void) => () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = start(() => {
        this.#waiting.delete(abort);
        cancel();
        resolve();
      });
      const abort = () => {
        this.#waiting.delete(abort);
        cancel();
        reject(crashed(path));
      };
      this.#waiting.add(abort);
    });
  }
}

export function injected(code: DiskError["code"], path: string, operation: DiskOperation): DiskError {
  return new DiskError(code, path, `cannot ${operation}: a fault was ordered`);
}

function crashed(path: string): DiskError {
  return new DiskError("EIO", path, "the disk crashed during the operation");
}

/** Performs now, tells later. */
function attempt<T>(perform: () => T): () => T {
  try {
    const value = perform();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}
