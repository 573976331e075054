import {
  ClusterView,
  type Lease,
  type MetadataStore,
  ModelServer,
  ModelStore,
  type NodeRegistration,
  registerNode,
} from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { createClient, InProcessTransport, type RpcClient, ServiceRegistry } from "@ottla/rpc";
import {
  createMetricsRegistry,
  type MetricsRegistry,
  nullLogger,
  SeededRandom,
  VirtualClock,
} from "@ottla/runtime";
import type { CoordinatorOptions } from "./coordinator-options.ts";
import { type RunningCoordinator, startCoordinator } from "./main.ts";

const CLUSTER = "test";
const TTL_MS = 3000;

export interface TestCoordinator {
  readonly running: RunningCoordinator;
  /** Its client of the metadata, with the faults to inject. */
  readonly store: ModelStore;
  readonly client: RpcClient<typeof CoordinatorService>;
  readonly metrics: MetricsRegistry;
}

export interface TestNode {
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly lease: Lease;
}

/** Coordinators and registered storage nodes over one model of etcd, on virtual time. */
export class TestCluster {
  readonly clock: VirtualClock;
  readonly server: ModelServer;
  readonly store: ModelStore;
  readonly view: ClusterView;
  readonly #stops: (() => Promise<unknown>)[] = [];
  #seed = 1;

  private constructor(clock: VirtualClock, server: ModelServer, store: ModelStore, view: ClusterView) {
    this.clock = clock;
    this.server = server;
    this.store = store;
    this.view = view;
  }

  static async open(): Promise<TestCluster> {
    const clock = new VirtualClock();
    const server = new ModelServer({ clock });
    const store = new ModelStore({ clock, server });
    const view = await ClusterView.open({ store, cluster: CLUSTER, clock, logger: nullLogger });
    return new TestCluster(clock, server, store, view);
  }

  /** Starts a coordinator with a client of the metadata of its own. */
  async startCoordinator(nodeId = 1, options: Partial<CoordinatorOptions> = {}): Promise<TestCoordinator> {
    const { clock, server } = this;
    const store = new ModelStore({ clock, server });
    const metrics = createMetricsRegistry();
    const registry = new ServiceRegistry();
    const running = await startCoordinator({
      ...testOptions(store, nodeId, this.#seed++),
      clock,
      metrics,
      registry,
      leaseTtlMs: TTL_MS,
      ...options,
    });
    const transport = new InProcessTransport({ registry, clock });
    this.#stops.push(async () => {
      await running.stop();
      await store.close();
    });
    return { running, store, client: createClient(CoordinatorService, transport), metrics };
  }

  /** Registers a storage node as it does at start. */
  async registerNode(nodeId: number, change: Partial<NodeRegistration> = {}): Promise<TestNode> {
    const registration: NodeRegistration = {
      role: "partition-storage",
      nodeId,
      addresses: [`storage-${nodeId}:50051`],
      zone: "",
      version: "0",
      incarnation: `incarnation-${this.#seed++}`,
      directoryId: `directory-${nodeId}`,
      cleanShutdownNodeEpoch: -1,
      ...change,
    };
    const { clock, store } = this;
    const { keys } = this.view;
    const held = { store, keys, ttlMs: TTL_MS, clock, logger: nullLogger };
    const registered = await registerNode({ ...held, registration });
    return { nodeId, ...registered };
  }

  /** Lets everything happen that needs no time to pass, and the view see it. */
  async settle(): Promise<void> {
    await this.clock.runUntilIdle();
    await this.view.refresh();
  }

  async close(): Promise<void> {
    const stopped = Promise.all(this.#stops.map((stop) => stop()));
    // Where a test has cut a coordinator off, its calls end when their time is up.
    await this.clock.advance(60_000);
    await stopped;
    this.view.close();
    await this.store.close();
  }
}

function testOptions(store: MetadataStore, nodeId: number, seed: number) {
  return {
    store,
    cluster: CLUSTER,
    nodeId,
    address: `coordinator-${nodeId}:50051`,
    zone: "",
    version: "0",
    random: new SeededRandom(seed),
    logger: nullLogger,
    settings: {
      numPartitions: 1,
      defaultReplicationFactor: 1,
      topicDefaults: { "min.insync.replicas": "1" },
    },
  };
}

/** The fields of a request to create a topic, with what is mostly wanted. */
export function newTopic(name: string, change: Partial<NewTopicRequest> = {}): NewTopicRequest {
  return { name, partitions: 0, replicationFactor: 0, configs: {}, validateOnly: false, ...change };
}

export interface NewTopicRequest {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly configs: Record<string, string>;
  readonly validateOnly: boolean;
}
