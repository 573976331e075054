/**
 * The saved parts of index files that were looked at lately, within a budget of bytes for
 * the whole node: the one not used for longest leaves first.
 */
export class IndexCache {
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Uint8Array>();
  #sizeBytes = 0;

  constructor(maxBytes = 64 * 1024 * 1024) {
    this.#maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get(path: string): Uint8Array | undefined {
    const bytes = this.#entries.get(path);
    if (bytes !== undefined) {
      this.#entries.delete(path);
      this.#entries.set(path, bytes);
    }
    return bytes;
  }

  set(path: string, bytes: Uint8Array): void {
    this.delete(path);
    this.#entries.set(path, bytes);
    this.#sizeBytes += bytes.byteLength;
    for (const [oldest, held] of this.#entries) {
      if (this.#sizeBytes <= this.#maxBytes) break;
      this.#entries.delete(oldest);
      this.#sizeBytes -= held.byteLength;
    }
  }

  delete(path: string): void {
    const bytes = this.#entries.get(path);
    if (bytes === undefined) return;
    this.#entries.delete(path);
    this.#sizeBytes -= bytes.byteLength;
  }
}
