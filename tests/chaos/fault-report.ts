interface Count {
  times: number;
  /** The longest time to an acknowledgement, for each kind of client. */
  readonly stallsMs: Map<string, number>;
}

/** How often each fault struck, and how long clients waited at the most. */
export class FaultReport {
  readonly #counts = new Map<string, Count>();
  readonly #skipped = new Map<string, string>();

  struck(kind: string, stallsMs: ReadonlyMap<string, number>): void {
    const count = this.#counts.get(kind) ?? { times: 0, stallsMs: new Map<string, number>() };
    count.times += 1;
    for (const [client, ms] of stallsMs)
      count.stallsMs.set(client, Math.max(count.stallsMs.get(client) ?? 0, ms));
    this.#counts.set(kind, count);
  }

  /** False when that was known. */
  skip(kind: string, missing: string): boolean {
    const isNew = !this.#skipped.has(kind);
    this.#skipped.set(kind, missing);
    return isNew;
  }

  lines(): string[] {
    const struck = [...this.#counts].map(([kind, { times, stallsMs }]) => {
      const stalls = [...stallsMs].map(([client, ms]) => `${client} ${Math.round(ms)} ms`.padStart(16));
      return `${kind.padEnd(52)}${String(times).padStart(4)}${stalls.join("")}`;
    });
    const skipped = [...this.#skipped].map(([kind, missing]) => `${kind.padEnd(52)}   0  needs ${missing}`);
    return [`${"fault".padEnd(52)}times, longest stalls of clients`, ...struck, ...skipped];
  }
}
