import type { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { storeClosed } from "../transaction-limits.ts";
import type { EtcdEndpoint } from "./etcd-endpoint.ts";
import { etcdError, failureOf, mayAnswerElsewhere } from "./etcd-errors.ts";

/** How long one of several members may take to connect before the next one is tried. */
const CONNECT_PATIENCE_MS = 1000;

/** The least time one of several members gets to answer a read. */
const MIN_ATTEMPT_MS = 500;

/** What is sent once is not sent with less time than this for the answer. */
const MIN_ANSWER_MS = 10;

const RETRY_PAUSE_MS = 100;

export interface EtcdClusterOptions {
  readonly endpoints: readonly EtcdEndpoint[];
  readonly clock: Clock;
  /** Index of the member to begin with. */
  readonly first: number;
}

/**
 * The members of etcd's cluster: stays with one while it answers, and goes on to the next when it does not.
 */
export class EtcdCluster {
  readonly #endpoints: readonly EtcdEndpoint[];
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  #current: number;

  constructor(options: EtcdClusterOptions) {
    this.#endpoints = options.endpoints;
    this.#clock = options.clock;
    this.#current = options.first % options.endpoints.length;
  }

  /**
   * Sends once, to a member that is connected; nothing was sent while none is. When the attempt fails with a
   * failure that `mayAnswerElsewhere`, it may have been applied.
   */
  async once<T>(
    timeoutMs: number,
    attempt: (endpoint: EtcdEndpoint, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const untilMs = this.#clock.monotonic() + timeoutMs;
    const endpoint = await this.ready(untilMs);
    const leftMs = untilMs - this.#clock.monotonic();
    // Better not sent than sent without the time to hear what became of it.
    if (leftMs < MIN_ANSWER_MS) throw unavailable(`connecting to ${endpoint.address} took all of it`);
    try {
      return await attempt(endpoint, leftMs);
    } catch (thrown) {
      if (mayAnswerElsewhere(thrown)) this.leave(endpoint);
      throw thrown;
    }
  }

  /** For what may be done twice: tries member after member until one answers or the time is up. */
  async repeat<T>(
    timeoutMs: number,
    attempt: (endpoint: EtcdEndpoint, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const untilMs = this.#clock.monotonic() + timeoutMs;
    const isOne = this.#endpoints.length === 1;
    const patienceMs = isOne ? timeoutMs : Math.max(MIN_ATTEMPT_MS, timeoutMs / this.#endpoints.length);
    for (;;) {
      const endpoint = await this.ready(untilMs);
      const leftMs = Math.max(1, untilMs - this.#clock.monotonic());
      try {
        return await attempt(endpoint, Math.min(leftMs, patienceMs));
      } catch (thrown) {
        if (!mayAnswerElsewhere(thrown)) throw thrown;
        this.leave(endpoint);
        await this.#pause(untilMs, thrown);
      }
    }
  }

  /** A member that is connected, logged in to and of a version that is supported. */
  async ready(untilMs: number): Promise<EtcdEndpoint> {
    const count = this.#endpoints.length;
    for (;;) {
      let last: unknown;
      let refusals = 0;
      for (let i = 0; i < count; i += 1) {
        const leftMs = untilMs - this.#clock.monotonic();
        if (leftMs <= 0) break;
        const endpoint = this.#endpoints[this.#current];
        if (endpoint === undefined) break;
        try {
          await endpoint.prepare(count === 1 ? leftMs : Math.min(leftMs, CONNECT_PATIENCE_MS));
          return endpoint;
        } catch (thrown) {
          last = thrown;
          if (failureOf(thrown) === "refused") refusals += 1;
          this.leave(endpoint);
        }
      }
      // A wrong password or version does not get better by waiting.
      if (refusals === count) throw last;
      await this.#pause(untilMs, last ?? etcdError("timeout", "the time was up before etcd was asked"));
    }
  }

  /** Turns to the next member, unless another call has done so already. */
  leave(endpoint: EtcdEndpoint): void {
    if (this.#endpoints[this.#current] === endpoint) {
      this.#current = (this.#current + 1) % this.#endpoints.length;
    }
  }

  close(): void {
    this.#closing.abort(storeClosed("metadata store"));
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  /** Rejects with `reason` when no time is left for another attempt. */
  async #pause(untilMs: number, reason: unknown): Promise<void> {
    this.#closing.signal.throwIfAborted();
    if (this.#clock.monotonic() + RETRY_PAUSE_MS >= untilMs) throw unavailable(reason);
    await this.#clock.sleep(RETRY_PAUSE_MS, this.#closing.signal);
  }
}

function unavailable(reason: unknown): OttlaError {
  const message = reason instanceof Error ? reason.message : String(reason);
  return etcdError("timeout", `etcd does not answer in time: ${message}`, reason);
}
