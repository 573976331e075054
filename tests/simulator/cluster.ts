import { MetadataKeys, type PartitionState, partitionStateCodec } from "@ottla/metadata";
import { MemoryDisk, type Settings } from "@ottla/runtime";
import { SERVICE_ADDRESS } from "./clients.ts";
import { diskClock } from "./process-disk.ts";
import { SimulatedNode } from "./simulated-node.ts";
import { coordinatorService, gatewayService, storageService } from "./simulated-services.ts";
import { CLUSTER, type Simulation } from "./simulation.ts";

export interface StorageMachine {
  readonly node: SimulatedNode;
  readonly disk: MemoryDisk;
}

export interface ClusterOptions {
  readonly simulation: Simulation;
  readonly settings: Settings;
  readonly replicationFactor: number;
}

/** All nodes of the simulated cluster: three of storage, two coordinators, two gateways. */
export class SimulatedCluster {
  readonly simulation: Simulation;
  readonly storages: readonly StorageMachine[];
  readonly coordinators: readonly SimulatedNode[];
  readonly gateways: readonly SimulatedNode[];
  readonly keys = new MetadataKeys(CLUSTER);

  constructor({ replicationFactor, settings, simulation }: ClusterOptions) {
    const options = { settings, replicationFactor, mutants: simulation.mutants };
    this.simulation = simulation;
    this.storages = [0, 1, 2].map((nodeId) => {
      const random = simulation.random(`disk-${nodeId}`);
      const disk = new MemoryDisk({ clock: diskClock(simulation.scheduler, random), random });
      const node = new SimulatedNode({
        simulation,
        name: `storage-${nodeId}`,
        nodeId,
        start: storageService(nodeId, disk, options),
        onDeath: (kind) => disk.crash(kind === "power" ? {} : { unsynced: "kept" }),
      });
      return { node, disk };
    });
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
    simulation.network.services.set(
      SERVICE_ADDRESS,
      this.gateways.map(({ address }) => address),
    );
  }

  get nodes(): readonly SimulatedNode[] {
    return [...this.storages.map(({ node }) => node), ...this.coordinators, ...this.gateways];
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
