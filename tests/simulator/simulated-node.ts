import { OttlaError } from "@ottla/errors";
import type { OwnedPartition } from "@ottla/group-coordinator/testing";
import { ClusterView, ensureClusterId, MetadataKeys, ModelStore } from "@ottla/metadata";
import type { PartitionReplica } from "@ottla/partition-storage";
import type { Transport } from "@ottla/rpc";
import { SimulatedServer, SimulatedTransport } from "@ottla/rpc/simulated";
import type { Logger, SeededRandom } from "@ottla/runtime";
import { type MetadataFaults, metadataLink } from "./metadata-link.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import { CLUSTER, type Simulation } from "./simulation.ts";

/** What one run of a node has around it, before its service starts. */
export interface NodeSurroundings {
  readonly process: SimulatedProcess;
  readonly store: ModelStore;
  readonly view: ClusterView;
  readonly clusterId: string;
  readonly server: SimulatedServer;
  readonly address: string;
  readonly random: SeededRandom;
  readonly logger: Logger;
  toStorage(nodeId: number): Transport;
  toGroupCoordinator(nodeId: number): Transport;
  toController(): Transport;
}

export interface RunningService {
  /** In an orderly way. */
  stop(): Promise<void>;
  /** Of a storage node: what the checks look at. */
  replicas?(): Iterable<PartitionReplica>;
  /** Of a group-coordinator: the same, by partition of the groups' topic. */
  owned?(): ReadonlyMap<number, OwnedPartition>;
}

export type StartService = (surroundings: NodeSurroundings) => Promise<RunningService>;

export type CrashKind = "process" | "power";

const RESTART_MS = 500;
const STOP_GRACE_MS = 2_000;

export interface SimulatedNodeOptions {
  readonly simulation: Simulation;
  readonly name: string;
  readonly nodeId: number;
  readonly start: StartService;
  /** What becomes of its machine's disk. */
  readonly onDeath?: (kind: CrashKind) => void;
}

/** A node of the cluster through all runs of its process. */
export class SimulatedNode {
  readonly name: string;
  readonly nodeId: number;
  readonly metadataFaults: MetadataFaults = { watchLagMs: 0, requestLoss: 0, answerLoss: 0 };
  readonly #simulation: Simulation;
  readonly #start: StartService;
  readonly #onDeath: (kind: CrashKind) => void;
  #process: SimulatedProcess | undefined;
  #store: ModelStore | undefined;
  #stop: (() => Promise<void>) | undefined;
  #service: RunningService | undefined;
  #wallOffsetMs = 0;
  #stopping = false;
  runs = 0;

  constructor(options: SimulatedNodeOptions) {
    this.#simulation = options.simulation;
    this.name = options.name;
    this.nodeId = options.nodeId;
    this.#start = options.start;
    this.#onDeath = options.onDeath ?? (() => undefined);
  }

  get process(): SimulatedProcess | undefined {
    return this.#process;
  }

  get isDown(): boolean {
    return this.#process === undefined;
  }

  /** Whether its service has started, and is not being stopped. */
  get isServing(): boolean {
    return this.#stop !== undefined && !this.#stopping;
  }

  get store(): ModelStore | undefined {
    return this.#store;
  }

  replicas(): Iterable<PartitionReplica> {
    return this.#service?.replicas?.() ?? [];
  }

  owned(): ReadonlyMap<number, OwnedPartition> {
    return this.#service?.owned?.() ?? new Map();
  }

  get address(): string {
    return `${this.name}:1`;
  }

