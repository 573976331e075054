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
import { createMetricsRegistry, type MetricsRegistry, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import type { CoordinatorOptions } from "./coordinator-options.ts";
import { type RunningCoordinator, startCoordinator } from "./main.ts";

export const CLUSTER = "test";

export interface TestCoordinator extends RunningCoordinator {
  readonly store: ModelStore;
  readonly client: RpcClient<typeof CoordinatorService>;
  readonly metrics: MetricsRegistry;
}

export interface TestNode {
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly lease: Lease;
}

/** A cluster's metadata on virtual time: coordinators and registered storage nodes over one model of etcd. */
export class TestCluster {
  readonly clock = new VirtualClock();
  readonly server = new ModelServer({ clock: this.clock });
  readonly store = new ModelStore({ clock: this.clock, server: this.server });
  readonly view: ClusterView;
  #seed = 1;
  readonly #stops: (() => Promise<unknown>)[] = [];

  private constructor(open: (store: MetadataStore, clock: VirtualClock) => ClusterView) {
    this.view = open(this.store, this.clock);
  }

  static async open(): Promise<TestCluster> {
    const clock = new VirtualClock();
    return await TestCluster.#openWith(clock);
  }
}
