/**
 * Counts the bytes of records that are buffered or in flight, and lets callers wait, first
 * come first served, while they are at the limit. A record larger than what is left waits too,
 * unless nothing at all is buffered: what is larger than the whole buffer was refused before.
 */
export class BufferBudget {
  readonly limitBytes: number;
  #usedBytes = 0;
  #waitingBytes = 0;
  #waiting: Waiting[] = [];
  /** Index of the first that still waits: shifting a long array for each would cost its length each time. */
  #first = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether a small record would be taken without waiting. */
  get hasRoom(): boolean {
    return this.#usedBytes < this.limitBytes && this.waitingCount === 0;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get waitingCount(): number {
    return this.#waiting.length - this.#first;
  }

  tryTake(sizeBytes: number): boolean {
    if (this.waitingCount > 0 || !this.#fits(sizeBytes)) return false;
    this.#usedBytes += sizeBytes;
    return true;
  }

  /** Takes the bytes even where that passes the limit: for one more record of a caller that then waits. */
  take(sizeBytes: number): void {
    this.#usedBytes += sizeBytes;
  }

  /** Calls `granted` when it is this caller's turn and the bytes are taken. */
  whenTaken(sizeBytes: number, granted: () => void): void {
    this.#waitingBytes += sizeBytes;
    this.#waiting.push({ sizeBytes, granted });
  }

  give(sizeBytes: number): void {
    this.#usedBytes -= sizeBytes;
    while (this.#first < this.#waiting.length) {
      const next = this.#waiting[this.#first];
      if (next === undefined || !this.#fits(next.sizeBytes)) break;
      this.#first++;
      this.#usedBytes += next.sizeBytes;
      this.#waitingBytes -= next.sizeBytes;
      next.granted();
    }
    if (this.#first === this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    } else if (this.#first > 1024) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
  }

  #fits(sizeBytes: number): boolean {
    return (
      this.#usedBytes === 0 ||
      (this.#usedBytes < this.limitBytes && this.#usedBytes + sizeBytes <= this.limitBytes)
    );
  }
}

interface Waiting {
  readonly sizeBytes: number;
  readonly granted: () => void;
}
