import type { Clock, Timer } from "@ottla/runtime";

/** Less is not worth a message. */
const SMALLEST_PIECE_BYTES = 64 * 1024;
/** What may have been saved up, as a part of a second. */
const BURST_SECONDS = 0.125;
const SHORTEST_WAIT_MS = 5;

/** How fast the replicas of this node that are outside their ISR may fetch, all of them together. */
export class CatchUpThrottle {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  #savedBytes: number;
  #countedAtMs: number;
  /** In the order in which they wait: who was served waits behind the others. */
  readonly #waiting = new Set<() => void>();
  #timer: Timer | undefined;

  constructor({ bytesPerSecond, clock }: { readonly bytesPerSecond: number; readonly clock: Clock }) {
    this.#clock = clock;
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#burstBytes = Math.max(SMALLEST_PIECE_BYTES, bytesPerSecond * BURST_SECONDS);
    this.#savedBytes = this.#burstBytes;
    this.#countedAtMs = clock.monotonic();
  }

  /** Up to that many bytes that may be fetched now; 0 when it is better to wait for more. */
  take(wantedBytes: number): number {
    const nowMs = this.#clock.monotonic();
    const earnedBytes = (nowMs - this.#countedAtMs) * this.#bytesPerMs;
    this.#savedBytes = Math.min(this.#burstBytes, this.#savedBytes + earnedBytes);
    this.#countedAtMs = nowMs;
    if (this.#savedBytes < Math.min(wantedBytes, SMALLEST_PIECE_BYTES)) return 0;
    const takenBytes = Math.min(wantedBytes, Math.floor(this.#savedBytes));
    this.#savedBytes -= takenBytes;
    return takenBytes;
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
    const missingBytes = SMALLEST_PIECE_BYTES - this.#savedBytes;
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
      if (this.#savedBytes < SMALLEST_PIECE_BYTES) break;
    }
    if (this.#waiting.size > 0) this.#startTimer();
  }
}
