import { Ottla, type Producer } from "@ottla/client";

const PARTITIONS = 6;
const TOPIC = "load";
/** The pace: enough to have records under way at any moment, and little enough for a small machine. */
const PAUSE_MS = 5;

export interface LoadOutcome {
  readonly acknowledged: number;
  readonly errors: readonly string[];
  /** What is wrong with what can be read afterwards. */
  readonly faults: readonly string[];
}

/**
 * One idempotent producer that writes a counter to each partition through a service, until it is told to
 * stop; then all is read back.
 */
export class ServiceLoad {
  readonly #ottla: Ottla;
  readonly #producer: Producer;
  readonly #acknowledged: number[] = Array.from({ length: PARTITIONS }, () => 0);
  readonly #errors: string[] = [];
  readonly #loops: Promise<void>[];
  #isOver = false;

  private constructor(ottla: Ottla) {
    this.#ottla = ottla;
    this.#producer = ottla.producer({ lingerMs: 0 });
    this.#loops = this.#acknowledged.map((_, partition) => this.#write(partition));
  }

  static async start(address: string): Promise<ServiceLoad> {
    const ottla = new Ottla({ address, clientId: "load" });
    await ottla.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    return new ServiceLoad(ottla);
  }

  /** Resolves when each partition has taken a record that was sent after this call. */
  async untilAllMoved(): Promise<void> {
    const targets = this.#acknowledged.map((count) => count + 2);
    while (this.#acknowledged.some((count, partition) => count < (targets[partition] ?? 0))) {
      if (this.#errors.length > 0) return;
      await new Promise((resume) => setTimeout(resume, PAUSE_MS));
    }
  }

  async stop(): Promise<LoadOutcome> {
    this.#isOver = true;
    await Promise.all(this.#loops);
    const faults = await this.#readBack();
    await this.#ottla.close();
    const acknowledged = this.#acknowledged.reduce((sum, count) => sum + count, 0);
    return { acknowledged, errors: this.#errors, faults };
  }

  async #write(partition: number): Promise<void> {
    while (!this.#isOver) {
      const value = String(this.#acknowledged[partition]);
      try {
        await this.#producer.send({ topic: TOPIC, partition, value });
        this.#acknowledged[partition] = Number(value) + 1;
      } catch (thrown) {
        this.#errors.push(String(thrown));
        return;
      }
      await new Promise((resume) => setTimeout(resume, PAUSE_MS));
    }
  }

  /** Each partition must hold 0, 1, 2, … and nothing else. */
  async #readBack(): Promise<string[]> {
    const faults: string[] = [];
    const next = Array.from({ length: PARTITIONS }, () => 0);
    const consumer = this.#ottla.consumer();
    await consumer.assign([{ topic: TOPIC, offset: "earliest" }]);
    for await (const { partition, value } of consumer.records({ stopAtEnd: true })) {
      const found = Number(Buffer.from(value ?? []).toString());
      const expected = next[partition] ?? 0;
      if (found !== expected) faults.push(`partition ${partition}: ${found} in place of ${expected}`);
      next[partition] = found + 1;
    }
    this.#acknowledged.forEach((count, partition) => {
      if ((next[partition] ?? 0) !== count) {
        faults.push(`partition ${partition}: ${next[partition]} records, ${count} were acknowledged`);
      }
    });
    return faults;
  }
}
