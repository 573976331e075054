/**
 * What the node of a leader may have on its way here, or waiting here for the disk. It belongs to the pair of
 * nodes rather than to one stream, so that streams that break add up to no more than one window.
 */
export class ReceiveWindow {
  readonly sizeBytes: number;
  readonly #onReleased: () => void;
  /** Granted and not received; below zero when a batch has overdrawn it. */
  #grantedBytes = 0;
  #unreleasedBytes = 0;

  constructor(sizeBytes: number, onReleased: () => void) {
    this.sizeBytes = sizeBytes;
    this.#onReleased = onReleased;
  }

  /** What may be granted beside what was granted before. */
  get wantedBytes(): number {
    return Math.max(0, this.sizeBytes - this.#grantedBytes - this.#unreleasedBytes);
  }

  /** Whether granting it is worth a message of its own. */
  get isWorthGranting(): boolean {
    return this.wantedBytes >= this.sizeBytes / 4;
  }

  grant(bytes: number): void {
    this.#grantedBytes += bytes;
  }

  /** Returns false, and counts nothing, when the leader had nothing left to send these on. */
  receive(bytes: number): boolean {
    if (this.#grantedBytes <= 0) return false;
    this.#grantedBytes -= bytes;
    this.#unreleasedBytes += bytes;
    return true;
  }

  /** Bytes that were received are in a file, or were dropped. */
  release(bytes: number): void {
    this.#unreleasedBytes -= bytes;
    this.#onReleased();
  }

  /** The stream is another one: what was granted on the old one is void. */
  restart(): void {
    this.#grantedBytes = 0;
  }
}
