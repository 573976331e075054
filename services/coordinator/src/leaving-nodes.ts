import type { Term } from "./term.ts";

interface LeavingNode {
  readonly nodeEpoch: number;
  readonly untilMs: number;
}

/**
 * Storage nodes that have announced their end: nobody elects them or takes them into an ISR, until they
 * register again or take longer than they should. Only remembered: after a change of the coordinator such a
 * node may be elected once more, sees it, and asks again.
 */
export class LeavingNodes {
  readonly #term: Term;
  readonly #nodes = new Map<number, LeavingNode>();

  constructor(term: Term) {
    this.#term = term;
  }

  /** `onOver` is called when the node has not stopped in time. */
  add(nodeId: number, nodeEpoch: number, onOver: () => void): void {
    const { clock, limits, ended } = this.#term;
    this.#nodes.set(nodeId, { nodeEpoch, untilMs: clock.monotonic() + limits.leavingNodeMs });
    const timer = clock.setTimer(
      limits.leavingNodeMs,
      () => {
        ended.removeEventListener("abort", cancel);
        if (this.#nodes.get(nodeId)?.nodeEpoch === nodeEpoch && !this.has(nodeId)) onOver();
      },
      { background: true },
    );
    const cancel = (): void => timer.cancel();
    ended.addEventListener("abort", cancel, { once: true });
  }

  readonly has = (nodeId: number): boolean => {
    const leaving = this.#nodes.get(nodeId);
    if (leaving === undefined) return false;
    const { clock, view } = this.#term;
    if (view.node("partition-storage", nodeId)?.nodeEpoch !== leaving.nodeEpoch) return false;
    return clock.monotonic() < leaving.untilMs;
  };
}
