/**
 * Lets the preparations of one connection's requests run one after another, each when the
 * one before it is over.
 */
export class RequestOrder {
  #last: Promise<unknown> | undefined;

  /** Nobody prepares: what begins now overtakes nothing. */
  get isFree(): boolean {
    return this.#last === undefined;
  }

  enter<T>(prepare: () => Promise<T>): Promise<T> {
    const mine = (this.#last ?? Promise.resolve()).then(prepare, prepare);
    const last = mine
      .catch(() => undefined)
      .then(() => {
        if (this.#last === last) this.#last = undefined;
      });
    this.#last = last;
    return mine;
  }
}
