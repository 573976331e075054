import type { OttlaError } from "@ottla/errors";

/** An `AbortController` that is made when somebody asks for its signal: most calls end without one. */
export class LazyAbort {
  #controller: AbortController | undefined;
  #reason: OttlaError | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** The first reason stays. */
  abort(reason: OttlaError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}
