interface Unwritten {
  readonly endOffset: number;
  readonly release: () => void;
}

/** Records that a follower's log has taken and not yet written, in the order of their offsets. */
export class UnwrittenRecords {
  #entries: Unwritten[] = [];

  /** Appended up to `endOffset`; `release` is called once when that is written, or given up. */
  add(endOffset: number, release: () => void): void {
    this.#entries.push({ endOffset, release });
  }

  /** The log has written up to there. */
  written(endOffset: number): void {
    const left = this.#entries.findIndex((entry) => entry.endOffset > endOffset);
    if (left === 0) return;
    const written = left < 0 ? this.#entries.splice(0) : this.#entries.splice(0, left);
    for (const { release } of written) release();
  }

  /** The log was cut, has failed or was closed: what it had not written is gone. */
  clear(): void {
    for (const { release } of this.#entries.splice(0)) release();
  }
}
