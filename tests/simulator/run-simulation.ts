import { OttlaError } from "@ottla/errors";
import { defaultSettings, type Settings } from "@ottla/runtime";
import { withoutAbandonedSignals } from "./abandoned-signals.ts";
import { Administration } from "./administration.ts";
import { Clients, type TopicPlan } from "./clients.ts";
import { SimulatedCluster } from "./cluster.ts";
import { DiskReplicas } from "./disk-replicas.ts";
import { GROUP_COORDINATORS, Groups } from "./groups.ts";
import { History } from "./history.ts";
import { MetadataRules } from "./metadata-rules.ts";
import { NO_MUTANTS } from "./mutants.ts";
import type { Mutant } from "./mutants-to-find.ts";
import { Nemesis } from "./nemesis.ts";
import { ReplicaRules } from "./replica-rules.ts";
import { RuleBroken } from "./rule-broken.ts";
import { hasGroups, Simulation } from "./simulation.ts";

export interface RunOptions {
  readonly seed: number;
  readonly mutant?: Mutant | undefined;
  readonly trace?: ((line: string) => void) | undefined;
}

export interface RunReport {
  readonly seed: number;
  /** Undefined when all rules held and the cluster recovered. */
  readonly failure: Error | undefined;
  readonly digest: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly checks: ReadonlyMap<string, number>;
}

const REPLICATION_FACTOR = 3;
const MIN_INSYNC_REPLICAS = 2;
const LOAD_MS = 25_000;
const START_LIMIT_MS = 30_000;
/** Within this time after the last fault the cluster has recovered by itself. */
const RECOVERY_LIMIT_MS = 60_000;
const PRODUCERS = 4;
const READERS = 2;

/** One simulation from one seed: the same seed and mutant give the same run. */
export async function runSimulation(options: RunOptions): Promise<RunReport> {
  const { mutant, seed, trace } = options;
  const simulation = new Simulation({
    seed,
    mutants: mutant === undefined ? NO_MUTANTS : new Set([mutant]),
    trace,
  });
  const run = new SimulationRun(simulation, await settingsOf());
  const failure = await withoutAbandonedSignals(() => run.run());
  const { scheduler } = simulation;
  return {
    seed,
    failure,
    digest: scheduler.digest,
    events: scheduler.eventCount,
    virtualMs: Math.round(scheduler.nowMs),
    operations: run.history.operations,
    acknowledged: run.history.acknowledgedCount,
    faults: simulation.faultCounts,
    checks: simulation.checkCounts,
  };
}

let settings: Promise<Settings> | undefined;

function settingsOf(): Promise<Settings> {
  settings ??= defaultSettings({
    storage: { replicaLagTimeMaxMs: 3_000 },
    groups: {
      offsetsTopicPartitions: 2,
      minSessionTimeoutMs: 1_000,
      consumerSessionTimeoutMs: 4_000,
      consumerHeartbeatIntervalMs: 1_000,
    },
  });
  return settings;
}

