import { OttlaError } from "@ottla/errors";
import { ByteBudget } from "./byte-budget.ts";

export interface ConnectionLimitsOptions {
  /** Appends of one connection that are not answered yet, over all its calls. */
  readonly maxUnansweredBytes: number;
  /** Open `Read` and `Fetch` calls of one connection. */
  readonly maxReads: number;
}

interface ConnectionUse {
  readonly unanswered: ByteBudget;
  users: number;
  reads: number;
}

/** What one client connection may have under way. A connection is known by its peer address while it has calls. */
export class ConnectionLimits {
  readonly #options: ConnectionLimitsOptions;
  readonly #connections = new Map<string, ConnectionUse>();

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

  /** Throws THROTTLING_QUOTA_EXCEEDED when the connection has too many reads open. */
  async withRead<T>(peer: string, run: () => Promise<T>): Promise<T> {
    const { maxReads } = this.#options;
    const use = this.#enter(peer);
    use.reads += 1;
    try {
      if (use.reads > maxReads) {
        throw new OttlaError(
          "THROTTLING_QUOTA_EXCEEDED",
          `this connection has ${maxReads} reads open already: close some, or use another connection`,
          { metadata: { limit: String(maxReads) } },
        );
      }
      return await run();
    } finally {
      use.reads -= 1;
      this.#leave(peer, use);
    }
  }

  #enter(peer: string): ConnectionUse {
    let use = this.#connections.get(peer);
    if (use === undefined) {
      use = { unanswered: new ByteBudget(this.#options.maxUnansweredBytes), users: 0, reads: 0 };
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
