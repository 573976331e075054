/** Somebody who holds bytes of requests: a connection. */
export interface RequestHolder {
  /** Whether it may read has perhaps changed: it asks `mayRead`. */
  onReadingChanged(): void;
}

/** Full at the limit, and no more at this part of it: reading is not turned off and on for every request. */
const RESUME_SHARE = 0.75;

/**
 * The bytes of requests that all connections hold together, partly received ones among them.
 * When there are too many, nobody reads on, except the one whose request has been part-way for
 * the longest: so one after another becomes whole, is answered and gives its bytes back.
 */
export class RequestMemory {
  readonly #limitBytes: number;
  readonly #holders = new Set<RequestHolder>();
  /** Those with a request that is part-way, the longest waiting first. */
  readonly #partWay = new Set<RequestHolder>();
  #heldBytes = 0;
  #isFull = false;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  join(holder: RequestHolder): void {
    this.#holders.add(holder);
  }

  /** What it still holds counts until it gives it back. */
  leave(holder: RequestHolder): void {
    this.#holders.delete(holder);
    this.#setPartWay(holder, false);
  }

  mayRead(holder: RequestHolder): boolean {
    return !this.#isFull || this.#first() === holder;
  }

  /** Takes or gives back bytes, and notes whether the holder has a request that is part-way. */
  account(holder: RequestHolder, changeBytes: number, isPartWay: boolean): void {
    this.#heldBytes += changeBytes;
    this.#setPartWay(holder, isPartWay && this.#holders.has(holder));
    const isFull = this.#heldBytes >= this.#limitBytes * (this.#isFull ? RESUME_SHARE : 1);
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    for (const each of this.#holders) each.onReadingChanged();
  }

  #setPartWay(holder: RequestHolder, isPartWay: boolean): void {
    if (isPartWay === this.#partWay.has(holder)) return;
    const first = this.#first();
    if (isPartWay) this.#partWay.add(holder);
    else this.#partWay.delete(holder);
    const next = this.#first();
    if (this.#isFull && next !== first) next?.onReadingChanged();
  }

  #first(): RequestHolder | undefined {
    const [first] = this.#partWay;
    return first;
  }
}