class SimulationRun {
  readonly history: History;
  readonly #simulation: Simulation;
  readonly #cluster: SimulatedCluster;
  readonly #topics: TopicPlan[] = [
    { name: "orders", partitions: 3 },
    { name: "events", partitions: 2 },
  ];
  readonly #clients: Clients;
  readonly #nemesis: Nemesis;
  readonly #replicaRules: ReplicaRules;
  readonly #administration: Administration;
  readonly #groups: Groups | undefined;

  constructor(simulation: Simulation, settings: Settings) {
    this.#simulation = simulation;
    this.history = new History(simulation);
    const storageNodes = simulation.random("size").float() < 0.25 ? 4 : 3;
    this.#cluster = new SimulatedCluster({
      simulation,
      // In some seeds gateways read from the storage node beside them, leader or not.
      settings: {
        ...settings,
        readPreference: simulation.random("reads").float() < 0.3 ? "nearest" : "leader",
      },
      replicationFactor: REPLICATION_FACTOR,
      storageNodes,
      groupCoordinators: hasGroups(simulation.seed) ? GROUP_COORDINATORS : 0,
    });
    this.#clients = new Clients({ simulation, history: this.history, topics: this.#topics });
    const metadata = new MetadataRules(simulation, this.#cluster.keys);
    const cluster = this.#cluster;
    const { storages: machines } = cluster;
    const disks = new DiskReplicas({
      metadata,
      history: this.history,
      machines,
      now: () => simulation.nowMs,
    });
    this.#replicaRules = new ReplicaRules({
      simulation,
      metadata,
      disks,
      machines: cluster.storages,
      onProposal: (nodeId) => this.#nemesis.proposed(nodeId),
    });
    this.#nemesis = new Nemesis({ simulation, cluster, disks, metadata });
    const shared = { simulation, cluster, history: this.history, metadata, disks, topics: this.#topics };
    this.#groups = hasGroups(simulation.seed) ? new Groups({ ...shared, clients: this.#clients }) : undefined;
    this.#administration = new Administration({
      ...shared,
      admin: this.#clients.admin("administrator"),
    });
  }

  async run(): Promise<Error | undefined> {
    try {
      this.#cluster.start();
      await this.#until("all nodes serve", START_LIMIT_MS, () =>
        this.#cluster.nodes.every(({ isServing }) => isServing),
      );
      await this.#during("topics are created", START_LIMIT_MS, () => this.#createTopics());
      this.#clients.startLoad(PRODUCERS, READERS);
      this.#groups?.start();
      this.#nemesis.start();
      this.#administration.start();
      const endMs = this.#simulation.nowMs + LOAD_MS;
      await this.#until("the load ends", LOAD_MS + 1, () => this.#simulation.nowMs >= endMs);
      await this.#recover();
      await this.#during("everything is read", RECOVERY_LIMIT_MS, () => this.#readEverything());
      // A lease that nobody could renew while it was away still ends after the faults.
      await this.#until("all is in sync at last", RECOVERY_LIMIT_MS, () => this.#isRecovered);
      this.#replicaRules.checkIdentical();
      this.#groups?.finally();
      return undefined;
    } catch (thrown) {
      return thrown instanceof Error ? thrown : new Error(String(thrown));
    }
  }

  async #recover(): Promise<void> {
    this.#simulation.say("run", () => "the faults end");
    this.#nemesis.stop();
    this.#administration.stop();
    this.#groups?.stay();
    await this.#until("the cluster recovers", RECOVERY_LIMIT_MS, () => {
      for (const node of this.#cluster.nodes) if (node.isDown) node.start();
      return this.#isRecovered;
    });
    this.#clients.stopProducing();
    await this.#until("all records are answered", RECOVERY_LIMIT_MS, () => this.#clients.pending === 0);
    await this.#until("groups have read all", RECOVERY_LIMIT_MS, () => this.#whyGroupsWait() === undefined);
  }

  get #isRecovered(): boolean {
    return this.#whyNotRecovered() === undefined;
  }

  #whyNotRecovered(): string | undefined {
    const down = this.#cluster.nodes.find(({ isServing }) => !isServing);
    if (down !== undefined) return `${down.name} does not serve`;
    for (const { topicId, partition, state } of this.#cluster.partitions()) {
      if (state.leader < 0) return `${topicId}-${partition} has no leader`;
      if (state.isr.length < state.replicas.length) return `${topicId}-${partition} is not fully in sync`;
    }
    return undefined;
  }

  #whyNotDone(): string {
    const { pending } = this.#clients;
    if (pending > 0) return this.#whyNotRecovered() ?? `${pending} records are not answered`;
    return this.#whyNotRecovered() ?? this.#whyGroupsWait() ?? "nothing is left";
  }

  #whyGroupsWait(): string | undefined {
    return this.#groups?.whyNotDone();
  }

  /** Every second topic has several segments, by the age of their records. */
  #segments(topic: string): Record<string, number> {
    const random = this.#simulation.random(`segments/${topic}`);
    return random.float() < 0.5 ? {} : { "segment.ms": 200 + random.integer(5_000) };
  }

  async #createTopics(): Promise<void> {
    const admin = this.#clients.admin("creator");
    for (const { name, partitions } of this.#topics) {
      for (;;) {
        try {
          await admin.createTopic({
            name,
            partitions,
            replicationFactor: REPLICATION_FACTOR,
            configs: {
              "min.insync.replicas": MIN_INSYNC_REPLICAS,
              // Clocks jump by hours here.
              "message.timestamp.after.max.ms": Number.MAX_SAFE_INTEGER,
              ...this.#segments(name),
            },
          });
          break;
        } catch (thrown) {
          if (!(thrown instanceof OttlaError) || !thrown.retriable) throw thrown;
          await this.#simulation.scheduler.sleep(100);
        }
      }
    }
  }

  async #readEverything(): Promise<void> {
    let number = 0;
    for (const { name, partitions } of this.#topics) {
      for (let partition = 0; partition < partitions; partition += 1) {
        number += 1;
        const { logStart, records } = await this.#clients.readAll(name, partition, number);
        this.history.finally(name, partition, logStart, records);
      }
    }
  }

  /** Lets the simulation run until the condition holds; a limit of virtual time makes it a failure. */
  async #until(what: string, limitMs: number, holds: () => boolean): Promise<void> {
    const { scheduler } = this.#simulation;
    const endMs = scheduler.nowMs + limitMs;
    let nextMs = scheduler.nowMs;
    await scheduler.run(
      () => {
        if (scheduler.nowMs < nextMs) return false;
        nextMs = scheduler.nowMs + CONDITION_INTERVAL_MS;
        if (holds()) return true;
        if (scheduler.nowMs > endMs) {
          throw new RuleBroken("recovery", `${what}: not within ${limitMs} ms (${this.#whyNotDone()})`);
        }
        return false;
      },
      () => {
        this.#replicaRules.check();
        this.#groups?.check();
      },
    );
  }

  /** Lets the simulation run until the work is done. */
  async #during(what: string, limitMs: number, work: () => Promise<void>): Promise<void> {
    let isDone = false;
    work().then(
      () => {
        isDone = true;
      },
      (thrown: unknown) =>
        this.#simulation.scheduler.fail(thrown instanceof Error ? thrown : new Error(String(thrown))),
    );
    await this.#until(what, limitMs, () => isDone);
  }
}

/** How often a condition is looked at, in virtual time. */
const CONDITION_INTERVAL_MS = 10;
