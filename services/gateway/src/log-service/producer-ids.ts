import type { ControllerClient } from "@ottla/routing";

/** A coordinator that fell silent is soon another one. */
const ALLOCATION_TIMEOUT_MS = 3_000;

interface Block {
  next: number;
  readonly end: number;
}

/**
 * Hands out producer ids from blocks that the coordinator gives to this gateway. The next block
 * is fetched ahead, so that producers can start while there is no coordinator, or no etcd.
 */
export class ProducerIds {
  readonly #controller: ControllerClient;
  readonly #nodeId: number;
  readonly #blocks: Block[] = [];
  #allocating: Promise<void> | undefined;

  constructor(options: { readonly controller: ControllerClient; readonly nodeId: number }) {
    this.#controller = options.controller;
    this.#nodeId = options.nodeId;
  }

  /** A producer id that nobody had before. */
  async next(): Promise<number> {
    for (;;) {
      const [block] = this.#blocks;
      if (block === undefined) {
        await this.#allocate();
        continue;
      }
      const producerId = block.next;
      block.next += 1;
      if (block.next === block.end) this.#blocks.shift();
      // Whoever finds no block left meets the failure then.
      if (this.#blocks.length < 2) this.#allocate().catch(() => undefined);
      return producerId;
    }
  }

  /** Fetches the first block, if it can: nobody needs to wait for it. */
  prepare(): void {
    if (this.#blocks.length === 0) this.#allocate().catch(() => undefined);
  }

  /** One at a time, whoever asks. */
  #allocate(): Promise<void> {
    this.#allocating ??= this.#fetchBlock().finally(() => {
      this.#allocating = undefined;
    });
    return this.#allocating;
  }

  async #fetchBlock(): Promise<void> {
    // A block whose answer got lost is never used: ids are plenty.
    const { firstProducerId, count } = await this.#controller.call(
      (client) => client.allocateProducerIds({ nodeId: this.#nodeId }, { timeoutMs: ALLOCATION_TIMEOUT_MS }),
      { isRepeatable: true },
    );
    const next = Number(firstProducerId);
    this.#blocks.push({ next, end: next + count });
  }
}
