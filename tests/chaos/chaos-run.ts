import { Ottla, type TopicDescription } from "@ottla/client";
import { SeededRandom, systemClock } from "@ottla/runtime";
import { ChaosCluster, type ChaosShape } from "./chaos-cluster.ts";
import { FaultReport } from "./fault-report.ts";
import type { Fault, Strike } from "./faults.ts";
import { History } from "./history.ts";
import { KafkaClients } from "./kafka-clients.ts";
import { checkReplicas } from "./replica-logs.ts";
import { SdkClients } from "./sdk-clients.ts";

export interface ChaosOptions {
  readonly seed: number;
  readonly shape: ChaosShape;
  readonly partitions: number;
  readonly recordsPerSecond: number;
  /** Whether librdkafka's clients are there. */
  readonly withKafka: boolean;
  /** Faults that strike together, until there are no more. */
  readonly plan: (random: SeededRandom) => Iterable<readonly Fault[]>;
  readonly say: (line: string) => void;
  /** Keeps them when nothing was wrong, too. */
  readonly keepFiles?: boolean;
}

const TOPIC = "chaos";
/** No step takes so long unless something is stuck. */
const STUCK_MS = 120_000;
const POLL_MS = 100;
/** Segments roll and indexes grow several times in a run. */
const SEGMENT_BYTES = 1024 * 1024;

