import type { MetadataStore, Revision } from "./metadata-store.ts";

/** Linearizable reads of the revision of one key, which those who ask at the same time share. */
export class ChangedReads {
  readonly #read: () => Promise<Revision | undefined>;
  /** The one under way, and that of those who came meanwhile. */
  #reading: Promise<Revision | undefined> | undefined;
  #nextRead: Promise<Revision | undefined> | undefined;

  constructor(store: MetadataStore, key: string, timeoutMs: number) {
    this.#read = async () => (await store.get(key, { timeoutMs }))?.modRevision;
  }

  /** By a read that begins after this call. */
  next(): Promise<Revision | undefined> {
    if (this.#reading === undefined) return this.#begin();
    this.#nextRead ??= this.#reading
      .catch(() => undefined)
      .then(() => {
        this.#nextRead = undefined;
        return this.#begin();
      });
    return this.#nextRead;
  }

  #begin(): Promise<Revision | undefined> {
    const reading = this.#read().finally(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    this.#reading = reading;
    return reading;
  }
}
