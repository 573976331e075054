import { type Admin, type Consumer, Ottla, OttlaError } from "@ottla/client";
import { SimulatedTransport } from "@ottla/rpc/simulated";
import type { SeededRandom } from "@ottla/runtime";
import { type History, valueOf, WEAK } from "./history.ts";
import { broken, RuleBroken } from "./rule-broken.ts";
import { describe } from "./simulated-node.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { Simulation } from "./simulation.ts";

/** A producer waits so long between two records at most, a third of it on the average. */
const MOST_PAUSE_MS = 750;

/** How often a log start may move while everything is read at last. */
const MOST_LAST_LOOKS = 20;

/** Where clients come in: any gateway. */
export const SERVICE_ADDRESS = "gateways:1";

export interface TopicPlan {
  readonly name: string;
  partitions: number;
}

/** All that a partition holds. */
export interface PartitionContents {
  readonly logStart: number;
  readonly records: ReadonlyMap<number, string>;
}

export interface ClientsOptions {
  readonly simulation: Simulation;
  readonly history: History;
  readonly topics: readonly TopicPlan[];
}

/** The clients of the cluster, over the SDK: all that they do and hear goes into the history. */
export class Clients {
  readonly #options: ClientsOptions;
  readonly #noMore = new AbortController();
  /** Records that were sent and not answered. */
  pending = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  startLoad(producers: number, readers: number): void {
    for (let number = 1; number <= producers; number += 1) {
      this.#start(`producer${number}`, (ottla, process, random) =>
        this.#produce(ottla, process, random, `producer${number}`, "all"),
      );
    }
    this.#start(`${WEAK}1`, (ottla, process, random) =>
      this.#produce(ottla, process, random, `${WEAK}1`, "leader"),
    );
    for (let number = 1; number <= readers; number += 1) {
      this.#start(`reader${number}`, (ottla) => this.#read(ottla, `reader${number}`));
    }
  }

  stopProducing(): void {
    this.#noMore.abort();
  }

  admin(name: string): Admin {
    return this.open(name).ottla.admin();
  }

  /**
   * Reads a partition from its start to its end, as a new reader does: its records by offset. A deletion
   * whose outcome nobody knows may be applied meanwhile; then it begins again at the new log start.
   */
  async readAll(topic: string, partition: number, number: number): Promise<PartitionContents> {
    const { ottla } = this.open(`last-reader${number}`);
    const earliest = async () => {
      const [found] = await ottla.admin().listOffsets([{ topic, partition, at: "earliest" }]);
      return Number(found?.offset ?? 0);
    };
    let logStart = await earliest();
    for (let attempt = 0; attempt < MOST_LAST_LOOKS; attempt += 1) {
      const records = await readToEnd(ottla, topic, partition);
      const startsNow = await earliest();
      if (records !== undefined && startsNow === logStart) return { logStart, records };
      logStart = startsNow;
    }
    return broken("R14", `${topic}-${partition}: its log start does not come to rest`);
  }

  #start(
    name: string,
    work: (ottla: Ottla, process: SimulatedProcess, random: SeededRandom) => Promise<void>,
  ): void {
    const { ottla, process } = this.open(name);
    const { simulation } = this.#options;
    work(ottla, process, simulation.random(`${name}/work`)).catch((thrown: unknown) => {
      const what =
        thrown instanceof OttlaError ? describe(thrown) : thrown instanceof Error ? thrown.stack : thrown;
      const error = thrown instanceof RuleBroken ? thrown : new Error(`${name} failed: ${String(what)}`);
      simulation.scheduler.fail(error);
    });
  }

  /** A client of its own. */
  open(name: string): { readonly ottla: Ottla; readonly process: SimulatedProcess } {
    const { simulation } = this.#options;
    const process = new SimulatedProcess(name, simulation.scheduler);
    const { clock } = process;
    const ottla = new Ottla({
      address: SERVICE_ADDRESS,
      clientId: name,
      clock,
      random: simulation.random(name),
      openTransport: () =>
        new SimulatedTransport({
          address: SERVICE_ADDRESS,
          dialer: simulation.network.dialer(process),
          clock,
        }),
    });
    return { ottla, process };
  }

  async #produce(
    ottla: Ottla,
    { clock }: SimulatedProcess,
    random: SeededRandom,
    name: string,
    acks: "all" | "leader",
  ): Promise<void> {
    const { history, topics } = this.#options;
    const producer = ottla.producer({ acks, lingerMs: random.integer(8), requestTimeoutMs: 5_000 });
    for (let sequence = 0; !this.#noMore.signal.aborted; sequence += 1) {
      await clock.sleep(random.float() ** 2 * MOST_PAUSE_MS);
      const topic = topics[random.integer(topics.length)];
      if (topic === undefined || this.#noMore.signal.aborted) continue;
      const partition = random.integer(topic.partitions);
      const value = valueOf({ producer: name, sequence });
      history.operations += 1;
      this.pending += 1;
      producer.send({ topic: topic.name, partition, value }).then(
        ({ offset }) => this.#delivered(name, topic.name, partition, Number(offset), value),
        (thrown: unknown) => this.#notDelivered(name, topic.name, partition, value, thrown),
      );
    }
  }

  #delivered(name: string, topic: string, partition: number, offset: number, value: string): void {
    const { history, simulation } = this.#options;
    this.pending -= 1;
    simulation.say(name, () => `${value} acknowledged at ${topic}-${partition}/${offset}`);
    if (name.startsWith(WEAK)) return;
    this.#check(() => history.acknowledged(topic, partition, offset, value));
  }

  /** For an idempotent producer a failover is a pause, not an error. */
  #notDelivered(name: string, topic: string, partition: number, value: string, thrown: unknown): void {
    const { simulation } = this.#options;
    this.pending -= 1;
    simulation.say(name, () => `${value} failed at ${topic}-${partition}: ${describe(thrown)}`);
    if (name.startsWith(WEAK)) return;
    // A replica that began at the log start, or found damage below it, knows nothing of what was stored there
    // (docs/robustness.md).
    const { history } = this.#options;
    const mayBeForgotten =
      history.isDeleted(topic, partition, value) || history.isForgotten(topic, partition, name);
    const isOutOfOrder = thrown instanceof OttlaError && thrown.code === "OUT_OF_ORDER_SEQUENCE_NUMBER";
    if (isOutOfOrder && mayBeForgotten) return;
    simulation.scheduler.fail(
      new RuleBroken("R11", `${value} failed at ${topic}-${partition}: ${describe(thrown)}`),
    );
  }

  async #read(ottla: Ottla, name: string): Promise<void> {
    const { history, simulation, topics } = this.#options;
    const consumer = ottla.consumer({ autoOffsetReset: "earliest" });
    await this.#assign(consumer, topics);
    for await (const record of consumer) {
      const { topic, partition } = record;
      const offset = Number(record.offset);
      const value = textOf(record.value);
      history.operations += 1;
      simulation.say(name, () => `read ${value} at ${topic}-${partition}/${offset}`);
      history.read(topic, partition, offset, value);
    }
  }

  async #assign(consumer: Consumer, topics: readonly TopicPlan[]): Promise<void> {
    await consumer.assign(
      topics.flatMap(({ name, partitions }) =>
        Array.from({ length: partitions }, (_, partition) => ({
          topic: name,
          partition,
          offset: "earliest" as const,
        })),
      ),
    );
  }

  #check(check: () => void): void {
    try {
      check();
    } catch (thrown) {
      this.#options.simulation.scheduler.fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }
}

function textOf(value: Uint8Array | null): string {
  return value === null ? "" : Buffer.from(value).toString();
}

/** Undefined when the log start has moved beyond where it began. */
async function readToEnd(
  ottla: Ottla,
  topic: string,
  partition: number,
): Promise<ReadonlyMap<number, string> | undefined> {
  const consumer = ottla.consumer();
  const records = new Map<number, string>();
  try {
    await consumer.assign([{ topic, partition, offset: "earliest" }]);
    for await (const record of consumer.records({ stopAtEnd: true })) {
      records.set(Number(record.offset), textOf(record.value));
    }
    return records;
  } catch (thrown) {
    if (thrown instanceof OttlaError && thrown.code === "OFFSET_OUT_OF_RANGE") return undefined;
    throw thrown;
  } finally {
    await consumer.close();
  }
}
