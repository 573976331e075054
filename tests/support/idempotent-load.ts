import { OttlaError } from "@ottla/errors";
import { LogService, ReadFormat } from "@ottla/proto/ottla/v1/log";
import { decodeBatches, encodeBatch } from "@ottla/records";
import { createClient, GrpcTransport, type RpcClient } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";

export interface LoadClient {
  readonly log: RpcClient<typeof LogService>;
}

export interface LoadOptions {
  readonly topic: string;
  readonly partitions: number;
  /** Ports of gateways: producers are spread over them and stay with theirs. */
  readonly grpcPorts: readonly number[];
}

interface Producer {
  readonly name: string;
  readonly partition: number;
  readonly client: LoadClient;
  readonly port: number;
  readonly acknowledged: { readonly value: string; readonly offset: number }[];
}

const RECORDS_PER_BATCH = 5;
const APPEND_TIMEOUT_MS = 20_000;

/**
 * Idempotent producers, one for each partition and gateway, that send batch after batch until told to stop.
 */
export class IdempotentLoad {
  readonly #options: LoadOptions;
  readonly #transports: GrpcTransport[] = [];
  readonly #producers: Producer[] = [];
  readonly #errors: { readonly port: number; readonly code: string }[] = [];
  readonly #waiters = new Set<{ readonly seen: Set<Producer>; resolve(): void }>();
  #running: Promise<unknown> = Promise.resolve();
  #over = false;
  #longestStallMs = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  start(): void {
    for (const port of this.#options.grpcPorts) {
      const transport = new GrpcTransport({
        address: `127.0.0.1:${port}`,
        clock: systemClock,
        waitForReady: true,
        maxReconnectDelayMs: 100,
      });
      this.#transports.push(transport);
      const client = { log: createClient(LogService, transport) };
      for (let partition = 0; partition < this.#options.partitions; partition += 1) {
        const name = `${port}/${partition}`;
        this.#producers.push({ name, partition, client, port, acknowledged: [] });
      }
    }
    this.#running = Promise.all(this.#producers.map((producer) => this.#run(producer)));
  }

  get acknowledgedCount(): number {
    return this.#producers.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);
  }

  /** Errors that clients of a gateway saw since the last call, retriable ones too. */
  takeErrors(port: number): string[] {
    const found = this.#errors.filter((error) => error.port === port).map(({ code }) => code);
    this.#errors.length = 0;
    return found;
  }

  /** The longest time between an append and its acknowledgement since the last call. */
  takeLongestStallMs(): number {
    const stallMs = this.#longestStallMs;
    this.#longestStallMs = 0;
    return stallMs;
  }

  /** Resolves when every producer has had an acknowledgement after this call. */
  async untilAllMoved(): Promise<void> {
    await Promise.race([
      this.#running,
      new Promise<void>((resolve) => {
        this.#waiters.add({ seen: new Set(), resolve });
      }),
    ]);
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.#running;
  }

  async close(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#transports.map((transport) => transport.close()));
  }

  /** What is wrong with what the cluster holds now: acknowledged and missing, twice, or out of order. */
  async faults(client: LoadClient): Promise<string[]> {
    const faults: string[] = [];
    for (let partition = 0; partition < this.#options.partitions; partition += 1) {
      const records = await readAll(client, this.#options.topic, partition);
      for (const producer of this.#producers.filter((candidate) => candidate.partition === partition)) {
        const own = records.filter(({ value }) => value.startsWith(`${producer.name}:`));
        const valueAt = new Map(own.map(({ offset, value }) => [offset, value]));
        const missing = producer.acknowledged.filter(({ offset, value }) => valueAt.get(offset) !== value);
        if (missing.length > 0)
          faults.push(`${producer.name}: ${missing.length} acknowledged records are missing`);
        const wrong = own.findIndex(({ value }, index) => value.split(":")[1] !== String(index));
        if (wrong >= 0) faults.push(`${producer.name}: record ${wrong} is ${own[wrong]?.value}`);
      }
    }
    return faults;
  }

  async #run(producer: Producer): Promise<void> {
    const { log } = producer.client;
    const { producerId } = await log.initProducer({});
    for (let sequence = 0; !this.#over; sequence += RECORDS_PER_BATCH) {
      const values = Array.from({ length: RECORDS_PER_BATCH }, (_, i) => `${producer.name}:${sequence + i}`);
      const records = values.map((value) => ({ timestampMs: 1_000, key: null, value: Buffer.from(value) }));
      const batch = encodeBatch(records, {
        producerId: Number(producerId),
        producerEpoch: 0,
        baseSequence: sequence,
      });
      const startedMs = systemClock.monotonic();
      const baseOffset = await this.#append(producer, batch);
      if (baseOffset === undefined) return;
      this.#longestStallMs = Math.max(this.#longestStallMs, systemClock.monotonic() - startedMs);
      values.forEach((value, i) => producer.acknowledged.push({ value, offset: baseOffset + i }));
      this.#moved(producer);
    }
  }

  /** Undefined when the load was told to stop before an answer came. */
  async #append({ client, partition, port }: Producer, batch: Uint8Array): Promise<number | undefined> {
    const { topic } = this.#options;
    for (;;) {
      try {
        const request = { topic, partition, payload: { case: "batch" as const, value: batch } };
        const { results } = await client.log.append(request, { timeoutMs: APPEND_TIMEOUT_MS });
        return Number(results[0]?.baseOffset);
      } catch (thrown) {
        if (!(thrown instanceof OttlaError) || !thrown.retriable) throw thrown;
        this.#errors.push({ port, code: thrown.code });
        if (this.#over) return undefined;
        await systemClock.sleep(20);
      }
    }
  }

  #moved(producer: Producer): void {
    for (const waiter of this.#waiters) {
      waiter.seen.add(producer);
      if (waiter.seen.size < this.#producers.length) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}

interface ReadRecord {
  readonly offset: bigint | number;
  readonly value: string;
}

async function readAll({ log }: LoadClient, topic: string, partition: number): Promise<ReadRecord[]> {
  const records: ReadRecord[] = [];
  for (let offset = 0n; ; ) {
    const answer = await log.fetch({ topic, partition, offset, format: ReadFormat.BATCHES });
    for (const record of decodeBatches(answer.batches)) {
      if (record.offset < offset) continue;
      records.push({ offset: record.offset, value: Buffer.from(record.value ?? []).toString() });
    }
    if (answer.nextOffset >= answer.highWatermark) return records;
    offset = answer.nextOffset;
  }
}
