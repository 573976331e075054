/** The least that a fetch may answer with, however many others have taken the rest. */
const SMALLEST_GRANT_BYTES = 64 * 1024;
/**
 * One fetch gets at most this share of what is free, so that clients who never take their
 * answers cannot take all.
 */
const SHARE = 4;

/**
 * The bytes of answers to fetches that are read and not yet taken by their clients, over
 * all connections. Nobody waits for it: as it fills up, answers become smaller.
 */
export class FetchBudget {
  readonly #limitBytes: number;
  #takenBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Takes as many of the wanted bytes as this fetch may have; `give` returns them. */
  grant(wantedBytes: number): number {
    const share = Math.floor((this.#limitBytes - this.#takenBytes) / SHARE);
    const granted = Math.min(wantedBytes, Math.max(SMALLEST_GRANT_BYTES, share));
    this.#takenBytes += granted;
    return granted;
  }

  give(sizeBytes: number): void {
    this.#takenBytes -= sizeBytes;
  }
}
