import { OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { askLeaders, type ItemForLeader, type PartitionRef } from "./ask-leaders.ts";
import type { LeaderNews } from "./leader-news.ts";
import { isSameTerm, type LeaderView, type PartitionPlacement } from "./leader-view.ts";
import { mayRetryRead } from "./retry.ts";

export interface ReadRetriesOptions {
  readonly view: LeaderView;
  readonly news: LeaderNews;
  readonly clock: Clock;
  readonly isClosed: () => boolean;
  readonly onRetry: () => void;
}

export interface RetryTerms {
  /** How long to go on trying. */
  readonly retryMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Asks the node `nodeId` for some of the items: one answer for each, in their order. */
export type AskNode<Item, Answer> = (
  nodeId: number,
  mine: readonly ItemForLeader<Item>[],
) => Promise<(Answer | OttlaError)[]>;

const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 250;

/**
 * Runs reads again after a stale view or a broken connection until their time is up: as soon as the
 * view names another leader, else after a pause.
 */
export class ReadRetries {
  readonly #options: ReadRetriesOptions;

  constructor(options: ReadRetriesOptions) {
    this.#options = options;
  }

  /** What the view does not know may have been created a moment ago, through another gateway. */
  async know(items: readonly PartitionRef[]): Promise<void> {
    const { view } = this.#options;
    if (items.every(({ topicId, partition }) => view.partition(topicId, partition) !== undefined)) return;
    await this.#refresh();
  }

  /** Throws UNKNOWN_TOPIC_OR_PARTITION, or LEADER_NOT_AVAILABLE while there is none. */
  leaderOf({ topicId, partition }: PartitionRef): PartitionPlacement {
    const placement = this.#options.view.partition(topicId, partition);
    if (placement === undefined) {
      const message = `partition ${partition} of topic id ${topicId} does not exist`;
      throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", message);
    }
    if (placement.leader < 0) {
      const message = `partition ${partition} of topic id ${topicId} has no leader`;
      throw new OttlaError("LEADER_NOT_AVAILABLE", message);
    }
    return placement;
  }

  /** Reads from one partition. */
  async one<T>(ref: PartitionRef, { retryMs, signal }: RetryTerms, call: () => Promise<T>): Promise<T> {
    const { clock, view, news, onRetry, isClosed } = this.#options;
    const placementNow = (): PartitionPlacement | undefined => view.partition(ref.topicId, ref.partition);
    const deadlineMs = clock.monotonic() + retryMs;
    await this.know([ref]);
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2)) {
      const asked = placementNow();
      try {
        return await call();
      } catch (thrown) {
        const error = toOttlaError(thrown);
        const leftMs = deadlineMs - clock.monotonic();
        const isWorthIt = mayRetryRead(error, asked?.replicas.length);
        if (!isWorthIt || leftMs <= 0 || isClosed() || signal?.aborted === true) throw error;
        onRetry();
        if (isSuccessor(placementNow(), asked)) continue;
        // What the store knows and the view did not is news too.
        void this.#refresh();
        await news.wait(ref, Math.min(backoffMs, leftMs), signal);
      }
    }
  }

  /** Asks each leader for its items; those whose leader had changed are asked for again. */
  async many<Item extends PartitionRef, Answer>(
    items: readonly Item[],
    { retryMs, signal }: RetryTerms,
    ask: AskNode<Item, Answer>,
  ): Promise<(Answer | OttlaError)[]> {
    const { clock, view, news, onRetry, isClosed } = this.#options;
    const deadlineMs = clock.monotonic() + retryMs;
    const leaderOf = (item: Item): PartitionPlacement => this.leaderOf(item);
    const answers: (Answer | OttlaError)[] = items.map(
      () => new OttlaError("LEADER_NOT_AVAILABLE", "not asked"),
    );
    const isOpen = (index: number): boolean => {
      const answer = answers[index];
      const item = items[index];
      if (!(answer instanceof OttlaError) || item === undefined) return false;
      return mayRetryRead(answer, view.partition(item.topicId, item.partition)?.replicas.length);
    };
    let open = items.map((_, index) => index);
    await this.know(items);
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2)) {
      await askLeaders({ items, leaderOf, ask }, open, answers);
      open = open.filter(isOpen);
      const leftMs = deadlineMs - clock.monotonic();
      if (open.length === 0 || leftMs <= 0 || isClosed() || signal?.aborted === true) return answers;
      onRetry();
      void this.#refresh();
      await news.wait(undefined, Math.min(backoffMs, leftMs), signal);
    }
  }

  /** Goes on with what is known where the store is away. */
  async #refresh(): Promise<void> {
    await this.#options.view.refresh().catch(() => undefined);
  }
}

function isSuccessor(
  placement: PartitionPlacement | undefined,
  before: PartitionPlacement | undefined,
): boolean {
  return placement !== undefined && placement.leader >= 0 && !isSameTerm(placement, before);
}
