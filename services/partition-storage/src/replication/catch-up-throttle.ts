import type { Clock, Timer } from "@ottla/runtime";

/** Less is not worth a message. */
const SMALLEST_PIECE_BYTES = 64 * 1024;
/** What may have been saved up, as a part of a second. */
const BURST_SECONDS = 0.125;
/** What was left unused may be made up for, as seconds of the rate, and how much faster than the rate. */
const OWED_SECONDS = 2;
const CATCHING_UP_FACTOR = 1.25;
const SHORTEST_WAIT_MS = 5;

/**
 * How fast the replicas of this node that are outside their ISR may fetch, all of them together. What
 * they could not fetch in the last seconds, because partitions were being opened or moves were being decided
 * on, they make up for at a somewhat higher rate: the rate is what comes of it, not a bound never reached.
 */
export class CatchUpThrottle {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  readonly #maxOwedBytes: number;
  /** For now: no more than a burst, at the higher rate. */
  #savedBytes: number;
  /** Over seconds: at the rate itself. */
  #owedBytes: number;
  #countedAtMs: number;
  /** In the order in which they wait: who was served waits behind the others. */
  readonly #waiting = new Set<() => void>();
  #timer: Timer | undefined;

  constructor({ bytesPerSecond, clock }: { readonly bytesPerSecond: number; readonly clock: Clock }) {
    this.#clock = clock;
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#burstBytes = Math.max(SMALLEST_PIECE_BYTES, bytesPerSecond * BURST_SECONDS);
    this.#maxOwedBytes = Math.max(this.#burstBytes, bytesPerSecond * OWED_SECONDS);
    this.#savedBytes = this.#burstBytes;
    // Nothing has been fetched in the seconds before the start either.
    this.#owedBytes = this.#maxOwedBytes;
    this.#countedAtMs = clock.monotonic();
  }

  /** Up to that many bytes that may be fetched now; 0 when it is better to wait for more. */
  take(wantedBytes: number): number {
    const nowMs = this.#clock.monotonic();
    const earnedBytes = (nowMs - this.#countedAtMs) * this.#bytesPerMs;
    this.#savedBytes = Math.min(this.#burstBytes, this.#savedBytes + earnedBytes * CATCHING_UP_FACTOR);
    this.#owedBytes = Math.min(this.#maxOwedBytes, this.#owedBytes + earnedBytes);
    this.#countedAtMs = nowMs;
    if (this.#freeBytes < Math.min(wantedBytes, SMALLEST_PIECE_BYTES)) return 0;
    const takenBytes = Math.min(wantedBytes, Math.floor(this.#freeBytes));
    this.#savedBytes -= takenBytes;
    this.#owedBytes -= takenBytes;
    return takenBytes;
  }

  get #freeBytes(): number {
    return Math.min(this.#savedBytes, this.#owedBytes);
  }

  /** Calls back once when there may be more to take. */
  wait(callback: () => void): void {
    this.#waiting.add(callback);
    this.#startTimer();
  }

  stopWaiting(callback: () => void): void {
    this.#waiting.delete(callback);
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return;
    const missingBytes = SMALLEST_PIECE_BYTES - this.#freeBytes;
    const waitMs = Math.max(SHORTEST_WAIT_MS, missingBytes / this.#bytesPerMs);
    this.#timer = this.#clock.setTimer(Math.ceil(waitMs), () => this.#expired(), { background: true });
  }

  #expired(): void {
    this.#timer = undefined;
    const waiting = [...this.#waiting];
    for (const callback of waiting) {
      this.#waiting.delete(callback);
      callback();
      // Those that are left were here before the one that has just been served.
      if (this.#freeBytes < SMALLEST_PIECE_BYTES) break;
    }
    if (this.#waiting.size > 0) this.#startTimer();
  }
}
