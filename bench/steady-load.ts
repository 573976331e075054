import type { Ottla, Producer } from "@ottla/client";
import { systemClock } from "@ottla/runtime";

export interface SteadyLoadOptions {
  readonly client: Ottla;
  readonly topic: string;
  readonly partitions: number;
  /** Of each partition. */
  readonly recordsPerSecond: number;
  readonly valueBytes: number;
}

/** An idempotent producer that sends records at a steady pace, and remembers how long each took. */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #producer: Producer;
  readonly #running: Promise<void>;
  #latenciesMs: number[] = [];
  #failure: Error | undefined;
  #isOver = false;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#producer = options.client.producer();
    this.#running = this.#send();
  }

  /** Latencies since the last call, ascending. Throws what a record failed with. */
  takeLatenciesMs(): number[] {
    if (this.#failure !== undefined) throw this.#failure;
    const latenciesMs = this.#latenciesMs.toSorted((a, b) => a - b);
    this.#latenciesMs = [];
    return latenciesMs;
  }

  /** Resolves when all that has been sent by now is acknowledged. */
  async untilAcknowledged(): Promise<void> {
    await this.#producer.flush();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
    await this.#producer.close();
  }

  async #send(): Promise<void> {
    const { topic, partitions, recordsPerSecond, valueBytes } = this.#options;
    const value = new Uint8Array(valueBytes).fill(120);
    const startMs = systemClock.monotonic();
    for (let round = 0; !this.#isOver; round += 1) {
      for (let partition = 0; partition < partitions; partition += 1) {
        const sentMs = systemClock.monotonic();
        this.#producer.send({ topic, partition, value }).then(
          () => {
            this.#latenciesMs.push(systemClock.monotonic() - sentMs);
          },
          (thrown: unknown) => {
            this.#failure ??= thrown instanceof Error ? thrown : new Error(String(thrown));
          },
        );
      }
      const nextMs = startMs + ((round + 1) * 1_000) / recordsPerSecond;
      await systemClock.sleep(Math.max(1, nextMs - systemClock.monotonic()));
    }
  }
}

/** The value below which so many of them lie; of ascending ones. */
export function percentile(ascending: readonly number[], fraction: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * fraction))] ?? Number.NaN;
}
