import { Ottla, type Producer } from "@ottla/client";
import { toOttlaError } from "@ottla/errors";
import { systemClock } from "@ottla/runtime";
import { formatValue, type History } from "./history.ts";

export interface ClientsOptions {
  readonly topic: string;
  readonly history: History;
  /** Of gateways. */
  readonly addresses: readonly string[];
  /** Of each producer. */
  readonly recordsPerSecond: number;
}

/** A producer that gets no further holds so many records and waits. */
const MAX_UNACKNOWLEDGED = 500;
const DELIVERY_TIMEOUT_MS = 300_000;

/**
 * Idempotent producers over gRPC, one for each gateway and partition, and a reader of all partitions at each
 * gateway.
 */
export class SdkClients {
  readonly #options: ClientsOptions;
  readonly #clients: Ottla[];
  readonly #producers: Producer[] = [];
  readonly #running: Promise<void>[] = [];
  readonly readers: readonly string[];
  #isOver = false;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#clients = options.addresses.map((address) => new Ottla({ address, clientId: "chaos" }));
    this.readers = options.addresses.map((_, index) => `sdk-reader-${index + 1}`);
  }

  start(): void {
    const { history } = this.#options;
    for (const [index, client] of this.#clients.entries()) {
      const producer = client.producer({
        deliveryTimeoutMs: DELIVERY_TIMEOUT_MS,
        metadataTimeoutMs: DELIVERY_TIMEOUT_MS,
        requestTimeoutMs: 10_000,
      });
      this.#producers.push(producer);
      for (let partition = 0; partition < history.partitionCount; partition += 1) {
        const name = `sdk-${index + 1}/${partition}`;
        history.addProducer(name, partition);
        this.#running.push(this.#produce(producer, name, partition));
      }
      void this.#read(client, this.readers[index] ?? "");
    }
  }

  /** Resolves when all that was sent is acknowledged. Readers go on. */
  async stopProducing(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
    await Promise.all(this.#producers.map((producer) => producer.flush()));
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#producers.map((producer) => producer.abandon()));
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #produce(producer: Producer, name: string, partition: number): Promise<void> {
    const { topic, history, recordsPerSecond } = this.#options;
    const pauseMs = 1_000 / recordsPerSecond;
    const waiting = new Set<number>();
    for (let sequence = 0; !this.#isOver; sequence += 1) {
      const value = { producer: name, sequence };
      const sentMs = systemClock.monotonic();
      waiting.add(sequence);
      producer.send({ topic, partition, value: formatValue(value) }).then(
        ({ offset }) => {
          waiting.delete(sequence);
          history.acknowledged(value, Number(offset), systemClock.monotonic() - sentMs);
        },
        (thrown: unknown) => {
          waiting.delete(sequence);
          const { code, message } = toOttlaError(thrown);
          if (code !== "CANCELLED") history.fault(`${name} lost record ${sequence}: ${code} ${message}`);
        },
      );
      do await systemClock.sleep(pauseMs);
      while (waiting.size >= MAX_UNACKNOWLEDGED && !this.#isOver);
    }
  }

  async #read(client: Ottla, name: string): Promise<void> {
    const { topic, history } = this.#options;
    try {
      const consumer = client.consumer();
      const partitions = Array.from({ length: history.partitionCount }, (_, partition) => partition);
      await consumer.assign(partitions.map((partition) => ({ topic, partition, offset: "earliest" })));
      for await (const { partition, offset, value } of consumer) {
        history.read(name, partition, Number(offset), Buffer.from(value ?? []).toString());
      }
    } catch (thrown) {
      const { code, message } = toOttlaError(thrown);
      if (code !== "CANCELLED") history.fault(`${name} cannot go on: ${code} ${message}`);
    }
  }
}
