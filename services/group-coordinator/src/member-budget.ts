import { OttlaError } from "@ottla/errors";
import { ASK_LATER } from "@ottla/routing";
import type { LimitedLogger } from "@ottla/runtime";

export interface MemberBudgetOptions {
  readonly limitBytes: number;
  readonly logger: LimitedLogger;
  /** Somebody was refused. */
  readonly onRefused?: () => void;
}

/**
 * What is left to who is a member already: what it owns, which clients say when they join again, and the
 * assignments. Without it a group could take members in and never share anything out among them.
 */
const SHARE_OF_MEMBERS = 0.2;

/**
 * What the members of all groups of a node have brought, in bytes, and how much of that there may be: groups
 * live in memory, and each alone may be large.
 */
export class MemberBudget {
  readonly #options: MemberBudgetOptions;
  #heldBytes = 0;

  constructor(options: MemberBudgetOptions) {
    this.#options = options;
  }

  get limitBytes(): number {
    return this.#options.limitBytes;
  }

  /** More than the limit where groups came from another node: those that are members go on. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  change(deltaBytes: number): void {
    this.#heldBytes += deltaBytes;
  }

  /**
   * Throws COORDINATOR_NOT_AVAILABLE where a member would bring so much more than there is room for. Clients
   * of both protocols come back after that code, where GROUP_MAX_SIZE_REACHED ends them: who is refused here
   * has done nothing wrong, and may find room in a moment, or at the group's next owner.
   */
  requireRoom(growthBytes: number, who: "new member" | "member"): void {
    const { limitBytes, logger, onRefused } = this.#options;
    const heldBytes = this.#heldBytes;
    const roomBytes = who === "member" ? limitBytes : limitBytes * (1 - SHARE_OF_MEMBERS);
    if (growthBytes <= 0 || heldBytes + growthBytes <= roomBytes) return;
    onRefused?.();
    const message =
      `this node holds ${heldBytes} bytes of what members of groups bring, and has no room for ${growthBytes} ` +
      `of a ${who}: raise groups.max-member-bytes or add group-coordinators`;
    logger.warn("member-budget", { heldBytes, limitBytes }, message);
    throw new OttlaError("COORDINATOR_NOT_AVAILABLE", message, {
      metadata: { [ASK_LATER]: "true", limit: String(limitBytes) },
    });
  }
}

/** What the members of one group have brought; a part of its node's budget as long as the node serves it. */
export class MemberBytes {
  #bytes = 0;
  #budget: MemberBudget | undefined;

  get bytes(): number {
    return this.#bytes;
  }

  change(deltaBytes: number): void {
    this.#bytes += deltaBytes;
    this.#budget?.change(deltaBytes);
  }

  countIn(budget: MemberBudget): void {
    this.end();
    this.#budget = budget;
    budget.change(this.#bytes);
  }

  /** The group is gone, or was replaced: what still changes in it is nobody's memory for long. */
  end(): void {
    this.#budget?.change(-this.#bytes);
    this.#budget = undefined;
  }
}
