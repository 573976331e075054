import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { OttlaError } from "@ottla/errors";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterEach, expect, test } from "vitest";
import { batchOf, readAll, temporaryDirectory, text } from "./serve-support.ts";

const KILLS = 30;
const PARTITIONS = 4;
const PRODUCERS = 8;
const RECORDS_PER_BATCH = 5;
/** How many acknowledgements come between two kills: the load is under way, whatever the machine's speed. */
const ACKNOWLEDGEMENTS_BETWEEN_KILLS = 40;

const entry = fileURLToPath(new URL("../../services/standalone/src/serve.ts", import.meta.url));

/** A real `serve` process that can be killed and started again on the same directory and ports. */
class ServeProcess {
  readonly #dataDir: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  grpcPort = 0;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** Resolves when it says that it is ready. */
  async start(): Promise<void> {
    const ports = [`--grpc-port=${this.grpcPort}`, "--kafka-port=0", "--http-port=0"];
    const args = [entry, "--data-dir", this.#dataDir, ...ports, "--log-format=json"];
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once("exit", resolve));
    const ready = Promise.withResolvers<void>();
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      said = (said + chunk).slice(-20_000);
      const port = /"grpcPort":(\d+).*"msg":"ready"/.exec(said)?.[1];
      if (port === undefined) return;
      this.grpcPort = Number(port);
      ready.resolve();
    });
    child.once("exit", (code) => ready.reject(new Error(`serve exited with ${code}: ${said}`)));
    await ready.promise;
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }
}

const started: ServeProcess[] = [];

afterEach(async () => {
  for (const serve of started.splice(0)) await serve.kill();
});

/** One idempotent producer that sends a batch at a time and sends it again until it is acknowledged. */
class Producer {
  readonly acknowledged: { readonly value: string; readonly offset: number }[] = [];
  readonly #partition: number;
  readonly #name: string;
  #sequence = 0;
  #producerId = -1;

  constructor(name: string, partition: number) {
    this.#name = name;
    this.#partition = partition;
  }

  async run(
    client: () => ReturnType<typeof clientOf>,
    isOver: () => boolean,
    onAcknowledged: () => void,
  ): Promise<void> {
    this.#producerId = Number((await client().log.initProducer({})).producerId);
    while (!isOver()) {
      const values = Array.from(
        { length: RECORDS_PER_BATCH },
        (_, index) => `${this.#name}:${this.#sequence + index}:${"x".repeat(200)}`,
      );
      const baseOffset = await this.#append(client, values, isOver);
      if (baseOffset === undefined) return;
      values.forEach((value, index) => this.acknowledged.push({ value, offset: baseOffset + index }));
      this.#sequence += RECORDS_PER_BATCH;
      onAcknowledged();
    }
  }

  /** Undefined when the test was over before an answer came. */
  async #append(
    client: () => ReturnType<typeof clientOf>,
    values: readonly string[],
    isOver: () => boolean,
  ): Promise<number | undefined> {
    const batch = batchOf(values, {
      producerId: this.#producerId,
      producerEpoch: 0,
      baseSequence: this.#sequence,
    });
    for (;;) {
      try {
        const { results } = await client().log.append(
          { topic: "t", partition: this.#partition, payload: { case: "batch", value: batch } },
          { timeoutMs: 20_000 },
        );
        return Number(results[0]?.baseOffset);
      } catch (thrown) {
        if (!(thrown instanceof OttlaError) || !thrown.retriable) throw thrown;
        if (isOver()) return undefined;
        await systemClock.sleep(20);
      }
    }
  }
}

function clientOf(port: number) {
  const transport = new GrpcTransport({
    address: `127.0.0.1:${port}`,
    clock: systemClock,
    waitForReady: true,
    maxReconnectDelayMs: 100,
  });
  return {
    transport,
    log: createClient(LogService, transport),
    admin: createClient(AdminService, transport),
  };
}

test(`every acknowledged record survives ${KILLS} kills of serve under load, once and in order`, async () => {
  const serve = new ServeProcess(await temporaryDirectory());
  started.push(serve);
  await serve.start();
  const client = clientOf(serve.grpcPort);
  await client.admin.createTopic({ name: "t", partitions: PARTITIONS });

  let acknowledgements = 0;
  let over = false;
  let onEnough: (() => void) | undefined;
  let enough = 0;
  const producers = Array.from(
    { length: PRODUCERS },
    (_, i) => new Producer(`producer-${i}`, i % PARTITIONS),
  );
  const running = Promise.all(
    producers.map((producer) =>
      producer.run(
        () => client,
        () => over,
        () => {
          acknowledgements += 1;
          if (acknowledgements >= enough) onEnough?.();
        },
      ),
    ),
  );
  for (let kill = 0; kill < KILLS; kill += 1) {
    enough = acknowledgements + ACKNOWLEDGEMENTS_BETWEEN_KILLS;
    await Promise.race([
      running,
      new Promise<void>((resolve) => {
        onEnough = resolve;
      }),
    ]);
    await serve.kill();
    await serve.start();
  }
  over = true;
  await running;

  const found = await Promise.all(
    Array.from({ length: PARTITIONS }, (_, partition) => readAll({ log: client.log }, "t", partition)),
  );
  for (const [index, producer] of producers.entries()) {
    const partition = found[index % PARTITIONS] ?? [];
    const own = partition.filter(({ value }) => text(value).startsWith(`producer-${index}:`));
    const valueAt = new Map(own.map(({ offset, value }) => [offset, text(value)]));
    for (const { value, offset } of producer.acknowledged) expect(valueAt.get(offset)).toBe(value);
    // Once and in order: the numbers of each producer count up from 0 without a gap or a repetition.
    expect(own.map(({ value }) => Number(text(value).split(":")[1]))).toEqual(
      own.map((_, position) => position),
    );
    expect(own.length).toBeGreaterThanOrEqual(producer.acknowledged.length);
  }
  expect(acknowledgements).toBeGreaterThanOrEqual(KILLS * ACKNOWLEDGEMENTS_BETWEEN_KILLS);
  await client.transport.close();
});