  start(): void {
    if (this.#process !== undefined) return;
    const simulation = this.#simulation;
    simulation.network.machineStarted(this.name);
    this.runs += 1;
    this.#stopping = false;
    const process = new SimulatedProcess(this.name, simulation.scheduler);
    process.wallOffsetMs = this.#wallOffsetMs;
    this.#process = process;
    simulation.say(this.name, () => `starts, run ${this.runs}`);
    this.#run(process).catch((thrown: unknown) => {
      // It says why on standard error and exits; whatever keeps it running starts it again.
      process.enter(() => {
        simulation.say(this.name, () => `cannot start: ${describe(thrown)}`);
        this.crash("process");
        simulation.scheduler.after(RESTART_MS, () => this.start());
      });
    });
  }

  /** Dies at once. */
  crash(kind: CrashKind): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#simulation.say(this.name, () => `dies (${kind})`);
    this.#process = undefined;
    this.#stop = undefined;
    this.#service = undefined;
    process.kill();
    this.#onDeath(kind);
    this.#store?.vanish();
    this.#store = undefined;
    this.#simulation.network.processDied(process, kind === "power" ? "is off" : "runs");
  }

  /** Stops in an orderly way, then is down; `done` is called then, or when it died on the way. */
  stop(done: () => void): void {
    const process = this.#process;
    const stop = this.#stop;
    if (process === undefined || stop === undefined || this.#stopping) return;
    this.#stopping = true;
    this.#simulation.say(this.name, () => "is told to stop");
    process.onDeath(done);
    stop().then(
      () => process.enter(() => this.crash("process")),
      (thrown: unknown) =>
        process.enter(() => {
          this.#simulation.say(this.name, () => `cannot stop well: ${describe(thrown)}`);
          this.crash("process");
        }),
    );
  }

  jumpClock(byMs: number): void {
    this.#wallOffsetMs += byMs;
    if (this.#process !== undefined) this.#process.wallOffsetMs = this.#wallOffsetMs;
  }

  async #run(process: SimulatedProcess): Promise<void> {
    const surroundings = await this.#surround(process);
    const service = await this.#start(surroundings);
    if (!process.isAlive) return;
    this.#service = service;
    this.#simulation.say(this.name, () => "serves");
    const { server, store, view } = surroundings;
    this.#stop = async () => {
      await service.stop();
      await server.stop(STOP_GRACE_MS);
      this.#simulation.network.unlisten(this.address);
      view.close();
      await store.close();
    };
  }

  async #surround(process: SimulatedProcess): Promise<NodeSurroundings> {
    const { network, etcd, scheduler } = this.#simulation;
    const { clock } = process;
    const random = this.#simulation.random(`${this.name}/${this.runs}`);
    const logger = this.#simulation.loggerOf(this.name);
    const link = metadataLink({
      process,
      scheduler,
      network,
      random: random.fork("metadata"),
      faults: this.metadataFaults,
      onLost: (what) => this.#simulation.fault(`metadata ${what} lost`),
    });
    const store = new ModelStore({ clock, server: etcd, link });
    this.#store = store;
    const keys = new MetadataKeys(CLUSTER);
    const clusterId = await this.#clusterId(store, keys, random, process);
    const view = await ClusterView.open({ store, cluster: CLUSTER, clock, logger });
    const server = new SimulatedServer({
      clock,
      logger,
      onForeignError: (method, thrown) => this.#foreign(method, thrown),
    });
    const { address } = this;
    network.listen(address, { process, server });
    const connections = new NodeConnections(this.#simulation, process, view);
    return {
      process,
      store,
      view,
      clusterId,
      server,
      address,
      random,
      logger,
      toStorage: (nodeId) => connections.toStorage(nodeId),
      toGroupCoordinator: (nodeId) => connections.toGroupCoordinator(nodeId),
      toController: () => connections.toController(),
    };
  }

  async #clusterId(
    store: ModelStore,
    keys: MetadataKeys,
    random: SeededRandom,
    { clock }: SimulatedProcess,
  ): Promise<string> {
    for (;;) {
      try {
        return await ensureClusterId({ store, keys, random, expected: undefined });
      } catch (thrown) {
        if (!(thrown instanceof OttlaError) || thrown.code !== "METADATA_UNAVAILABLE") throw thrown;
        await clock.sleep(RESTART_MS);
      }
    }
  }

  /** A handler threw what is no error of ours: a bug, whatever its effect. */
  #foreign(method: string, thrown: unknown): void {
    const error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    this.#simulation.scheduler.fail(new Error(`${this.name}: ${method} failed: ${error}`));
  }
}

/** How long a connection to a coordinator that is no longer the one may go on. */
const RETIREMENT_MS = 2_000;

/** The connections of one process to others, as `Connections` of standalone opens them over gRPC. */
class NodeConnections {
  readonly #simulation: Simulation;
  readonly #process: SimulatedProcess;
  readonly #view: ClusterView;
  #controller: { readonly address: string; readonly transport: Transport } | undefined;

  constructor(simulation: Simulation, process: SimulatedProcess, view: ClusterView) {
    this.#simulation = simulation;
    this.#process = process;
    this.#view = view;
    view.onChange(({ controllerChanged }) => {
      if (controllerChanged) this.#retireController();
    });
  }

  toStorage(nodeId: number): Transport {
    const address = this.#view.node("partition-storage", nodeId)?.addresses[0];
    if (address === undefined) {
      throw new OttlaError("LEADER_NOT_AVAILABLE", `storage node ${nodeId} is not registered`);
    }
    return this.#open(address);
  }

  toGroupCoordinator(nodeId: number): Transport {
    const address = this.#view.node("group-coordinator", nodeId)?.addresses[0];
    if (address === undefined) {
      throw new OttlaError("COORDINATOR_NOT_AVAILABLE", `group-coordinator ${nodeId} is not registered`);
    }
    return this.#open(address);
  }

  toController(): Transport {
    const elected = this.#view.controller;
    if (elected === undefined) throw new OttlaError("NOT_CONTROLLER", "no coordinator is elected now");
    const { address } = elected;
    if (this.#controller?.address === address) return this.#controller.transport;
    const transport = this.#open(address);
    this.#controller = { address, transport };
    return transport;
  }

  #retireController(): void {
    const transport = this.#controller?.transport;
    this.#controller = undefined;
    if (transport === undefined) return;
    this.#process.clock.setTimer(RETIREMENT_MS, () => void transport.close());
  }

  #open(address: string): Transport {
    const { clock } = this.#process;
    const dialer = this.#simulation.network.dialer(this.#process);
    return new SimulatedTransport({
      address,
      dialer,
      clock,
      minReconnectDelayMs: 50,
      maxReconnectDelayMs: 500,
    });
  }
}

export function describe(thrown: unknown): string {
  return thrown instanceof OttlaError ? `${thrown.code}: ${thrown.message}` : String(thrown);
}
