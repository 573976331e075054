/** The place of one request's answer in its connection's order. */
export interface ReplySlot {
  /** The request is over: `pieces` go out when all earlier slots are over, or nothing when undefined. */
  settle(pieces: readonly Uint8Array[] | undefined): void;
}

/** Sends pieces, and calls back each of `onSent` when the peer has taken them or never will. */
/**
 * Called when the answer has left, or never will: `isTaken` says that nothing of it is left in the process.
 */
export type AnswerSent = (isTaken: boolean) => void;

export type WriteReplies = (pieces: readonly Uint8Array[], onSent: readonly AnswerSent[]) => void;

/** Keeps answers in the order of their requests, whatever order they are ready in. */
export class ReplyQueue {
  readonly #write: WriteReplies;
  readonly #slots: Slot[] = [];

  constructor(write: WriteReplies) {
    this.#write = write;
  }

  /** Requests that are not answered, or whose answers wait for earlier ones. */
  get unanswered(): number {
    return this.#slots.length;
  }

  open(onSent: AnswerSent): ReplySlot {
    const slot = new Slot(onSent, () => this.#flush());
    this.#slots.push(slot);
    return slot;
  }

  #flush(): void {
    const ready = this.#slots.findIndex((slot) => !slot.isSettled);
    const settled = this.#slots.splice(0, ready < 0 ? this.#slots.length : ready);
    if (settled.length === 0) return;
    const pieces: Uint8Array[] = [];
    for (const slot of settled) for (const piece of slot.pieces ?? []) pieces.push(piece);
    this.#write(
      pieces,
      settled.map((slot) => slot.onSent),
    );
  }
}

class Slot implements ReplySlot {
  readonly onSent: AnswerSent;
  readonly #onSettled: () => void;
  isSettled = false;
  pieces: readonly Uint8Array[] | undefined;

  constructor(onSent: AnswerSent, onSettled: () => void) {
    this.onSent = onSent;
    this.#onSettled = onSettled;
  }

  settle(pieces: readonly Uint8Array[] | undefined): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.pieces = pieces;
    this.#onSettled();
  }
}
