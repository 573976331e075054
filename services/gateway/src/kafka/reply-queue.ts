/** The place of one request's answer in its connection's order. */
export interface ReplySlot {
  /** The request is over: `pieces` go out when all earlier slots are over, or nothing when undefined. */
  settle(pieces: readonly Uint8Array[] | undefined): void;
}

/** Keeps answers in the order of their requests, whatever order they are ready in. */
export class ReplyQueue {
  readonly #write: (pieces: readonly Uint8Array[]) => void;
  readonly #slots: Slot[] = [];

  constructor(write: (pieces: readonly Uint8Array[]) => void) {
    this.#write = write;
  }

  /** Requests that are not answered, or whose answers wait for earlier ones. */
  get unanswered(): number {
    return this.#slots.length;
  }

  open(): ReplySlot {
    const slot = new Slot(() => this.#flush());
    this.#slots.push(slot);
    return slot;
  }

  #flush(): void {
    let ready = 0;
    const pieces: Uint8Array[] = [];
    for (const slot of this.#slots) {
      if (!slot.isSettled) break;
      ready++;
      if (slot.pieces !== undefined) pieces.push(...slot.pieces);
    }
    if (ready === 0) return;
    this.#slots.splice(0, ready);
    if (pieces.length > 0) this.#write(pieces);
  }
}

class Slot implements ReplySlot {
  readonly #onSettled: () => void;
  isSettled = false;
  pieces: readonly Uint8Array[] | undefined;

  constructor(onSettled: () => void) {
    this.#onSettled = onSettled;
  }

  settle(pieces: readonly Uint8Array[] | undefined): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.pieces = pieces;
    this.#onSettled();
  }
}
