import { Ottla } from "@ottla/client";

const TOPIC = "orders";
const GROUP = "readers";
const PARTITIONS = 4;

/** A member of the group: what it was given, however often. */
class Member {
  readonly #ottla: Ottla;
  readonly #consumer;
  readonly #running: Promise<void>;

  constructor(port: number, onValue: (value: number) => void) {
    this.#ottla = new Ottla({ address: `127.0.0.1:${port}` });
    this.#consumer = this.#ottla.consumer({ group: GROUP, topics: [TOPIC] });
    this.#running = this.#consumer.run(({ value }) => onValue(Number(Buffer.from(value ?? []).toString())));
  }

  async close(): Promise<void> {
    await this.#consumer.close();
    await this.#running;
    await this.#ottla.close();
  }
}

/**
 * A producer and the members of one group, one at each gateway, all of them the SDK's: they go on over
 * restarts of anything, and none is ever given an error.
 */
export class GroupTraffic {
  readonly #ottla: Ottla;
  readonly #members: readonly Member[];
  readonly #seen = new Set<number>();
  readonly #waiting = new Set<() => void>();
  #produced = 0;

  private constructor(ottla: Ottla, grpcPorts: readonly number[]) {
    this.#ottla = ottla;
    this.#members = grpcPorts.map(
      (port) =>
        new Member(port, (value) => {
          this.#seen.add(value);
          for (const wake of this.#waiting) wake();
        }),
    );
  }

  static async start(grpcPorts: readonly number[]): Promise<GroupTraffic> {
    const ottla = new Ottla({ address: `127.0.0.1:${grpcPorts[0]}` });
    await ottla.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    return new GroupTraffic(ottla, grpcPorts);
  }

  get producedCount(): number {
    return this.#produced;
  }

  /** Produces some more and resolves when the group has had all. */
  async moreComes(): Promise<void> {
    const producer = this.#ottla.producer({ lingerMs: 0 });
    const end = this.#produced + 40;
    for (; this.#produced < end; this.#produced += 1) {
      const value = String(this.#produced);
      await producer.send({ topic: TOPIC, partition: this.#produced % PARTITIONS, value });
    }
    await producer.close();
    while (this.#seen.size < this.#produced) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  /** Ends the members, and tells how far they have committed in all. */
  async committed(): Promise<number> {
    await Promise.all(this.#members.map((member) => member.close()));
    const { offsets } = await this.#ottla.groups().describe(GROUP);
    return offsets.reduce((sum, { committedOffset }) => sum + Number(committedOffset), 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.close().catch(() => undefined)));
    await this.#ottla.close();
  }
}
