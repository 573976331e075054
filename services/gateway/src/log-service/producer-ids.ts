import type { ControllerClient } from "../controller-client.ts";

/** A coordinator that fell silent is soon another one. */
const ALLOCATION_TIMEOUT_MS = 3_000;

/** Hands out producer ids from blocks that the coordinator gives to this gateway. */
export class ProducerIds {
  readonly #controller: ControllerClient;
  readonly #nodeId: number;
  #next = 0;
  #end = 0;
  #allocating: Promise<void> | undefined;

  constructor(options: { readonly controller: ControllerClient; readonly nodeId: number }) {
    this.#controller = options.controller;
    this.#nodeId = options.nodeId;
  }

  /** A producer id that nobody had before. */
  async next(): Promise<number> {
    while (this.#next >= this.#end) {
      this.#allocating ??= this.#allocate().finally(() => {
        this.#allocating = undefined;
      });
      await this.#allocating;
    }
    const producerId = this.#next;
    this.#next += 1;
    return producerId;
  }

  async #allocate(): Promise<void> {
    // A block whose answer got lost is never used: ids are plenty.
    const block = await this.#controller.call(
      (client) => client.allocateProducerIds({ nodeId: this.#nodeId }, { timeoutMs: ALLOCATION_TIMEOUT_MS }),
      { isRepeatable: true },
    );
    this.#next = Number(block.firstProducerId);
    this.#end = this.#next + block.count;
  }
}