/** Runs a cluster under load and faults, and tells what was wrong. */
export class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #cluster: ChaosCluster;
  readonly #history: History;
  readonly #report = new FaultReport();
  readonly #random: SeededRandom;
  readonly #clients: readonly (SdkClients | KafkaClients)[];
  readonly #admins: readonly Ottla[];

  private constructor(options: ChaosOptions, cluster: ChaosCluster) {
    this.#options = options;
    this.#cluster = cluster;
    this.#random = new SeededRandom(options.seed);
    this.#history = new History(options.partitions);
    const common = { topic: TOPIC, history: this.#history, recordsPerSecond: options.recordsPerSecond };
    const sdk = new SdkClients({ ...common, addresses: cluster.addresses("grpcPort") });
    const kafka = new KafkaClients({ ...common, addresses: cluster.addresses("kafkaPort") });
    this.#clients = options.withKafka ? [sdk, kafka] : [sdk];
    this.#admins = cluster
      .addresses("grpcPort")
      .map((address) => new Ottla({ address, callTimeoutMs: 5_000, clientId: "chaos" }));
  }

  /** What was wrong, in sentences; empty when nothing was. */
  static async run(options: ChaosOptions): Promise<readonly string[]> {
    const cluster = await ChaosCluster.start(options.shape);
    const run = new ChaosRun(options, cluster);
    try {
      await run.#run();
    } catch (thrown) {
      run.#history.fault(thrown instanceof Error ? thrown.message : String(thrown));
    }
    const { faults } = run.#history;
    await run.#close(faults.length > 0 || options.keepFiles === true);
    return faults;
  }

  async #run(): Promise<void> {
    const { partitions, shape, plan, say } = this.#options;
    await this.#admin(1).createTopic({
      name: TOPIC,
      partitions,
      replicationFactor: shape.replicationFactor,
      configs: {
        "segment.bytes": SEGMENT_BYTES,
        "retention.ms": -1,
        "min.insync.replicas": Math.min(2, shape.replicationFactor),
      },
    });
    for (const clients of this.#clients) clients.start();
    await this.#untilHealthy();
    for (const faults of plan(this.#random.fork("plan"))) {
      await this.#strike(faults);
      if (this.#history.faults.length > 0) return;
    }
    await this.#untilReadersAreDone();
    this.#history.checkOrder();
    const topic = await this.#describe();
    await Promise.all(this.#clients.map((clients) => clients.close()));
    await this.#cluster.shutDown();
    const checkedCount = await checkReplicas(this.#cluster, topic, this.#history);
    say("");
    for (const line of this.#report.lines()) say(line);
    say(
      `acknowledged: ${this.#history.acknowledgedCount} records; held to their replicas: ${checkedCount} records`,
    );
  }

  async #strike(faults: readonly Fault[]): Promise<void> {
    const { say } = this.#options;
    const possible = faults.filter((fault) => {
      const missing = fault.missing(this.#cluster);
      if (missing !== undefined && this.#report.skip(fault.kind, missing))
        say(`skipped: "${fault.kind}" needs ${missing}`);
      return missing === undefined;
    });
    if (possible.length === 0) return;
    this.#history.takeLongestStallsMs();
    const strikes: Strike[] = [];
    const startMs = systemClock.monotonic();
    for (const fault of possible) {
      const strike = await this.#within(fault.kind, fault.strike(this.#cluster, this.#random));
      strikes.push(strike);
      say(`${fault.kind}: ${strike.what}`);
      await systemClock.sleep(fault.holdMs);
      const isSurvived =
        fault.isSurvived && possible.length === 1 && this.#options.shape.replicationFactor > 1;
      if (!isSurvived) continue;
      await this.#untilMoved(this.#history.progress(), strike.gateway, `while "${fault.kind}" lasts`);
    }
    await this.#within("what was broken to come back", Promise.all(strikes.map((strike) => strike.heal())));
    await this.#untilHealthy();
    const stalls = this.#history.takeLongestStallsMs();
    for (const { kind } of possible) this.#report.struck(kind, stalls);
    const stallsText = [...stalls].map(([client, ms]) => `${client} ${Math.round(ms)} ms`).join(", ");
    const totalMs = Math.round(systemClock.monotonic() - startMs);
    say(`    over after ${totalMs} ms; longest stall: ${stallsText}`);
  }

  /**
   * Resolves when all clients get on, every partition has all its replicas in sync, and
   * no node has gone by itself.
   */
  async #untilHealthy(): Promise<void> {
    await this.#untilMoved(this.#history.progress(), undefined, "after that");
    await this.#until("all replicas to be in sync", async () => {
      const topic = await this.#describe().catch(() => undefined);
      return (
        topic?.partitions.every(
          ({ leader, replicas, inSyncReplicas }) => leader >= 0 && replicas.length === inSyncReplicas.length,
        ) ?? false
      );
    });
    const ends = Array.from({ length: this.#options.partitions }, (_, i) => this.#history.endOf(i));
    await this.#untilReadTo(ends);
    const died = this.#cluster.died();
    if (died.length > 0) this.#history.fault(`${died.join(", ")} ended without being told to`);
  }

  async #untilMoved(before: Map<string, number>, gateway: number | undefined, when: string): Promise<void> {
    const excepted = gateway === undefined ? undefined : `sdk-${gateway}/`;
    let left: string[] = [];
    await this.#until(
      () => `records of ${left.join(", ")} to be acknowledged ${when}`,
      async () => {
        left = [...this.#history.progress()]
          .filter(([name, count]) => count <= (before.get(name) ?? 0))
          .map(([name]) => name)
          .filter((name) => excepted === undefined || !name.startsWith(excepted));
        return left.length === 0;
      },
    );
  }

  async #untilReadersAreDone(): Promise<void> {
    const stopped = Promise.all(this.#clients.map((clients) => clients.stopProducing()));
    await this.#within("producers to stop", stopped);
    const topic = await this.#describe();
    await this.#untilReadTo(topic.partitions.map(({ offsets }) => Number(offsets?.highWatermark ?? 0n)));
  }

  /** Resolves when all readers have read up to these offsets, one for each partition. */
  async #untilReadTo(ends: readonly number[]): Promise<void> {
    const readers = this.#clients.flatMap((clients) => clients.readers);
    let left: string[] = [];
    await this.#until(
      () => `${left.join(", ")} to read on`,
      async () => {
        left = readers.filter((reader) =>
          ends.some((end, partition) => this.#history.positionOf(reader, partition) < end),
        );
        return left.length === 0;
      },
    );
  }

  async #describe(): Promise<TopicDescription> {
    const failures: unknown[] = [];
    for (let gateway = 1; gateway <= this.#admins.length; gateway += 1) {
      try {
        const [topic] = await this.#admin(gateway).describeTopics([TOPIC], { includeOffsets: true });
        if (topic !== undefined) return topic;
      } catch (thrown) {
        failures.push(thrown);
      }
    }
    throw new AggregateError(failures, `no gateway describes the topic: ${failures.join("; ")}`);
  }

  #admin(gateway: number) {
    const client = this.#admins[gateway - 1];
    if (client === undefined) throw new Error(`there is no gateway ${gateway}`);
    return client.admin();
  }

  async #until(what: string | (() => string), isTrue: () => Promise<boolean>): Promise<void> {
    const deadlineMs = systemClock.monotonic() + STUCK_MS;
    while (!(await isTrue())) {
      if (systemClock.monotonic() > deadlineMs) {
        const text = typeof what === "string" ? what : what();
        throw new Error(`waited ${STUCK_MS / 1000} s in vain for ${text}`);
      }
      await systemClock.sleep(POLL_MS);
    }
  }

  async #within<T>(what: string, work: Promise<T>): Promise<T> {
    const limit = new AbortController();
    const isLate = systemClock.sleep(STUCK_MS, limit.signal).then(() => {
      throw new Error(`waited ${STUCK_MS / 1000} s in vain for ${what}`);
    });
    try {
      return await Promise.race([work, isLate]);
    } finally {
      isLate.catch(() => undefined);
      limit.abort();
    }
  }

  async #close(keepFiles: boolean): Promise<void> {
    const { say } = this.#options;
    await Promise.all(this.#clients.map((clients) => clients.close()));
    await Promise.all(this.#admins.map((client) => client.close()));
    await this.#cluster.stop({ keepFiles });
    if (keepFiles) say(`data and logs of the nodes are kept: ${this.#cluster.directory}`);
  }
}
