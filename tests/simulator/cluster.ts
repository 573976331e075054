import { MetadataKeys, type PartitionState, partitionStateCodec } from "@ottla/metadata";
import { MemoryDisk, type Settings } from "@ottla/runtime";
import { SERVICE_ADDRESS } from "./clients.ts";
import { diskClock } from "./process-disk.ts";
import { SimulatedNode } from "./simulated-node.ts";
import {
  coordinatorService,
  gatewayService,
  groupCoordinatorService,
  type ServiceOptions,
  storageService,
} from "./simulated-services.ts";
import { CLUSTER, type Simulation } from "./simulation.ts";

/** A storage node and its disk, which may be exchanged for an empty one. */
export class StorageMachine {
  readonly node: SimulatedNode;
  readonly #simulation: Simulation;
  readonly #nodeId: number;
  #disks = 0;
  disk: MemoryDisk;

  constructor(nodeId: number, options: ServiceOptions, simulation: Simulation) {
    this.#simulation = simulation;
    this.#nodeId = nodeId;
    this.disk = this.#newDisk();
    this.node = new SimulatedNode({
      simulation,
      name: `storage-${nodeId}`,
      nodeId,
      start: storageService(nodeId, () => this.disk, options),
      onDeath: (kind) => this.disk.crash(kind === "power" ? {} : { unsynced: "kept" }),
    });
  }

  /** The volume is gone; whoever replaced it put an empty one there. Only while the node is down. */
  loseDisk(): void {
    this.disk = this.#newDisk();
  }

  #newDisk(): MemoryDisk {
    this.#disks += 1;
    const random = this.#simulation.random(`disk-${this.#nodeId}-${this.#disks}`);
    return new MemoryDisk({ clock: diskClock(this.#simulation.scheduler, random), random });
  }
}

export interface ClusterOptions {
  readonly simulation: Simulation;
  readonly settings: Settings;
  readonly replicationFactor: number;
  readonly storageNodes: number;
  readonly groupCoordinators: number;
}

/** All nodes of the simulated cluster: those of storage, two coordinators, two gateways. */
export class SimulatedCluster {
  readonly simulation: Simulation;
  readonly storages: readonly StorageMachine[];
  readonly coordinators: readonly SimulatedNode[];
  readonly gateways: readonly SimulatedNode[];
  /** None in seeds without groups. */
  readonly groupCoordinators: readonly SimulatedNode[];
  readonly keys = new MetadataKeys(CLUSTER);

  constructor(clusterOptions: ClusterOptions) {
    const { replicationFactor, settings, simulation, storageNodes } = clusterOptions;
    const options = { settings, replicationFactor, mutants: simulation.mutants };
    this.simulation = simulation;
    this.storages = Array.from(
      { length: storageNodes },
      (_, nodeId) => new StorageMachine(nodeId, options, simulation),
    );
    this.coordinators = [0, 1].map(
      (nodeId) =>
        new SimulatedNode({
          simulation,
          name: `coordinator-${nodeId}`,
          nodeId,
          start: coordinatorService(nodeId, options),
        }),
    );
    this.gateways = [0, 1].map(
      (nodeId) =>
        new SimulatedNode({
          simulation,
          name: `gateway-${nodeId}`,
          nodeId,
          start: gatewayService(nodeId, options),
        }),
    );
    this.groupCoordinators = Array.from(
      { length: clusterOptions.groupCoordinators },
      (_, nodeId) =>
        new SimulatedNode({
          simulation,
          name: `groups-${nodeId}`,
          nodeId,
          start: groupCoordinatorService(nodeId, options),
        }),
    );
    simulation.network.services.set(
      SERVICE_ADDRESS,
      this.gateways.map(({ address }) => address),
    );
  }

  get nodes(): readonly SimulatedNode[] {
    const storages = this.storages.map(({ node }) => node);
    return [...storages, ...this.coordinators, ...this.gateways, ...this.groupCoordinators];
  }

  start(): void {
    for (const node of this.nodes) node.start();
  }

  /** The state of all partitions as etcd has it now. */
  *partitions(): Generator<{
    readonly topicId: string;
    readonly partition: number;
    readonly state: PartitionState;
  }> {
    for (const { key, value } of this.simulation.etcd.keys.range(this.keys.partitionsPrefix).entries) {
      const parsed = this.keys.parse(key);
      if (parsed?.kind !== "partition") continue;
      const { topicId, partition } = parsed;
      yield { topicId, partition, state: partitionStateCodec.parse(value, key) };
    }
  }
}
