interface Waiter {
  readonly sizeBytes: number;
  readonly go: () => void;
}

/**
 * A number of bytes that many share. Who finds too little left waits in line; one that alone
 * is larger than the whole goes when nothing else is out, so that nothing can get stuck.
 */
export class ByteBudget {
  readonly #limitBytes: number;
  #takenBytes = 0;
  #waiting: Waiter[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Takes the bytes at once, or says that it cannot. */
  tryTake(sizeBytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#fits(sizeBytes)) return false;
    this.#takenBytes += sizeBytes;
    return true;
  }

  /** Resolves with whether the bytes were taken: false when the signal aborted first. */
  take(sizeBytes: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.tryTake(sizeBytes)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const onAbort = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        resolve(false);
        this.#admit();
      };
      const waiter: Waiter = {
        sizeBytes,
        go: () => {
          signal.removeEventListener("abort", onAbort);
          resolve(true);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  give(sizeBytes: number): void {
    this.#takenBytes -= sizeBytes;
    this.#admit();
  }

  #fits(sizeBytes: number): boolean {
    return this.#takenBytes === 0 || this.#takenBytes + sizeBytes <= this.#limitBytes;
  }

  #admit(): void {
    for (
      let next = this.#waiting[0];
      next !== undefined && this.#fits(next.sizeBytes);
      next = this.#waiting[0]
    ) {
      this.#waiting.shift();
      this.#takenBytes += next.sizeBytes;
      next.go();
    }
  }
}
