import { SeededRandom } from "@ottla/runtime";

/** Something that will happen. */
export interface ScheduledEvent {
  cancel(): void;
}

interface HeapEvent extends ScheduledEvent {
  readonly dueMs: number;
  readonly sequence: number;
  readonly run: () => void;
  cancelled: boolean;
}

/**
 * How many events run for each turn of Node's event loop: promises settle between any two
 * of them all the same.
 */
const EVENTS_PER_TURN = 256;

/**
 * Virtual time and all that happens in it, from one seed. One event runs at a time; all promises
 * that it settles run before the next one. Nothing else in the simulation waits for anything.
 */
export class Scheduler {
  readonly random: SeededRandom;
  nowMs = 0;
  /** Follows from all that has happened: two runs that did the same have the same. */
  digest = 0x811c_9dc5;
  eventCount = 0;
  readonly #heap: HeapEvent[] = [];
  #sequence = 0;
  #failure: Error | undefined;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  after(delayMs: number, run: () => void): ScheduledEvent {
    const event: HeapEvent = {
      dueMs: this.nowMs + Math.max(0, delayMs),
      sequence: this.#sequence,
      run,
      cancelled: false,
      cancel: () => {
        event.cancelled = true;
      },
    };
    this.#sequence += 1;
    this.#push(event);
    return event;
  }

  /** Resolves after so much virtual time. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve);
    });
  }

  /** The run is over: the simulated system did what it must not. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** Mixes something that happened into the digest. */
  note(value: number): void {
    this.digest = Math.imul(this.digest ^ (value | 0), 0x0100_0193) >>> 0;
  }

  /**
   * Runs events until `done` says so, after each of them. Rejects with the failure, and
   * when nothing is left to do.
   */
  run(done: () => boolean, afterEach: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      let left = 0;
      let isOver = false;
      const step = (): void => {
        left -= 1;
        if (!isOver) isOver = this.#step(done, afterEach);
        if (left > 0) return;
        if (!isOver) start();
        else if (this.#failure === undefined) resolve();
        else reject(this.#failure);
      };
      // Node settles all promises between two immediates, without a turn of the loop for each.
      const start = (): void => {
        left = EVENTS_PER_TURN;
        for (let count = 0; count < EVENTS_PER_TURN; count += 1) setImmediate(step);
      };
      start();
    });
  }

  /** Whether the run is over. Promises of the event before have settled by now. */
  #step(done: () => boolean, afterEach: () => void): boolean {
    try {
      if (this.eventCount > 0) afterEach();
      if (this.#failure !== undefined || done()) return true;
      const event = this.#pop();
      if (event === undefined) throw new Error("nothing is left to happen, and the simulation is not done");
      this.nowMs = event.dueMs;
      this.eventCount += 1;
      this.note(event.sequence);
      this.note(event.dueMs * 1000);
      event.run();
    } catch (thrown) {
      this.fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
    return this.#failure !== undefined;
  }

  #push(event: HeapEvent): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): HeapEvent | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined) return undefined;
      const last = this.#heap.pop();
      if (last !== undefined && last !== first) this.#sink(last);
      if (!first.cancelled) return first;
    }
  }

  #sink(event: HeapEvent): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const right = heap[child + 1];
      const left = heap[child];
      if (left === undefined) break;
      const smaller = right !== undefined && isBefore(right, left) ? right : left;
      if (smaller === right) child += 1;
      if (!isBefore(smaller, event)) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = event;
  }
}

function isBefore(one: HeapEvent, other: HeapEvent): boolean {
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.sequence < other.sequence);
}
