import type { KeyValue, MetadataStore, Revision, Transaction, WatchEvent } from "./metadata-store.ts";

/** A store prepared for one test. */
export interface StoreUnderTest {
  readonly store: MetadataStore;
  /** Another client of the same data; the same object where a store has only one. */
  readonly other: MetadataStore;
  compact(revision: Revision): Promise<void>;
  /** Ends all, `store` included. */
  close(): Promise<void>;
}

export interface ExpiringStoreUnderTest extends StoreUnderTest {
  /** Cuts `store` off, so that its keep-alives do not arrive. */
  cutOff(): void;
  /** Lets this much time pass. */
  advance(ms: number): Promise<void>;
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(entry: KeyValue | undefined): string | undefined {
  return entry === undefined ? undefined : new TextDecoder().decode(entry.value);
}

export function put(key: string, value = key): Transaction {
  return { compare: [], success: [{ kind: "put", key, value: bytes(value) }] };
}

/** Gathers what a watch delivers and lets a test wait for it. */
export class WatchRecorder {
  readonly changes: { revision: Revision; events: readonly WatchEvent[] }[] = [];
  lost: Error | undefined;
  #wake: () => void = () => {};

  onEvents(events: readonly WatchEvent[], revision: Revision): void {
    this.changes.push({ revision, events });
    this.#wake();
  }

  onLost(reason: Error): void {
    this.lost = reason;
    this.#wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  summary(): string[] {
    return this.changes.map(({ events }) =>
      events.map((event) => (event.kind === "put" ? `+${event.entry.key}` : `-${event.key}`)).join(" "),
    );
  }
}
