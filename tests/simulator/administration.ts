import type { Admin } from "@ottla/client";
import { OttlaError } from "@ottla/errors";
import { controllerStateCodec } from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { createClient, type RpcClient } from "@ottla/rpc";
import { SimulatedTransport } from "@ottla/rpc/simulated";
import type { SeededRandom } from "@ottla/runtime";
import type { TopicPlan } from "./clients.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { DiskReplicas } from "./disk-replicas.ts";
import type { History } from "./history.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import { describe } from "./simulated-node.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { Simulation } from "./simulation.ts";

export interface AdministrationOptions {
  readonly simulation: Simulation;
  readonly cluster: SimulatedCluster;
  readonly history: History;
  readonly metadata: MetadataRules;
  readonly disks: DiskReplicas;
  readonly topics: readonly TopicPlan[];
  readonly admin: Admin;
}

type Action = readonly [name: string, weight: number, act: (random: SeededRandom) => Promise<unknown>];

const MOST_PAUSE_MS = 3_000;
const CALL_TIMEOUT_MS = 5_000;

/** Somebody who changes the cluster while it works: each action may fail, and none may break a rule. */
export class Administration {
  readonly #options: AdministrationOptions;
  readonly #process: SimulatedProcess;
  readonly #random: SeededRandom;
  readonly #actions: readonly Action[];
  readonly #noMore = new AbortController();

  constructor(options: AdministrationOptions) {
    this.#options = options;
    const { scheduler } = options.simulation;
    this.#process = new SimulatedProcess("operator", scheduler);
    this.#random = options.simulation.random("operator");
    this.#actions = [
      ["records deleted", 3, (random) => this.#deleteRecords(random)],
      ["min.insync.replicas changed", 1, (random) => this.#changeMinInsyncReplicas(random)],
      ["leaders elected", 2, () => this.#electLeaders()],
      ["partitions added", 0.3, (random) => this.#addPartitions(random)],
      ["replicas reassigned", 2, (random) => this.#reassign(random)],
      ["node drained", 0.5, (random) => this.#drain(random)],
      ["topic created and deleted", 0.5, (random) => this.#createAndDelete(random)],
    ];
  }

  start(): void {
    void this.#work();
  }

  /** No more actions; drained nodes take replicas again. */
  stop(): void {
    this.#noMore.abort();
  }

  async #work(): Promise<void> {
    const { simulation } = this.#options;
    const total = this.#actions.reduce((sum, [, weight]) => sum + weight, 0);
    while (!this.#noMore.signal.aborted) {
      await this.#process.clock.sleep(this.#random.float() * MOST_PAUSE_MS);
      let point = this.#random.float() * total;
      const action = this.#actions.find(([, weight]) => {
        point -= weight;
        return point < 0;
      });
      if (action === undefined || this.#noMore.signal.aborted) continue;
      const [name, , act] = action;
      simulation.say("operator", () => name);
      try {
        await act(this.#random);
        simulation.fault(name);
        simulation.say("operator", () => `done: ${name}`);
      } catch (thrown) {
        simulation.say("operator", () => `${name}: ${describe(thrown)}`);
        if (thrown instanceof OttlaError) continue;
        simulation.scheduler.fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    }
  }

  /** Up to where somebody has read, at most. */
  async #deleteRecords(random: SeededRandom): Promise<void> {
    const { admin, history, simulation } = this.#options;
    const topic = this.#topic(random);
    const partition = random.integer(topic.partitions);
    const before = random.integer(history.knownEnd(topic.name, partition) + 1);
    history.deleteRequested(topic.name, partition, before);
    const logStart = await admin.deleteRecords(topic.name, partition, BigInt(before));
    simulation.checked("R14");
    history.deleted(topic.name, partition, Number(logStart));
  }

  /** A lower one gives up who else has everything: not while somebody's losses are being dealt with. */
  async #changeMinInsyncReplicas(random: SeededRandom): Promise<void> {
    const { admin, disks } = this.#options;
    const lowers = random.float() < 0.3;
    if (lowers && disks.isAnyExcused()) return;
    const set = { "min.insync.replicas": lowers ? 1 : 2 };
    // One that fails may still come to pass, until another one does.
    disks.mustStayWhole ||= lowers;
    await admin.alterTopicConfig({ name: this.#topic(random).name, set });
    disks.mustStayWhole = false;
  }

  async #electLeaders(): Promise<void> {
    await this.#coordinator().electLeaders({}, { timeoutMs: CALL_TIMEOUT_MS });
  }

  async #addPartitions(random: SeededRandom): Promise<void> {
    const topic = this.#topic(random);
    const { partitions } = await this.#options.admin.createPartitions(topic.name, topic.partitions + 1);
    topic.partitions = Math.max(topic.partitions, partitions.length);
  }

  async #reassign(random: SeededRandom): Promise<void> {
    const { cluster, metadata } = this.#options;
    const names = [...metadata.partitions()];
    const [name = "", state] = names[random.integer(names.length)] ?? [];
    if (state === undefined) return;
    const dash = name.lastIndexOf("-");
    const topic = metadata.topicName(name.slice(0, dash));
    const nodes = cluster.storages.map(({ node }) => node.nodeId);
    const replicas = shuffled(nodes, random).slice(0, state.replicas.length);
    const partition = { topic, partition: Number(name.slice(dash + 1)) };
    const cancel = (state.addingReplicas?.length ?? 0) > 0 && random.float() < 0.3;
    await this.#coordinator().alterReassignments(
      { reassignments: [cancel ? { partition, cancel } : { partition, replicas }] },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
  }

  async #drain(random: SeededRandom): Promise<void> {
    const { storages } = this.#options.cluster;
    const nodeId = storages[random.integer(storages.length)]?.node.nodeId ?? 0;
    await this.#coordinator().drainNode({ nodeId, drain: true }, { timeoutMs: CALL_TIMEOUT_MS });
    await this.#process.clock.sleep(random.float() * MOST_PAUSE_MS);
    for (;;) {
      try {
        await this.#coordinator().drainNode({ nodeId, drain: false }, { timeoutMs: CALL_TIMEOUT_MS });
        return;
      } catch (thrown) {
        if (!(thrown instanceof OttlaError) || !thrown.retriable) throw thrown;
        await this.#process.clock.sleep(500);
      }
    }
  }

  async #createAndDelete(random: SeededRandom): Promise<void> {
    const { admin } = this.#options;
    const name = `short-lived-${random.integer(3)}`;
    await admin.createTopic({ name, partitions: 1 + random.integer(3) });
    await this.#process.clock.sleep(random.float() * MOST_PAUSE_MS);
    await admin.deleteTopic(name);
  }

  #topic(random: SeededRandom): TopicPlan {
    const { topics } = this.#options;
    const topic = topics[random.integer(topics.length)];
    if (topic === undefined) throw new Error("there are no topics");
    return topic;
  }

  /** Of the elected one, as etcd knows it. */
  #coordinator(): RpcClient<typeof CoordinatorService> {
    const { cluster, simulation } = this.#options;
    const key = simulation.etcd.keys.get(cluster.keys.controller);
    if (key === undefined) throw new OttlaError("NOT_CONTROLLER", "no coordinator is elected now");
    const { address } = controllerStateCodec.parse(key.value, key.key);
    const { clock } = this.#process;
    const dialer = simulation.network.dialer(this.#process);
    return createClient(CoordinatorService, new SimulatedTransport({ address, dialer, clock }));
  }
}

function shuffled<T>(items: readonly T[], random: SeededRandom): T[] {
  const keyed = items.map((item) => ({ item, key: random.float() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
