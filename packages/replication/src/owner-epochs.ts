import { OttlaError } from "@ottla/errors";

export interface OwnerEpochStart {
  readonly ownerEpoch: number;
  /** Of the control batch that the owner began with. */
  readonly offset: number;
}

/**
 * The owners of a single-writer log (R13), in its order. Built from the log's own control
 * batches, on the leader as on followers, so that no new leader forgets it and no time
 * makes it expire. The owner of the newest epoch is the only one that may append.
 */
export class OwnerEpochs {
  #starts: OwnerEpochStart[];

  constructor(starts: readonly OwnerEpochStart[] = []) {
    this.#starts = [...starts];
  }

  get starts(): readonly OwnerEpochStart[] {
    return this.#starts;
  }

  /** -1 when the log has had no owner. */
  get latest(): number {
    return this.#starts.at(-1)?.ownerEpoch ?? -1;
  }

  /**
   * Why a batch of the owner is refused, or undefined; `isFence` for the control batch
   * that an owner begins with.
   */
  refuse(ownerEpoch: number, isFence: boolean): OttlaError | undefined {
    const { latest } = this;
    if (ownerEpoch < latest) {
      return new OttlaError(
        "PRODUCER_FENCED",
        `owner epoch ${ownerEpoch} is over: the log belongs to owner epoch ${latest}`,
        { metadata: { owner_epoch: String(latest) } },
      );
    }
    if (isFence || ownerEpoch === latest) return undefined;
    return new OttlaError(
      "INVALID_REQUEST",
      `owner epoch ${ownerEpoch} has to begin with its control batch: the log knows owner epoch ${latest} only`,
      { metadata: { owner_epoch: String(latest) } },
    );
  }

  /** A control batch of an owner was appended or replicated. The same epoch may fence again. */
  begin(ownerEpoch: number, offset: number): void {
    if (ownerEpoch > this.latest) this.#starts.push({ ownerEpoch, offset });
  }

  /** The log was cut: owners that began beyond have never been, as far as this log knows (R6). */
  truncateTo(offset: number): void {
    this.#starts = this.#starts.filter((start) => start.offset < offset);
  }

  /** The log begins later: only the newest owner of what is gone matters (R14). */
  forgetBefore(offset: number): void {
    const last = this.#starts.findLastIndex((start) => start.offset < offset);
    if (last > 0) this.#starts = this.#starts.slice(last);
  }
}
