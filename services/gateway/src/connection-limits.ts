import { OttlaError } from "@ottla/errors";
import { ByteBudget } from "./byte-budget.ts";

export interface ConnectionLimitsOptions {
  /** Appends of one connection that are not answered yet, over all its calls. */
  readonly maxUnansweredBytes: number;
  /** Open `Read` and `Fetch` calls of one connection. */
  readonly maxReads: number;
  /**
   * Partitions that these calls follow, together. Each may wait at a storage node, which takes so many
   * from a gateway only: what one connection may have must leave room for others.
   */
  readonly maxReadPartitions: number;
}

/** The part of a call's context that says whose it is. */
interface Caller {
  readonly peer: string;
  readonly signal: AbortSignal;
}

interface ConnectionUse {
  readonly unanswered: ByteBudget;
  users: number;
  reads: number;
  readPartitions: number;
}

/**
 * What one client connection may have under way. A connection is known by its peer
 * address while it has calls.
 */
export class ConnectionLimits {
  readonly #options: ConnectionLimitsOptions;
  readonly #connections = new Map<string, ConnectionUse>();
  readonly #reads = new Set<AbortController>();
  #stopping = false;

  constructor(options: ConnectionLimitsOptions) {
    this.#options = options;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** The connection's budget of unanswered bytes, kept while `run` is under way. */
  async withBudget<T>(peer: string, run: (budget: ByteBudget) => Promise<T>): Promise<T> {
    const use = this.#enter(peer);
    try {
      return await run(use.unanswered);
    } finally {
      this.#leave(peer, use);
    }
  }

  /**
   * Runs a read of so many partitions, whose signal aborts when the caller goes or the
   * gateway stops. Throws THROTTLING_QUOTA_EXCEEDED when the connection has too many reads
   * open, and UNAVAILABLE when the gateway stops under it.
   */
  async withRead<T>(
    caller: Caller,
    partitionCount: number,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const use = this.#enter(caller.peer);
    const ending = new AbortController();
    const onAbort = (): void => ending.abort(caller.signal.reason);
    caller.signal.addEventListener("abort", onAbort, { once: true });
    this.#reads.add(ending);
    use.reads += 1;
    use.readPartitions += partitionCount;
    try {
      if (this.#stopping) throw stopping();
      if (caller.signal.aborted) onAbort();
      this.#checkReads(use);
      const result = await run(ending.signal);
      if (this.#stopping && !caller.signal.aborted) throw stopping();
      return result;
    } catch (thrown) {
      if (this.#stopping && !caller.signal.aborted) throw stopping();
      throw thrown;
    } finally {
      caller.signal.removeEventListener("abort", onAbort);
      this.#reads.delete(ending);
      use.reads -= 1;
      use.readPartitions -= partitionCount;
      this.#leave(caller.peer, use);
    }
  }

  /**
   * Ends all reads and refuses further ones: their callers go on at another gateway, or
   * at this one's successor.
   */
  endReads(): void {
    this.#stopping = true;
    for (const read of this.#reads) read.abort(stopping());
  }

  #checkReads({ reads, readPartitions }: ConnectionUse): void {
    const { maxReads, maxReadPartitions } = this.#options;
    if (reads > maxReads) throw throttled(`${maxReads} reads open`, maxReads);
    if (readPartitions > maxReadPartitions) {
      throw throttled(`its limit of ${maxReadPartitions} partitions in open reads`, maxReadPartitions);
    }
  }

  #enter(peer: string): ConnectionUse {
    let use = this.#connections.get(peer);
    if (use === undefined) {
      use = {
        unanswered: new ByteBudget(this.#options.maxUnansweredBytes),
        users: 0,
        reads: 0,
        readPartitions: 0,
      };
      this.#connections.set(peer, use);
    }
    use.users += 1;
    return use;
  }

  #leave(peer: string, use: ConnectionUse): void {
    use.users -= 1;
    if (use.users === 0) this.#connections.delete(peer);
  }
}

function throttled(what: string, limit: number): OttlaError {
  return new OttlaError(
    "THROTTLING_QUOTA_EXCEEDED",
    `this connection has ${what} already: close some, or use another connection`,
    { metadata: { limit: String(limit) } },
  );
}

function stopping(): OttlaError {
  return new OttlaError("UNAVAILABLE", "the gateway is shutting down: connect again");
}
