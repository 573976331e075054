import type { OttlaError } from "@ottla/errors";
import type { Clock, Timer } from "@ottla/runtime";
import type { Lease } from "./metadata-store.ts";

/** Keep-alives go out this many times in the life of a lease, so that two may be lost. */
const KEEP_ALIVES_PER_TTL = 3;

/**
 * The part of the time to live by which the holder steps down before the store may give the lease to another.
 */
const MARGIN = 0.1;

export interface LeaseKeeperOptions {
  readonly id: string;
  readonly ttlMs: number;
  readonly clock: Clock;
  /** The monotonic time just before the grant was sent. */
  readonly grantSentAtMs: number;
  /** Resolves to false when the store says that the lease has ended; rejects when it does not answer. */
  readonly sendKeepAlive: () => Promise<boolean>;
  readonly revoke: () => Promise<void>;
  /** The error to abort `lost` with. */
  readonly lostError: (reason: string) => OttlaError;
}

/**
 * Keeps a lease alive, and takes it for lost by its own deadline: the time the last answered keep-alive was
 * *sent*, plus the time to live, minus a margin, on the monotonic clock. (etcd3 reports the loss only after
 * twice that time.)
 */
export class LeaseKeeper implements Lease {
  readonly id: string;
  readonly #options: LeaseKeeperOptions;
  readonly #lost = new AbortController();
  #deadlineMs: number;
  #deadlineTimer: Timer;
  #keepAliveTimer: Timer;
  #over = false;

  constructor(options: LeaseKeeperOptions) {
    this.id = options.id;
    this.#options = options;
    this.#deadlineMs = this.#deadlineFrom(options.grantSentAtMs);
    this.#deadlineTimer = this.#startDeadline();
    this.#keepAliveTimer = this.#startKeepAlive();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async revoke(): Promise<void> {
    if (this.#over) return;
    this.lose("it was revoked");
    await this.#options.revoke();
  }

  /** Stops the keep-alives and tells the holder; the store ends the lease in its own time. */
  lose(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadlineTimer.cancel();
    this.#keepAliveTimer.cancel();
    this.#lost.abort(this.#options.lostError(reason));
  }

  #deadlineFrom(sentAtMs: number): number {
    return sentAtMs + this.#options.ttlMs * (1 - MARGIN);
  }

  #startDeadline(): Timer {
    const { clock } = this.#options;
    const delayMs = Math.max(0, this.#deadlineMs - clock.monotonic());
    return clock.setTimer(delayMs, () => {
      // The deadline may have moved since the timer was set.
      if (clock.monotonic() >= this.#deadlineMs) this.lose("the store did not answer keep-alives in time");
      else this.#deadlineTimer = this.#startDeadline();
    });
  }

  #startKeepAlive(): Timer {
    return this.#options.clock.setTimer(this.#options.ttlMs / KEEP_ALIVES_PER_TTL, () => {
      this.#keepAliveTimer = this.#startKeepAlive();
      void this.#keepAlive();
    });
  }

  async #keepAlive(): Promise<void> {
    const sentAtMs = this.#options.clock.monotonic();
    let alive: boolean;
    try {
      alive = await this.#options.sendKeepAlive();
    } catch {
      // The deadline decides; the next keep-alive may still come through.
      return;
    }
    if (this.#over) return;
    if (!alive) this.lose("the store has ended it");
    else this.#deadlineMs = Math.max(this.#deadlineMs, this.#deadlineFrom(sentAtMs));
  }
}
